"""Requests for audio: videos of files, folders, manifests and data sets, or prompts alone.

Legend: T frames, H height, W width, C = 3 channels (RGB, uint8).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.core.media_io.container import printable, printable_stem
from src.core.media_io.errors import ONE_CLOCK, MediaError, MediaEvent
from src.core.media_io.formats import media_kind
from src.core.media_io.frames import square_pixels
from src.core.media_io.paths import check_relative, resolve_inside
from src.core.media_io.video_reader import open_video
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.prompts import PromptRequest, check_entry, read_requests
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.records import ClipRecord, LatentRecord

RESULTS = (
    "video",
    "audio",
    "prompt",
    "audio_prompt",
    "rewritten",
    "system",
    "generation",
)  # keys of a manifest that do not carry over
TimedFrame = tuple[NDArray[np.uint8], float]


@dataclass(frozen=True)
class Video:
    """A video that is read again each time: nothing of it is held.

    `frames` yields frames uint8 [H, W, C] and the time in seconds at which each is shown. `shown_at(fps)`
    yields what is on the screen at each tick. `path` is the file whose audio is the original, if it has any.
    `events` holds what was noticed while reading, once the frames are read.
    """

    name: str
    fps: float
    frames: Callable[[], Iterator[TimedFrame]]
    shown_at: Callable[[float], Iterator[TimedFrame]]
    path: Path | None = None
    events: list[MediaEvent] = field(default_factory=list)


@dataclass(frozen=True)
class AudioRequest:
    """One piece of audio to generate; `open_video` gives its video, and is None if there is none.

    `generation` is what the manifest states of the output: of which item it is one of several candidates.
    """

    prompt: PromptRequest
    open_video: Callable[[], Video] | None = None
    generation: dict[str, str] = field(default_factory=dict)


def read_audio_requests(config: GenerateAudioConfig, prompts: list[str]) -> list[AudioRequest]:
    """Return all requests in order, each candidate with a seed of its own.

    Raises:
        UserError: nothing to do, an unreadable file, or several prompts for videos.
    """
    if not config.videos and not config.data:
        requests = read_requests(
            prompts, config.prompts, config.seed, config.num_candidates, config.negative_prompt
        )
        several = config.num_candidates > 1
        return [
            AudioRequest(
                replace(r, prompt=audio_caption(r.prompt, config.quality)),
                generation={"candidate_of": r.id.rpartition("-")[0]} if several else {},
            )
            for r in requests
        ]
    if len(prompts) > 1:
        raise UserError(f"{len(prompts)} prompts for videos: give one prompt=..., or `prompt` in a manifest")
    text = audio_caption(prompts[0], config.quality) if prompts else ""
    found = _records(config, text) if config.data else _files(config, text)
    if not found:
        raise UserError(f"videos={config.videos or config.data}: no videos there")
    items: list[AudioRequest] = []
    for i, (entry, opened) in enumerate(found):
        extra = {k: v for k, v in entry.items() if k not in ("id", "prompt", "rewritten", "seed")}
        generation = {"candidate_of": entry["id"]} if config.num_candidates > 1 else {}
        for k in range(config.num_candidates):
            name = entry["id"] if config.num_candidates == 1 else f"{entry['id']}-{k}"
            seed = entry.get("seed", config.seed + i * config.num_candidates) + k
            prompt = PromptRequest(
                name,
                entry.get("prompt", text),
                seed,
                extra,
                entry.get("rewritten"),
                negative_prompt=config.negative_prompt,
            )
            items.append(AudioRequest(prompt, opened, generation))
    counts = Counter(item.prompt.file_stem for item in items)
    repeated = next((name for name, count in counts.items() if count > 1), "")
    if repeated:
        raise UserError(f"videos={config.videos}: {repeated!r} names two outputs; videos need other names")
    return items


def audio_caption(prompt: str, quality: float) -> str:
    """Return a prompt in the form of training's captions; one that has it already stays."""
    if not prompt or AudioCaption.parse(prompt) is not None:
        return prompt
    return AudioCaption(description=prompt, quality=quality).text()


Found = list[tuple[dict[str, Any], Callable[[], Video]]]


