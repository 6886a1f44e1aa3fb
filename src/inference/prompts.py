"""Prompts from the command line and from files, rewritten on demand."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.core.errors import UserError
from src.inference.prompt_rewriting import Rewriter

OWN_KEYS = ("id", "prompt", "seed", "negative_prompt")
# Keys that generation writes: a manifest can serve as a prompts file, but its results do not carry over.
RESULT_KEYS = ("rewritten", "system", "video", "audio", "image", "generation")


@dataclass(frozen=True)
class PromptRequest:
    """One video to generate: an entry of the prompts file and the seed of its noise.

    `extra` holds the entry's further keys, which are copied into the manifest. An empty `negative_prompt`
    stands for the null condition.
    """

    id: str
    prompt: str
    seed: int
    extra: dict[str, Any]
    rewritten: str | None = None
    negative_prompt: str = ""

    @property
    def text(self) -> str:
        """The prompt that the model reads."""
        return self.prompt if self.rewritten is None else self.rewritten

    @property
    def file_stem(self) -> str:
        """The output file's name without its suffix."""
        return f"{self.id}_seed{self.seed}"

    def manifest_entry(self) -> dict[str, Any]:
        """Return the request's keys of the manifest. Videos are scored against `prompt`, not `rewritten`."""
        rewritten = {} if self.rewritten is None else {"rewritten": self.rewritten}
        negative = {"negative_prompt": self.negative_prompt} if self.negative_prompt else {}
        return {
            **self.extra,
            "id": self.id,
            "prompt": self.prompt,
            **rewritten,
            **negative,
            "seed": self.seed,
        }


def read_requests(
    prompts: list[str], path: str, seed: int, seeds_per_prompt: int, negative_prompt: str = ""
) -> list[PromptRequest]:
    """Return the prompts of the command line, then those of the file `path` (empty: none).

    An entry's own `seed` and `negative_prompt` take precedence over the arguments.

    Raises:
        UserError: no prompts, an unreadable file, or a repeated id.
    """
    entries: list[dict[str, Any]] = [{"id": f"{i:04d}", "prompt": text} for i, text in enumerate(prompts)]
    if path:
        entries += read_prompts(Path(path), len(entries))
    if not entries:
        raise UserError('no prompts: give prompt="..." or prompts=FILE')
    requests = []
    for i, entry in enumerate(entries):
        extra = {key: value for key, value in entry.items() if key not in OWN_KEYS + RESULT_KEYS}
        first_seed = entry.get("seed", seed + i * seeds_per_prompt)
        negative = entry.get("negative_prompt") or negative_prompt
        for k in range(seeds_per_prompt):
            name = entry["id"] if seeds_per_prompt == 1 else f"{entry['id']}-{k}"
            request = PromptRequest(name, entry["prompt"], first_seed + k, extra, negative_prompt=negative)
            requests.append(request)
    repeated = [name for name, count in Counter(request.id for request in requests).items() if count > 1]
    if repeated:
        raise UserError(f"prompts={path}: id {repeated[0]!r} is repeated; ids name the files and must differ")
    return requests


def read_prompts(path: Path, first: int) -> list[dict[str, Any]]:
    """Return a text file's lines, or a JSONL file's objects; entries without an id are numbered from `first`.

    Raises:
        UserError: the file is missing or not UTF-8, or a line is not an object with a prompt.
    """
    if not path.is_file():
        raise UserError(f"prompts={path}: no such file")
    try:
        # utf-8-sig drops a byte order mark; str.splitlines would also split at U+2028 inside a prompt.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"prompts={path}: not UTF-8 text ({error})") from error
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            entry = _parse_line(line.strip(), f"{path}:{number}", path.suffix == ".jsonl")
            entries.append({"id": f"{first + len(entries):04d}"} | entry)
    return entries


def _parse_line(line: str, where: str, is_json: bool) -> dict[str, Any]:
    """Return one line's entry with its known keys checked; `where` is for messages."""
    if not is_json:
        return {"prompt": line}
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str):
        raise UserError(f"{where}: expected an object with a text `prompt`")
    check_entry(entry, where)
    return entry


def check_entry(entry: dict[str, Any], where: str) -> None:
    """Check id, seed and negative prompt of an entry; an id becomes text.

    Raises:
        UserError: an id that cannot name a file, or a value of another type.
    """
    if "id" in entry:
        entry["id"] = name = str(entry["id"])
        if not name or "/" in name or name.startswith(".") or len(name) > 100:
            raise UserError(f"{where}: id {name!r} cannot name a file")
    if type(entry.get("seed", 0)) is not int:
        raise UserError(f"{where}: `seed` must be an integer, got {entry['seed']!r}")
    if not isinstance(entry.get("negative_prompt", ""), str | None):
        raise UserError(f"{where}: `negative_prompt` must be text, got {entry['negative_prompt']!r}")


def rewrite_prompts(requests: list[PromptRequest], rewriter: Rewriter | None) -> list[PromptRequest]:
    """Return the requests with their prompts rewritten; each distinct prompt is rewritten once."""
    if rewriter is None:
        return requests
    prompts = list(dict.fromkeys(request.prompt for request in requests))
    rewritten = dict(zip(prompts, rewriter(prompts), strict=True))
    return [replace(request, rewritten=rewritten[request.prompt]) for request in requests]
