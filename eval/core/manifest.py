"""The manifest: one JSON object per line, one line per sample; the only interface to generation.

Samples are named by their ids, never by prompts (which may contain slashes or exceed the length of a file
name). Media paths are relative to the manifest's folder and may not leave it, so that a folder with its
manifest can be moved, archived and scored elsewhere.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from src.core.atomic import atomic_write
from src.core.media_io.errors import MediaError
from src.core.media_io.paths import check_relative, resolve_inside

MEDIA_KEYS = ("video", "audio", "image", "reference", "source")
TEXT_KEYS = ("source_caption", "output_caption", "rewritten")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One generated (or real) sample.

    `video`, `audio`, `image`: the media to score; `reference`: ground truth, or an image of the subject to
    keep; `source`: the video before an edit, or the video that audio was generated for. `source_caption`,
    `output_caption`: of an edit, captions before and after it, where `prompt` is the instruction.
    `rewritten`: the prompt given to the model instead of `prompt`. `facts`: the world's ground truth as
    plain JSON (see `data.bounce`), used for scoring only. `generation`: what the generator states of its
    output, such as channels, loudness and borders of windows. `tags`: slices that get rows of their own.
    """

    id: str
    prompt: str
    rewritten: str | None = None
    system: str = ""
    seed: int | None = None
    video: str | None = None
    audio: str | None = None
    image: str | None = None
    reference: str | None = None
    source: str | None = None
    source_caption: str | None = None
    output_caption: str | None = None
    facts: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()


_KEYS = {field.name for field in fields(Sample)}


def iter_manifest(path: str | Path, *, check_files: bool = True) -> Iterator[Sample]:
    """Read a manifest line by line, in constant memory except for the set of ids.

    Args:
        path: a JSONL file. Empty lines are skipped.
        check_files: also require that every named media file exists; links are followed once.

    Raises:
        ValueError: as `PATH:LINE: reason`, for a line that is not a JSON object, an unknown key, a wrong
            type, a repeated (system, id), a path that is missing or leaves the folder; also for a manifest
            without samples.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"manifest: no such file: {path}")
    root = path.resolve().parent
    seen: set[tuple[str, str]] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                sample = _parse(line)
                if (sample.system, sample.id) in seen:
                    raise ValueError(f"duplicate id {sample.id!r} (system {sample.system!r})")
                for key in MEDIA_KEYS:
                    if (relative := getattr(sample, key)) is not None:
                        check_relative_path(relative, key)
                        if check_files:
                            resolve_media(root, relative, key)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            seen.add((sample.system, sample.id))
            yield sample
    if not seen:
        raise ValueError(f"{path}: the manifest is empty")


def read_manifest(path: str | Path, *, check_files: bool = True) -> list[Sample]:
    """Return all samples of a manifest; see `iter_manifest` for the errors."""
    return list(iter_manifest(path, check_files=check_files))


def write_manifest(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write a manifest atomically and return its number of samples.

    Media paths must already be relative to the manifest's folder.
    """
    seen: set[tuple[str, str]] = set()
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for sample in samples:
            if (sample.system, sample.id) in seen:
                raise ValueError(f"duplicate id {sample.id!r} (system {sample.system!r})")
            for key in MEDIA_KEYS:
                if (relative := getattr(sample, key)) is not None:
                    check_relative_path(relative, key)
            seen.add((sample.system, sample.id))
            out.write(json.dumps(_plain(sample), ensure_ascii=False) + "\n")
    return len(seen)


def resolve_media(root: Path, relative: str, key: str) -> Path:
    """Return the path of a sample's file; `root` is the manifest's resolved folder.

    Raises:
        ValueError: as `check_relative_path`; also for a missing file, or a link to a link.
    """
    try:
        return resolve_inside(root, relative)
    except MediaError as error:
        raise ValueError(f"{key}: {error.detail}") from None


def check_relative_path(relative: str, key: str) -> None:
    """Check a path without touching the disk, so that a manifest of a million lines is read quickly.

    Raises:
        ValueError: the path is empty, absolute, or leaves the folder.
    """
    try:
        check_relative(relative)
    except MediaError as error:
        raise ValueError(f"{key}: {error.detail}") from None


def _parse(line: bytes) -> Sample:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON (nested too deeply)") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {type(record).__name__}")
    if not record.keys() <= _KEYS:
        unknown = sorted(record.keys() - _KEYS)
        raise ValueError(f"unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}")
    for key in ("id", "prompt"):
        if not isinstance(record.get(key), str):
            raise ValueError(f"{key}: expected a string, got {record.get(key)!r}")
    if not record["id"]:
        raise ValueError("id: must not be empty")
    for key in MEDIA_KEYS:
        if not isinstance(record.get(key), str | None):
            raise ValueError(f"{key}: expected a path or null, got {record[key]!r}")
    for key in TEXT_KEYS:
        if not isinstance(record.get(key), str | None):
            raise ValueError(f"{key}: expected a string or null, got {record[key]!r}")
    if not isinstance(record.get("system", ""), str):
        raise ValueError(f"system: expected a string, got {record['system']!r}")
    if not isinstance(record.get("seed"), int | None) or isinstance(record.get("seed"), bool):
        raise ValueError(f"seed: expected an integer or null, got {record['seed']!r}")
    for key in ("facts", "generation"):
        if not isinstance(record.get(key), dict | None):
            raise ValueError(f"{key}: expected an object or null, got {record[key]!r}")
    tags = record.pop("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"tags: expected a list of strings, got {tags!r}")
    return Sample(**record, tags=tuple(tags))


def _plain(sample: Sample) -> dict[str, Any]:
    """Return the sample as plain JSON without empty keys."""
    record = asdict(sample)
    record["tags"] = list(sample.tags)
    return {k: v for k, v in record.items() if k in ("id", "prompt") or v not in (None, "", [])}
