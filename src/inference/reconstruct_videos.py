"""Reconstruct every requested video; write scores and, for eval.run, manifests."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Protocol, cast

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.core import config, provenance
from src.core.errors import UserError
from src.core.launch import global_rank, is_first_rank
from src.core.media_io.errors import MediaEvent, summarize_events
from src.inference.config import ReconstructConfig
from src.inference.device import resolve_device
from src.inference.reconstruction import (
    ORIGINALS,
    OutputFiles,
    SourceVideo,
    VideoScores,
    open_dataset,
    open_files,
    reconstruct_video,
)
from src.models.tae.model import TAE
from src.parallel.process_group import gather_objects, joined_processes, on_first_rank
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint
from src.training.precision import autocast, resolve

MAX_TABLE_ROWS = 20


def reconstruct(settings: ReconstructConfig, videos: list[Path]) -> Path:
    """Reconstruct every video; return the path of the scores.

    The processes of torchrun or srun take videos in round-robin order.
    """
    if not videos and not settings.data:
        raise UserError("no videos: give video=FILE.mp4 or data=DATASET/val")
    device = resolve_device(settings.device)
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "reconstructed")
    with joined_processes(device.type) as num_processes:
        tae = load_model(settings).to(device)
        sources = open_sources(settings, videos)
        on_first_rank(lambda: make_folder(out, "out"))
        files = OutputFiles(out, settings.num_overview_frames, settings.crf, settings.manifests)
        found: dict[int, tuple[VideoScores, list[MediaEvent]]] = {}
        for number in range(global_rank() if num_processes > 1 else 0, len(sources), num_processes):
            source = sources[number]
            with torch.inference_mode(), autocast(resolve(settings.precision, device.type), device.type):
                found[number] = (reconstruct_video(tae, source, files, settings.tiling), source.events)
        for other in gather_objects(found):
            found |= cast("dict[int, tuple[VideoScores, list[MediaEvent]]]", other)
    if is_first_rank():
        write_results(settings, sources, [found[number] for number in range(len(sources))], out)
    return out / "scores.csv"


def write_results(
    settings: ReconstructConfig,
    sources: list[SourceVideo],
    found: list[tuple[VideoScores, list[MediaEvent]]],
    out: Path,
) -> None:
    """Write and print what all processes have found."""
    for source, (_, events) in zip(sources, found, strict=True):
        source.events = events
    scores = [each for each, _ in found]
    write_scores(settings, scores, {source.name: source.events for source in sources}, out)
    if settings.manifests:
        write_manifests([each for each in scores if not each.is_image], out)
    console = Console(highlight=False)
    console.print(score_table(scores))
    print_events(console, sources)
    console.print(f"{len(scores)} videos: {out}", soft_wrap=True, markup=False)


def load_model(settings: ReconstructConfig) -> TAE:
    """Load the autoencoder on the CPU and check it against the settings."""
    tae, _ = loading.load_tae(Path(settings.run), settings.use)
    if tae.config.in_channels != 3:
        raise UserError(f"run={settings.run}: in_channels is {tae.config.in_channels}, expected 3 (RGB)")
    try:
        settings.tiling.check(tae.config)
    except ValueError as error:
        raise UserError(f"tiling.{error}") from error
    return tae


def open_sources(settings: ReconstructConfig, videos: list[Path]) -> list[SourceVideo]:
    """Return every requested video under a unique name."""
    sources = open_files(videos, settings.max_frames)
    if settings.data:
        sources += open_dataset(Path(settings.data), settings.num_clips, settings.max_frames)
    name_apart(sources)
    return sources


class Named(Protocol):
    """Anything with a name that can be changed, and events of reading it."""

    name: str
    events: list[MediaEvent]


def name_apart(sources: Sequence[Named]) -> None:
    """Number the sources of a name that occurs before, so that no output replaces another."""
    counts: dict[str, int] = {}
    for source in sources:
        counts[source.name] = counts.get(source.name, 0) + 1
        if counts[source.name] > 1:
            source.name += f"-{counts[source.name]}"


def print_events(console: Console, sources: Sequence[Named]) -> None:
    """Print what was noticed while reading, such as jumps of the clock."""
    for source in sources:
        for line in summarize_events(source.events):
            console.print(f"{source.name}: {line}", soft_wrap=True, markup=False)


def write_scores(
    settings: ReconstructConfig, scores: list[VideoScores], events: dict[str, list[MediaEvent]], out: Path
) -> None:
    """Write the scores of every frame to scores.csv, and settings and provenance to reconstruction.json."""
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame", "psnr", "ssim"])
        for video in scores:
            for frame, (psnr, ssim) in enumerate(zip(video.psnr, video.ssim, strict=True)):
                rows.writerow([video.name, frame, f"{psnr:.4f}", f"{ssim:.6f}"])
    record = {
        "settings": config.to_dict(settings),
        "videos": {video.name: video.source for video in scores},
        "events": {name: [asdict(event) for event in found] for name, found in events.items() if found},
        "checkpoint": str(find_checkpoint(Path(settings.run))),
        "provenance": provenance.collect(),
    }
    (out / "reconstruction.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_manifests(videos: list[VideoScores], out: Path) -> None:
    """Write `manifest.jsonl` of the reconstructions and `originals.jsonl`; images are in scores.csv only."""
    if not videos:
        return
    reconstructed, originals = [], []
    for video in videos:
        entry = {"id": video.name, "prompt": video.caption}
        original = f"{ORIGINALS}/{video.name}.mp4"
        reconstructed.append(entry | {"video": f"{video.name}.mp4", "reference": original})
        originals.append(entry | {"video": original})
    for name, entries in (("manifest", reconstructed), ("originals", originals)):
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


def score_table(scores: list[VideoScores]) -> Table:
    """Return a table of means over the frames of each video, and over the frames of all."""
    table = Table("video", "frames", "size", "PSNR dB", "SSIM", title="mean over frames")
    for video in scores[:MAX_TABLE_ROWS]:
        size = f"{video.width}x{video.height}"
        table.add_row(
            escape(video.name),
            str(len(video.psnr)),
            size,
            f"{fmean(video.psnr):.2f}",
            f"{fmean(video.ssim):.4f}",
        )
    if len(scores) > MAX_TABLE_ROWS:
        table.caption = f"{len(scores) - MAX_TABLE_ROWS} more in scores.csv"
    if len(scores) > 1:
        psnr, ssim = ([v for video in scores for v in getattr(video, key)] for key in ("psnr", "ssim"))
        table.add_section()
        table.add_row("all", str(len(psnr)), "", f"{fmean(psnr):.2f}", f"{fmean(ssim):.4f}")
    return table
