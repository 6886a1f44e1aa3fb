"""Generate audio for every requested video or prompt into a directory, with a manifest.

Files are named by id and seed. A manifest line is written when its files are complete, so that an interrupted
command leaves a valid manifest of what is there.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from src.core import config, provenance
from src.core.errors import UserError
from src.core.media_io.audio import Audio
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.video_writer import write_video
from src.core.progress import ProgressReport
from src.inference.audio_pipeline import AudioPipeline, batches
from src.inference.audio_requests import AudioRequest, Video, read_audio_requests
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.generate_videos import MANIFEST
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint


def generate(settings: GenerateAudioConfig, prompts: list[str]) -> Path:
    """Generate and write all requested audio; return the manifest's path."""
    requests = read_audio_requests(settings, prompts)
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "generated")
    if not settings.overwrite:
        refuse_existing(out, requests)
    pipeline = AudioPipeline(settings)
    pipeline.check_requests(requests)
    make_folder(out, "out")
    write_record(pipeline, out)
    write_all(pipeline, requests, out)
    return out / MANIFEST


def refuse_existing(out: Path, requests: list[AudioRequest]) -> None:
    """Raise UserError if the output directory has a manifest, or a file that this command would replace."""
    paths = [out / MANIFEST, *(out / path for r in requests for path in output_paths(r))]
    existing = next(filter(Path.exists, paths), None)
    if existing is not None:
        raise UserError(f"{existing} exists; give another out=... or overwrite=true")


def output_paths(request: AudioRequest) -> tuple[Path, Path]:
    """Return the files of a request, relative to the output directory: audio, and video with audio."""
    name = request.prompt.file_stem
    return Path("audio", f"{name}.wav"), Path("videos", f"{name}.mp4")


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
    """Sample, decode and write batch by batch."""
    num_steps, count = pipeline.sampler.num_steps, 0
    report = ProgressReport("generate", len(requests) * num_steps)
    with (out / MANIFEST).open("w", encoding="utf-8") as manifest, report:
        for batch in batches(requests, pipeline.config.batch_size):
            for part, videos in same_length(batch):
                seconds = (
                    videos[0].seconds if videos else pipeline.config.seconds or pipeline.default_seconds()
                )
                heard = videos
                if pipeline.config.shuffled:
                    heard = [*videos[1:], videos[0]] if len(videos) > 1 else videos
                latent = pipeline.sample(part, heard or None, seconds, lambda i, x: report.advance(len(x)))
                audio = pipeline.decode(latent, seconds)
                for entry in write_files(pipeline, part, videos, audio, out):
                    manifest.write(json.dumps(entry) + "\n")
                    manifest.flush()
                    count += 1
                report.update(count * num_steps)  # adaptive solvers take other numbers of steps
    Console(highlight=False).print(f"{count} items and their manifest: {out / MANIFEST}", soft_wrap=True)


def same_length(batch: list[AudioRequest]) -> Iterator[tuple[list[AudioRequest], list[Video]]]:
    """Yield consecutive requests, and videos, of as many frames and the same length."""
    if batch[0].read_video is None:
        yield batch, []
        return
    pairs = [(request, request.read_video()) for request in batch if request.read_video is not None]
    for _, group in groupby(pairs, key=lambda pair: (len(pair[1].times_T), round(pair[1].seconds, 3))):
        part, videos = zip(*group, strict=True)
        yield list(part), list(videos)


def write_files(
    pipeline: AudioPipeline,
    batch: list[AudioRequest],
    videos: list[Video],
    audio_BCS: NDArray[np.float32],
    out: Path,
) -> Iterator[dict[str, Any]]:
    """Write audio, and videos with it; yield each one's manifest entry once its files are complete."""
    system, rate = loading.run_folder(Path(pipeline.config.run)).name, pipeline.sample_rate
    for index, (request, audio_CS) in enumerate(zip(batch, audio_BCS, strict=True)):
        audio_path, video_path = output_paths(request)
        (out / audio_path).parent.mkdir(exist_ok=True)
        write_audio(out / audio_path, audio_CS, rate)
        entry = {**request.prompt.manifest_entry(), "system": system, "audio": str(audio_path)}
        if videos:
            video = videos[index]
            (out / video_path).parent.mkdir(exist_ok=True)
            write_video(
                out / video_path,
                video.frames_THWC,
                video.fps,
                pipeline.config.crf,
                audio=Audio(audio_CS, rate),
            )
            entry["video"] = str(video_path)
        yield entry