def _files(config: GenerateAudioConfig, text: str) -> Found:
    path = Path(config.videos)
    if path.suffix == ".jsonl":
        return _manifest(config, path, text)
    if path.is_dir():
        files = _videos_in(path)
    elif path.is_file():
        files = [path]
    else:
        raise UserError(f"videos={path}: no such file or folder")
    return [({"id": printable_stem(file), "prompt": text}, _reader(partial(Path, file))) for file in files]


def _videos_in(folder: Path) -> list[Path]:
    """Return a folder's videos; what else lies there is counted and printed."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    videos = [p for p in files if not p.name.startswith(".") and media_kind(p) == "video"]
    others = Counter(p.suffix or p.name for p in files if p not in videos)
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        Console(highlight=False, markup=False).print(f"{folder}: not videos: {kinds}", soft_wrap=True)
    return videos


def _manifest(config: GenerateAudioConfig, path: Path, text: str) -> Found:
    found: Found = []
    try:
        # str.splitlines would also split at U+2028 inside a prompt
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"videos={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"videos={path}: not UTF-8 text ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("video"), str):
            raise UserError(f"{path}:{number}: expected an object with a path `video`")
        check_entry(entry, f"{path}:{number}")
        try:
            name = check_relative(entry["video"])
        except MediaError as error:
            raise UserError(f"{path}:{number}: video: {error}") from error
        caption = audio_caption(str(entry.get("audio_prompt", text)), config.quality)
        if config.captions:
            caption = audio_caption(str(entry.get("prompt", text)), config.quality)
        kept = {k: v for k, v in entry.items() if k not in RESULTS}
        # results are scored against the video's own prompt
        texts = (
            {"prompt": str(entry["prompt"]), "rewritten": caption}
            if "prompt" in entry
            else {"prompt": caption}
        )
        opened = _reader(partial(resolve_inside, path.parent, name))
        found.append(({"id": printable_stem(Path(name)), **kept, **texts}, opened))
    return found


def _records(config: GenerateAudioConfig, text: str) -> Found:
    dataset = Dataset(config.data)
    if dataset.info.kind != "pixels":
        raise UserError(f"data={config.data}: holds {dataset.info.kind}, expected prepared videos")
    found: Found = []
    for bucket, reader in dataset.readers.items():
        for index in range(len(reader)):
            record = reader[index]
            assert not isinstance(record, LatentRecord | AudioRecord)
            if record.bucket.is_image or not record.id.startswith(config.id_prefixes or ("",)):
                continue
            prompt = record.audio_captions[0] if config.captions and record.audio_captions else text
            entry = {"id": record.id.replace("/", "_"), "prompt": prompt, "facts": record.facts}
            found.append((entry, _record_reader(dataset, bucket, index)))
            if len(found) == config.num_videos:
                return found
    return found


def _record_reader(dataset: Dataset, bucket: str, index: int) -> Callable[[], Video]:
    def opened() -> Video:
        record: ClipRecord = dataset.pixels(bucket, index)
        frames_THWC = np.ascontiguousarray(record.video_TCHW.permute(0, 2, 3, 1).numpy())

        def frames() -> Iterator[TimedFrame]:
            return ((frame, i / record.fps) for i, frame in enumerate(frames_THWC))

        return Video(record.id, record.fps, frames, lambda fps: frames())

    return opened


def _reader(locate: Callable[[], Path]) -> Callable[[], Video]:
    def opened() -> Video:
        path = None
        try:
            path = locate()
            with open_video(path) as video:
                rate = video.fps
        except MediaError as error:
            raise UserError(f"{printable(path)}: {error}" if path else str(error)) from error
        events: list[MediaEvent] = []
        frames = partial(_frames, path, None, events)
        return Video(printable(path.name), rate, frames, lambda fps: _frames(path, fps, []), path, events)

    return opened


def _frames(path: Path, fps: float | None, events: list[MediaEvent]) -> Iterator[TimedFrame]:
    """Yield frames in square pixels; a jump of the clock is an error, which audio would not follow."""
    try:
        with open_video(path, raise_on=ONE_CLOCK) as video:
            for frame in video.frames(fps=fps):
                yield square_pixels(frame.rgb_HWC, video.pixel_aspect), frame.time_s
            events += video.events
    except MediaError as error:
        raise UserError(f"{printable(path)}: {error}") from error
