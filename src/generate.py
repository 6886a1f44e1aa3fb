"""Films and pictures from prompts: `python -m src.generate run=RUN prompt="..." [key=value ...]`.

`prompt=` may be given several times; `prompts=FILE` takes a text file (a prompt a line) or JSONL with
id, prompt and, kept for scoring, facts and tags. Writes media and `manifest.jsonl` into OUT. The same
seeds give the same bytes. `frames=1` makes pictures. `rewrite.by=` rewrites prompts in the manner of training
captions, shows both and keeps both in the manifest; films are judged by what was asked.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from src import command_line, config, media, provenance
from src.decode import MediaError, read_image
from src.errors import UserError
from src.experiments import pretrained
from src.experiments.requests import Request, read_requests, rewrite
from src.experiments.rewriting import RewriteConfig, rewriter
from src.flow import SamplerConfig
from src.models.tae import TAE
from src.options import opt
from src.streaming.collate import with_fps
from src.streaming.schema import DataError, read_info
from src.training.checkpoints import find
from src.training.video import VideoModule
from src.training.weights import Use


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What to make, with which model."""

    run: str = opt("???", "run directory, checkpoint or exported file of a video model")
    tae: str = opt("", "run or exported file of the TAE; empty: the one that made the run's latents")
    use: Use = opt("ema", "weights: ema or raw")
    prompts: str = opt("", "file of prompts: .txt, one a line, or .jsonl")
    image: str = opt("", "picture that every film starts with, for an image-to-video model; cut to the size")
    negative: str = opt("", "what guidance leads away from; empty: the null condition of training")
    out: str = opt("", "where to write; empty: RUN/generated")
    frames: int = opt(16, "frames of each film; 1 makes pictures")
    height: int = opt(32, "height in pixels")
    width: int = opt(32, "width in pixels")
    fps: float = opt(16.0, "frames in a second, told to the model and written into the file")
    seed: int = opt(0, "seed of the first prompt; each further prompt takes the next")
    seeds_per_prompt: int = opt(1, "films of each prompt, with different seeds")
    batch_size: int = opt(32, "films made together")
    precision: str = opt("bf16", "fp32 or bf16 (where the device has it)")
    crf: int = opt(8, "H.264 quality of the films, 0 (lossless) to 51")
    sampler: SamplerConfig = opt(SamplerConfig(guidance=3.0), "solver, schedule and guidance")
    rewrite: RewriteConfig = opt(RewriteConfig(), "prompts rewritten in the manner of training captions")

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width", "seeds_per_prompt", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.fps > 0:
            raise ValueError(f"fps must be above 0, got {self.fps}")
        if self.negative and not self.sampler.guided:
            raise ValueError(f"negative={self.negative!r} needs guidance: sampler.guidance above 1, got 1")


def main(argv: list[str]) -> None:
    """Parse, generate, write."""
    given = [word.removeprefix("prompt=") for word in argv if word.startswith("prompt=")]
    settings = config.from_command_line(
        GenerateConfig, [word for word in argv if not word.startswith("prompt=")], __doc__
    )
    if settings is None:
        return
    generate(settings, given)


