"""Prompts of the videos in a folder: one per line, or by name in JSON, JSON lines or CSV."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eval.loaders.media_files import open_text, read_csv_rows

LOG = logging.getLogger(__name__)
NAME_KEYS = ("id", "name", "video", "file", "path")
TEXT_KEYS = ("prompt", "caption", "text")


def read_prompts(path: str | Path, ids: list[str]) -> dict[str, str]:
    """Return the prompt of each sample.

    .txt: a line for each sample, in the order of their names. .json: an object name -> prompt. .jsonl, .csv:
    a record for each, with its name (keys `id`, `name`, `video`, `file` or `path`) and its `prompt`
    (`caption`, `text`). Names are ids, with or without suffix. Other names are counted in a warning.

    Raises:
        ValueError: the file is unreadable, a sample has no prompt, or two.
    """
    path, known = Path(path), set(ids)
    if path.suffix.lower() == ".txt":
        lines = read_lines(path)
        if len(lines) != len(ids):
            raise ValueError(f"prompts: {path} has {len(lines)} lines for {len(ids)} samples")
        return dict(zip(ids, lines, strict=True))
    prompts, num_others = dict[str, str](), 0
    for where, name, text in _read_named(path):
        key = name if name in known else name.rpartition(".")[0]
        if key not in known:
            num_others += 1
            continue
        if key in prompts:
            raise ValueError(f"prompts: {where}: {name!r} occurs twice")
        prompts[key] = text
    missing = [each for each in ids if each not in prompts]
    if missing:
        raise ValueError(
            f"prompts: {path} has none for {len(missing)} of {len(ids)} samples, first {missing[0]!r}"
        )
    if num_others:
        LOG.warning("prompts: %s: %d names are of no sample", path, num_others)
    return prompts


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, split at line feeds only, without the last one if it is empty."""
    try:
        with open_text(path) as file:
            lines = [line.removesuffix("\r").strip() for line in file.read().split("\n")]
    except UnicodeDecodeError:
        raise ValueError(f"prompts: {path} is not UTF-8") from None
    return lines[:-1] if lines and not lines[-1] else lines


def _read_named(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield place, name and prompt of each record."""
    suffix = path.suffix.lower()
    try:
        with open_text(path) as file:
            if suffix == ".csv":
                rows = read_csv_rows(path, file)
                header = next(rows, (1, []))[1]
                yield from _pick(
                    path, ((line, dict(zip(header, cells, strict=False))) for line, cells in rows)
                )
            elif suffix == ".jsonl":
                lines = (
                    (number, line) for number, line in enumerate(file.read().split("\n"), 1) if line.strip()
                )
                yield from _pick(path, ((number, json.loads(line)) for number, line in lines))
            elif suffix == ".json":
                content = json.load(file)
                if isinstance(content, dict):
                    content = [{"id": name, "prompt": text} for name, text in content.items()]
                yield from _pick(path, enumerate(content, 1))
            else:
                raise ValueError(f"prompts: expected a .txt, .json, .jsonl or .csv file, got {path.name}")
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"prompts: {path} cannot be read ({' '.join(str(error).split())})") from None


def _pick(path: Path, records: Iterable[tuple[int, Any]]) -> Iterator[tuple[str, str, str]]:
    for number, record in records:
        where = f"{path}:{number}"
        if not isinstance(record, dict):
            raise ValueError(f"prompts: {where}: expected an object, got {type(record).__name__}")
        fields = {str(key).strip(): value for key, value in record.items()}
        name = next((fields[key] for key in NAME_KEYS if key in fields), None)
        text = next((fields[key] for key in TEXT_KEYS if key in fields), None)
        if name is None or not isinstance(text, str):
            raise ValueError(
                f"prompts: {where}: expected a name ({', '.join(NAME_KEYS)}) and a prompt, "
                f"got {', '.join(fields)}"
            )
        yield where, str(name), text.strip()
