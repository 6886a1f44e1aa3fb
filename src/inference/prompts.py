"""What is to be generated: prompts from the command line and from files, rewritten where that is asked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.core.errors import UserError
from src.inference.prompt_rewriting import Rewriter


@dataclass(frozen=True)
class Request:
    """One film to make: an entry of the prompts file and the seed of its noise."""

    id: str
    prompt: str
    seed: int
    extra: dict[str, Any]
    rewritten: str | None = None

    @property
    def text(self) -> str:
        """What the model is to read."""
        return self.prompt if self.rewritten is None else self.rewritten

    def entry(self) -> dict[str, Any]:
        """Its part of the manifest. Films are judged by `prompt`, what the user asked for."""
        rewritten = {} if self.rewritten is None else {"rewritten": self.rewritten}
        return {"id": self.id, "prompt": self.prompt, **rewritten, "seed": self.seed}


def read_requests(given: list[str], path: str, seed: int, seeds_per_prompt: int) -> Iterator[Request]:
    """Prompts of the command line, then those of the file; ids name the files.

    Raises:
        UserError: there are none, or the file cannot be read.
    """
    entries = [{"id": f"{i:04d}", "prompt": text} for i, text in enumerate(given)]
    if path:
        entries += read_prompts(Path(path), len(entries))
    if not entries:
        raise UserError('no prompts: give prompt="..." or prompts=FILE')
    for i, entry in enumerate(entries):
        extra = {k: v for k, v in entry.items() if k not in ("id", "prompt")}
        for k in range(seeds_per_prompt):
            name = entry["id"] if seeds_per_prompt == 1 else f"{entry['id']}-{k}"
            yield Request(name, entry["prompt"], seed + i * seeds_per_prompt + k, extra)


def read_prompts(path: Path, first: int) -> list[dict[str, Any]]:
    """A text file's lines, or a JSONL file's objects.

    Raises:
        UserError: the file is missing, not UTF-8, or a line is not an object with a prompt.
    """
    if not path.is_file():
        raise UserError(f"prompts={path}: no such file")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise UserError(f"prompts={path}: not UTF-8 text ({error})") from error
    entries = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        entry: Any = {"prompt": line}
        if path.suffix == ".jsonl":
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str):
            raise UserError(f"{path}:{number}: an object with a text `prompt` is needed")
        name = str(entry.get("id", f"{first + len(entries):04d}"))
        if "/" in name or name.startswith(".") or len(name) > 100:
            raise UserError(f"{path}:{number}: id {name!r} cannot name a file")
        entries.append({**entry, "id": name})
    return entries


def rewrite(requests: list[Request], by: Rewriter | None) -> list[Request]:
    """The requests with their prompts rewritten, each different prompt once."""
    if by is None:
        return requests
    prompts = list(dict.fromkeys(request.prompt for request in requests))
    found = dict(zip(prompts, by(prompts), strict=True))
    return [replace(request, rewritten=found[request.prompt]) for request in requests]