def generate(settings: GenerateConfig, given: list[str]) -> Path:
    """Make every film that is asked for; returns the manifest's path."""
    asked = read_requests(given, settings.prompts, settings.seed, settings.seeds_per_prompt)
    requests = rewrite(list(asked), rewriter(settings.rewrite, pictures=settings.frames == 1))
    show_rewritten(requests)
    module, tae = load(settings)
    check_size(settings, module, tae)
    out = Path(settings.out or pretrained.folder_of(Path(settings.run)) / "generated")
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": config.to_dict(settings),
        "checkpoint": str(find(Path(settings.run))),
        "provenance": provenance.collect(),
    }
    (out / "generation.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    columns = (TextColumn("generate"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    entries = []
    with Progress(*columns) as progress:
        task = progress.add_task("", total=len(requests) * settings.sampler.steps)
        for first in range(0, len(requests), settings.batch_size):
            batch = requests[first : first + settings.batch_size]
            entries += make(module, tae, settings, batch, out, lambda n: progress.advance(task, n))
            progress.update(task, completed=(first + len(batch)) * settings.sampler.steps)
    manifest = out / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    Console(highlight=False).print(f"{len(entries)} files and their manifest: {manifest}", soft_wrap=True)
    return manifest


def show_rewritten(requests: list[Request]) -> None:
    """Each prompt that was rewritten, and what the model reads instead."""
    console = Console(highlight=False, markup=False)
    found = {request.prompt: request.rewritten for request in requests if request.rewritten is not None}
    for prompt, rewritten in found.items():
        console.print(f"prompt:    {prompt}\nrewritten: {rewritten}", soft_wrap=True)


def load(settings: GenerateConfig) -> tuple[VideoModule, TAE]:
    """The model and its decoder, checked to belong together."""
    module, run = pretrained.load_video(Path(settings.run), settings.use)
    module.precision_name = "bf16" if settings.precision == "bf16" else "fp32"
    tae_run = settings.tae or latents_encoder(settings.run, run)
    tae, _ = pretrained.load_tae(Path(tae_run))
    channels = module.transformer_config.latent_channels
    if tae.config.latent_channels != channels:
        raise UserError(
            f"tae={tae_run} has {tae.config.latent_channels} latent channels, the model {channels}"
        )
    return module, tae


def latents_encoder(name: str, run: Any) -> str:
    """The TAE that a run's training latents were made with."""
    stream = next(iter(run.data.streams.values()))
    try:
        return str(read_info(stream.path).provenance["tae"])
    except DataError as error:
        raise UserError(
            f"run={name}: its latents are not here to tell which TAE made them; give tae=... ({error})"
        ) from error


def check_size(settings: GenerateConfig, module: VideoModule, tae: TAE) -> None:
    """Refuse sizes that the autoencoder cannot divide or the position tables do not reach."""
    transformer = module.transformer_config
    unit = tae.config.spatial_factor
    for name, patch, most in zip(
        ("height", "width"), transformer.patch[1:], transformer.max_positions[1:], strict=True
    ):
        size, step = getattr(settings, name), unit * patch
        if size % step or not size <= most * step:
            raise UserError(f"{name}={size}: this model makes multiples of {step} up to {most * step}")
    most_frames = transformer.max_positions[0] * transformer.patch[0] * tae.config.temporal_factor
    if settings.frames > most_frames:
        raise UserError(f"frames={settings.frames}: this model makes at most {most_frames}")


def first_frames(settings: GenerateConfig, module: VideoModule, tae: TAE, num: int) -> torch.Tensor | None:
    """The latent of the picture to start with, once for each film; None where none is given.

    Raises:
        UserError: the file is no picture, the model does not take one, or it is not films that are made.
    """
    if not settings.image:
        return None
    if module.transformer_config.known_channels != tae.config.latent_channels + 1:
        raise UserError(f"image={settings.image}: run={settings.run} is no image-to-video model")
    if settings.frames == 1:
        raise UserError(f"image={settings.image}: frames=1 makes pictures; give frames above 1")
    try:
        picture = Image.fromarray(read_image(settings.image))
    except MediaError as error:
        raise UserError(f"image={settings.image}: cannot be read as a picture ({error})") from error
    fitted = ImageOps.fit(picture, (settings.width, settings.height), Image.Resampling.LANCZOS)
    pixels_CHW = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    with torch.inference_mode():
        latent = tae.encode(pixels_CHW[None, :, None].float() / 127.5 - 1).mean_BCTHW
    return latent.expand(num, -1, -1, -1, -1)


def make(
    module: VideoModule,
    tae: TAE,
    settings: GenerateConfig,
    batch: list[Request],
    out: Path,
    advance: Any,
) -> list[dict[str, Any]]:
    """Sample, decode and write one batch; returns its manifest entries."""
    first = first_frames(settings, module, tae, len(batch))
    shape = tae.latent_shape(settings.frames, settings.height, settings.width)

    def as_trained(text: str) -> str:
        return text if settings.frames == 1 or not text else with_fps(text, settings.fps)

    with torch.inference_mode():
        latents = module.generate(
            [as_trained(r.text) for r in batch],
            shape,
            [r.seed for r in batch],
            settings.sampler,
            negative=as_trained(settings.negative),
            first_BC1HW=first,
            averaged=False,
            on_step=lambda step, x: advance(len(batch)),
        )
        films = media.to_uint8(tae.decode(latents, settings.frames))
    entries = []
    for request, film_THWC in zip(batch, films, strict=True):
        kind = "image" if settings.frames == 1 else "video"
        path = Path(kind + "s") / f"{request.id}.{'png' if kind == 'image' else 'mp4'}"
        if kind == "image":
            media.write_image(out / path, film_THWC[0])
        else:
            media.write_video(out / path, film_THWC, settings.fps, settings.crf)
        system = pretrained.folder_of(Path(settings.run)).name
        entries.append({**request.extra, **request.entry(), "system": system, kind: str(path)})
    return entries


if __name__ == "__main__":
    sys.exit(command_line.run(main))
