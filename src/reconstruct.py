"""Films through an autoencoder and back: `python -m src.reconstruct run=RUN video=FILE.mp4 [key=value ...]`.

`video=` may be given several times (pictures too, as films of one frame); `data=DATASET/val` takes prepared
clips. Long films are streamed in tiles. Writes, for each film, the reconstruction, the original (left) beside
it as a film, and a picture of a few frames (originals above); for all of them PSNR and SSIM of every frame in
`scores.csv`. Scores are those of the model's pixels, before the film file compresses them.
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.table import Table

from src.core import cli, config, provenance
from src.core.errors import UserError
from src.core.fields import opt
from src.inference.reconstruction import ORIGINALS, Files, Film, Scores, clips, films_of, reconstruct_film
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.runs import loading
from src.training.callbacks.checkpoint import find
from src.training.config import Precision, Use
from src.training.precision import autocast, resolve


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig:
    """Which films, with which autoencoder."""

    run: str = opt("???", "run directory or checkpoint of a TAE")
    use: Use = opt("ema", "weights: ema or raw")
    data: str = opt(
        "", "prepared data set (the directory that holds dataset.json), beside or instead of video="
    )
    clips: int = opt(8, "clips of each bucket of data; 0: all")
    frames: int = opt(0, "frames of each film at most; 0: all")
    out: str = opt("", "where to write; empty: RUN/reconstructed")
    shown: int = opt(6, "frames in the picture of each film")
    crf: int = opt(8, "H.264 quality of the films, 0 (lossless) to 51")
    precision: Precision = opt("fp32", "fp32 or bf16 (where the device has it)")
    device: str = opt("cpu", "cpu, cuda or cuda:N")
    manifests: bool = opt(
        False, "for eval.run: also the originals of films in the same encoding, and a manifest of each kind"
    )
    tiling: TilingConfig = opt(TilingConfig(), "tiles of long films and large frames")

    def __post_init__(self) -> None:
        for name, least in (("clips", 0), ("frames", 0), ("shown", 1), ("crf", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def main(argv: list[str]) -> None:
    """Parse, reconstruct, write, print."""
    given = [word.removeprefix("video=") for word in argv if word.startswith("video=")]
    settings = config.from_command_line(
        ReconstructConfig, [word for word in argv if not word.startswith("video=")], __doc__
    )
    if settings is None:
        return
    reconstruct(settings, [Path(path) for path in given])


def reconstruct(settings: ReconstructConfig, videos: list[Path]) -> Path:
    """Reconstruct every film; returns the path of the scores."""
    if not videos and not settings.data:
        raise UserError("no films: give video=FILE.mp4 or data=DATASET/val")
    tae = load(settings)
    out = Path(settings.out or Path(settings.run) / "reconstructed")
    out.mkdir(parents=True, exist_ok=True)
    found: list[Scores] = []
    device = torch.device(settings.device)
    number_format = autocast(resolve(settings.precision, device.type), device.type)
    for film in films(settings, videos):
        with torch.inference_mode(), number_format:
            files = Files(out, settings.shown, settings.crf, settings.manifests)
            found.append(reconstruct_film(tae, film, files, settings.tiling))
    write(settings, found, out)
    if settings.manifests:
        write_manifests([film for film in found if not film.is_picture], out)
    Console(highlight=False).print(table(found))
    Console(highlight=False).print(f"{len(found)} films: {out}", soft_wrap=True)
    return out / "scores.csv"


def load(settings: ReconstructConfig) -> TAE:
    """The autoencoder, checked against what it is asked to do."""
    tae, _ = loading.load_tae(Path(settings.run), settings.use)
    if tae.config.in_channels != 3:
        raise UserError(f"run={settings.run}: in_channels is {tae.config.in_channels}, films have 3")
    try:
        settings.tiling.check(tae.config)
        return tae.to(torch.device(settings.device))
    except ValueError as error:
        raise UserError(f"tiling.{error}") from error
    except (RuntimeError, AssertionError) as error:  # torch without that device says so in either way
        raise UserError(f"device={settings.device}: {' '.join(str(error).split())[:200]}") from error


def films(settings: ReconstructConfig, videos: list[Path]) -> list[Film]:
    """Every film that is asked for, under names that differ."""
    found = films_of(videos, settings.frames)
    if settings.data:
        found += clips(Path(settings.data), settings.clips, settings.frames)
    counts: dict[str, int] = {}
    for film in found:
        counts[film.name] = counts.get(film.name, 0) + 1
        if counts[film.name] > 1:
            film.name += f"-{counts[film.name]}"
    return found


def write(settings: ReconstructConfig, found: list[Scores], out: Path) -> None:
    """Scores of every frame, and what they were made with."""
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["film", "frame", "psnr", "ssim"])
        for film in found:
            for number, (psnr, ssim) in enumerate(zip(film.psnr, film.ssim, strict=True)):
                rows.writerow([film.name, number, f"{psnr:.4f}", f"{ssim:.6f}"])
    record = {
        "settings": config.to_dict(settings),
        "films": {film.name: film.source for film in found},
        "checkpoint": str(find(Path(settings.run))),
        "provenance": provenance.collect(),
    }
    (out / "reconstruction.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_manifests(films: list[Scores], out: Path) -> None:
    """`manifest.jsonl` of the reconstructions and `originals.jsonl`; pictures are in scores.csv only."""
    for name, folder in (("manifest", ""), ("originals", f"{ORIGINALS}/")) if films else ():
        lines = [
            {"id": film.name, "prompt": "", "video": f"{folder}{film.name}.mp4"}
            | ({"reference": f"{ORIGINALS}/{film.name}.mp4"} if name == "manifest" else {})
            for film in films
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


def table(found: list[Scores]) -> Table:
    """Means over the frames of each film, and over the frames of all."""
    made = Table("film", "frames", "size", "PSNR dB", "SSIM", title="mean over frames")
    for film in found:
        size = f"{film.width}x{film.height}"
        made.add_row(
            film.name, str(len(film.psnr)), size, f"{fmean(film.psnr):.2f}", f"{fmean(film.ssim):.4f}"
        )
    if len(found) > 1:
        psnr, ssim = ([v for film in found for v in getattr(film, key)] for key in ("psnr", "ssim"))
        made.add_section()
        made.add_row("all", str(len(psnr)), "", f"{fmean(psnr):.2f}", f"{fmean(ssim):.4f}")
    return made


if __name__ == "__main__":
    sys.exit(cli.run(main))
