"""Generate audio for every requested video or prompt into a directory, with a manifest.

Files are named by id and seed. A manifest line is written when its files are complete, so that an interrupted
command leaves a valid manifest of what is there.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor

from src.core import config, provenance
from src.core.errors import UserError
from src.core.progress import ProgressReport
from src.inference.audio_output import (
    Original,
    Pieces,
    SpooledAudio,
    lower_peaks,
    mix,
    original_of,
    set_loudness,
    spool,
    with_channels,
    write_spooled,
    write_with_video,
)
from src.inference.audio_pipeline import AudioPipeline, SeenVideo, batches
from src.inference.audio_requests import AudioRequest, Video, read_audio_requests
from src.inference.generate_audio_config import GenerateAudioConfig
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint

MANIFEST = "manifest.jsonl"


def generate(settings: GenerateAudioConfig, prompts: list[str]) -> Path:
    """Generate and write all requested audio; return the manifest's path."""
    requests = read_audio_requests(settings, prompts)
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "generated")
    if not settings.overwrite:
        refuse_existing(out, requests, settings)
    pipeline = AudioPipeline(settings)
    pipeline.check_requests(requests)
    print_truncated(pipeline, requests)
    make_folder(out, "out")
    write_record(pipeline, out)
    write_all(pipeline, requests, out)
    return out / MANIFEST


def print_truncated(pipeline: AudioPipeline, requests: list[AudioRequest]) -> None:
    """Print which prompts are longer than the model reads."""
    truncated = pipeline.truncated_ids(requests)
    if truncated:
        ids = ", ".join(truncated[:8]) + (", ..." if len(truncated) > 8 else "")
        Console(highlight=False, markup=False).print(
            f"warning: {len(truncated)} of {len(requests)} prompts are longer than the text encoder's limit "
            f"and are truncated: {ids}",
            soft_wrap=True,
        )


def refuse_existing(out: Path, requests: list[AudioRequest], settings: GenerateAudioConfig) -> None:
    """Raise UserError if the output directory has a manifest, or a file that this command would replace."""
    paths = [out / MANIFEST, *(out / path for r in requests for path in output_paths(r, settings))]
    existing = next(filter(Path.exists, paths), None)
    if existing is not None:
        raise UserError(f"{existing} exists; give another out=... or overwrite=true")


def output_paths(request: AudioRequest, settings: GenerateAudioConfig) -> tuple[Path, Path]:
    """Return the files of a request, relative to the output directory: audio, and video with audio."""
    name = request.prompt.file_stem
    return Path("audio", f"{name}.{settings.audio_format}"), Path("videos", f"{name}.mp4")


