"""Reconstruct every requested piece of audio; write scores, spectrograms and, for eval.run, manifests."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.core import config, provenance
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.media_io.errors import MediaEvent
from src.inference.audio_reconstruction import ORIGINALS, reconstruct_audio
from src.inference.audio_scores import AudioScores
from src.inference.audio_sources import Samples, open_dataset, open_files
from src.inference.config import ReconstructConfig
from src.inference.device import resolve_device
from src.inference.reconstruct_videos import MAX_TABLE_ROWS, name_apart, print_events
from src.losses.audio import magnitudes, stft
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint
from src.training.precision import autocast, resolve

WINDOW = 2048
RANGE_DB = 80.0
COLUMNS = ("stem", "seconds", "num_channels", "si_sdr", "mel", "stft", "lufs", "lufs_original")


def reconstruct(settings: ReconstructConfig, files: list[Path]) -> Path:
    """Reconstruct all audio; return the path of the scores."""
    if not files and not settings.data:
        raise UserError("no audio: give audio=FILE or data=DATASET/val")
    device = resolve_device(settings.device)
    codec, _ = loading.load_codec(Path(settings.run), settings.use)
    rate = codec.config.sample_rate
    sources = open_files(files, rate)
    if settings.data:
        sources += open_dataset(Path(settings.data), settings.num_clips, rate)
    name_apart(sources)
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "reconstructed")
    make_folder(out, "out")
    codec.to(device)
    scores: list[AudioScores] = []
    for source in sources:
        with autocast(resolve(settings.precision, device.type), device.type):
            result, beginning = reconstruct_audio(codec, source, out, settings.manifests)
        if len(scores) < settings.num_spectrograms:
            plot_spectrograms(out / f"{source.name}-spectrograms.png", *beginning, rate)
        scores.append(result)
    write_scores(settings, scores, {source.name: source.events for source in sources}, out)
    if settings.manifests:
        write_manifests(scores, out)
    console = Console(highlight=False)
    console.print(score_table(scores))
    print_events(console, sources)
    console.print(f"{len(scores)} files at {rate} Hz: {out}", soft_wrap=True, markup=False)
    return out / "scores.csv"


def plot_spectrograms(path: Path, output_CS: Samples, original_CS: Samples, rate: int) -> None:
    """Draw the beginning of the original (above) and of the reconstruction, channels averaged, in dB."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    images = [20 * np.log10(_magnitudes(each)) for each in (original_CS, output_CS)]
    top = max(float(images[0].max()), -RANGE_DB)
    seconds = original_CS.shape[1] / rate
    for axis, image, title in zip(axes, images, ("original", "reconstruction"), strict=True):
        shown = axis.imshow(
            image,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, rate / 2000),
            vmin=top - RANGE_DB,
            vmax=top,
            cmap="magma",
        )
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylabel("kHz")
    axes[1].set_xlabel("s")
    figure.colorbar(shown, ax=axes, label="dB")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _magnitudes(samples_CS: Samples) -> np.ndarray:
    return magnitudes(stft(torch.from_numpy(samples_CS.mean(0, keepdims=True)), WINDOW))[0].numpy()


def write_scores(
    settings: ReconstructConfig, scores: list[AudioScores], events: dict[str, list[MediaEvent]], out: Path
) -> None:
    """Write the scores of every file to scores.csv, and settings and provenance to reconstruction.json."""
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["audio", *COLUMNS])
        for each in scores:
            values = asdict(each)
            rows.writerow([each.name, *(_cell(values[c]) for c in COLUMNS)])
    record = {
        "settings": config.to_dict(settings),
        "audio": {each.name: each.source for each in scores},
        "events": {name: [asdict(event) for event in found] for name, found in events.items() if found},
        "checkpoint": str(find_checkpoint(Path(settings.run))),
        "provenance": provenance.collect(),
    }
    (out / "reconstruction.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def _cell(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:.6g}"


def write_manifests(scores: list[AudioScores], out: Path) -> None:
    """Write `manifest.jsonl` of the reconstructions and `originals.jsonl`, with facts; stems are left out."""
    reconstructed, originals = [], []
    for each in scores:
        if each.stem:
            continue
        entry: dict[str, Any] = {"id": each.name, "prompt": each.caption}
        if each.facts:
            entry["facts"] = each.facts
        original = f"{ORIGINALS}/{each.name}.wav"
        reconstructed.append(entry | {"audio": f"{each.name}.wav", "reference": original})
        originals.append(entry | {"audio": original})
    for name, entries in (("manifest", reconstructed), ("originals", originals)):
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


def score_table(scores: list[AudioScores]) -> Table:
    """Return a table of the scores of each file, and of their means; "-" where a score is not defined."""
    table = Table("audio", "s", "channels", "SI-SDR dB", "mel", "STFT", "LUFS (original)")
    for each in scores[:MAX_TABLE_ROWS]:
        loudness = f"{_text(each.lufs, 1)} ({_text(each.lufs_original, 1)})"
        seconds, channels = f"{each.seconds:.2f}", str(each.num_channels)
        distances = (_text(each.si_sdr, 2), _text(each.mel, 3), _text(each.stft, 3))
        table.add_row(escape(each.name), seconds, channels, *distances, loudness)
    if len(scores) > MAX_TABLE_ROWS:
        table.caption = f"{len(scores) - MAX_TABLE_ROWS} more in scores.csv"
    for stem in sorted({each.stem for each in scores}) if len(scores) > 1 else ():
        among = [each for each in scores if each.stem == stem]
        ratios = [each.si_sdr for each in among if each.si_sdr is not None]
        table.add_section()
        means = (_text(fmean(ratios) if ratios else None, 2), _text(fmean(s.mel for s in among), 3))
        name = f"mean of {stem}" if stem else "mean"
        table.add_row(name, "", "", *means, _text(fmean(s.stft for s in among), 3), "")
    return table


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