def write_record(pipeline: AudioPipeline, out: Path) -> None:
    """Write settings, checkpoint and provenance to generation.json."""
    record = {
        "settings": config.to_dict(pipeline.config),
        "sampler": config.to_dict(pipeline.sampler),
        "checkpoint": str(find_checkpoint(Path(pipeline.config.run))),
        "provenance": provenance.collect(),
    }
    (out / "generation.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_all(pipeline: AudioPipeline, requests: list[AudioRequest], out: Path) -> None:
    """Sample, decode and write batch by batch; videos that cannot be read are left out, counted and listed.

    Raises:
        UserError: none of the videos can be read.
    """
    num_steps, count = pipeline.sampler.num_steps, 0
    unreadable: list[str] = []
    report = ProgressReport("generate", len(requests) * num_steps)
    notes: Counter[str] = Counter()
    with (out / MANIFEST).open("w", encoding="utf-8") as manifest, report:
        for part, videos in parts_of(pipeline, requests, unreadable):
            seconds = videos[0].seconds if videos else pipeline.config.seconds or pipeline.default_seconds()
            for entry in write_part(pipeline, part, videos, seconds, out, report, notes, unreadable):
                manifest.write(json.dumps(entry) + "\n")
                manifest.flush()
                count += 1
                report.update(count * num_steps)  # adaptive solvers take other numbers of steps
    if not count:
        raise UserError(unreadable[0])
    console = Console(highlight=False, markup=False)
    for reason in unreadable:
        console.print(f"left out: {reason}", soft_wrap=True)
    for note, number in notes.items():
        console.print(f"{number} of {count} items: {note}", soft_wrap=True)
    console.print(f"{count} items and their manifest: {out / MANIFEST}", soft_wrap=True)


def parts_of(
    pipeline: AudioPipeline, requests: list[AudioRequest], unreadable: list[str]
) -> Iterator[tuple[list[AudioRequest], list[SeenVideo]]]:
    """Yield consecutive requests that are sampled together, with their videos if they have any.

    Their videos have as many frames and the same length; long ones are fewer, so that a batch holds about as
    much at any length.

    Args:
        unreadable: receives why a video is left out.
    """
    for batch in batches(requests, pipeline.config.batch_size):
        if batch[0].open_video is None:
            yield batch, []
            continue
        seen: list[tuple[AudioRequest, SeenVideo]] = []
        for request in batch:
            assert request.open_video is not None
            is_same = seen and seen[-1][0].open_video is request.open_video  # another candidate
            try:
                video = seen[-1][1] if is_same else pipeline.watch(request.open_video())
            except UserError as error:
                unreadable.append(str(error))
                continue
            seen.append((request, video))
        for (_, seconds), group in groupby(
            seen, key=lambda pair: (len(pair[1].times_T), round(pair[1].seconds, 3))
        ):
            pairs = list(group)
            layout = pipeline.layout(seconds)
            size = max(pipeline.config.batch_size * layout.size // layout.num_latents, 1)
            for start in range(0, len(pairs), size):
                part, videos = zip(*pairs[start : start + size], strict=True)
                yield list(part), list(videos)


def write_part(
    pipeline: AudioPipeline,
    part: list[AudioRequest],
    videos: list[SeenVideo],
    seconds: float,
    out: Path,
    report: ProgressReport,
    notes: Counter[str],
    unreadable: list[str],
) -> Iterator[dict[str, Any]]:
    """Write the files of requests that are sampled together; yield each manifest entry once complete.

    Args:
        unreadable: receives why an item is left out.
    """
    settings, rate = pipeline.config, pipeline.sample_rate
    originals = [original_of(video.video, settings, rate, seconds, pipeline.num_channels) for video in videos]
    kept = [settings.original == "keep" and original is not None for original in originals]
    heard = videos
    if settings.shuffled and len(videos) > 1:
        heard = [*videos[1:], videos[0]]
    chosen = [i for i in range(len(part)) if not (kept and kept[i])]
    latents: dict[int, Tensor] = {}
    layout = pipeline.layout(seconds)
    if chosen:
        steps = StepCounter(report, layout.num_passes(settings.long))
        sampled = pipeline.sample(
            [part[i] for i in chosen], [heard[i] for i in chosen] if heard else None, seconds, steps.add
        )
        latents = dict(zip(chosen, sampled, strict=True))
    for i, request in enumerate(part):
        original = originals[i] if originals else None
        pieces = output_pieces(
            pipeline, None if i not in latents else pipeline.decode(latents[i], seconds), original
        )
        num_channels = original.num_channels if i not in latents and original else pipeline.num_channels
        try:
            audio = spool(pieces, num_channels, rate, out)
        except UserError as error:  # the original's audio
            unreadable.append(str(error))
            continue
        if settings.loudness_lufs is not None and not set_loudness(audio, settings.loudness_lufs):
            notes["quieter than loudness_lufs: silent, or its peaks allow no more"] += 1
        if lower_peaks(audio):
            notes["level lowered to keep peaks below full scale"] += 1
        entry = write_files(pipeline, request, videos[i].video if videos else None, audio, out)
        borders = [round(each / pipeline.stage.latent_rate, 4) for each in layout.borders]
        if i not in latents:
            notes["audio of the original was kept"] += 1
            entry["system"] = "original"
        elif borders:
            entry["generation"]["borders_s"] = borders
        for event in videos[i].video.events if videos else ():
            notes[f"{event.reason} in the video ({event.detail})"] += 1
        yield entry


@dataclass
class StepCounter:
    """Reports solver steps of several passes over one batch as parts of one pass."""

    report: ProgressReport
    num_passes: int
    steps: int = 0

    def add(self, step: int, x: Tensor) -> None:
        """Count one step; matches the signature of a solver's `on_step`."""
        before = self.steps // self.num_passes
        self.steps += len(x)
        self.report.advance(self.steps // self.num_passes - before)


def output_pieces(pipeline: AudioPipeline, generated: Pieces | None, original: Original | None) -> Pieces:
    """Return what is written: generated audio, the original, or both mixed."""
    if generated is None:
        assert original is not None
        return original.pieces
    generated = with_channels(generated, pipeline.sample_rate, pipeline.num_channels)
    if original is None:
        return generated
    return mix(generated, original.pieces, 10 ** (pipeline.config.original_gain_db / 20))


def write_files(
    pipeline: AudioPipeline, request: AudioRequest, video: Video | None, audio: SpooledAudio, out: Path
) -> dict[str, Any]:
    """Write audio, and the video with it; return the manifest entry."""
    settings = pipeline.config
    audio_path, video_path = output_paths(request, settings)
    (out / audio_path).parent.mkdir(exist_ok=True)
    write_spooled(out / audio_path, audio)
    system = loading.run_folder(Path(settings.run)).name
    entry = {**request.prompt.manifest_entry(), "system": system, "audio": str(audio_path)}
    entry["generation"] = {**request.generation, **audio.facts()}
    if video is not None:
        (out / video_path).parent.mkdir(exist_ok=True)
        lossless = settings.video_audio == "flac"
        write_with_video(out / video_path, video, audio, settings.crf, lossless_audio=lossless)
        entry["video"] = str(video_path)
    return entry
