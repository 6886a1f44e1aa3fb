"""Commands of a longer run in this process: seconds less for each. Processes are tested with the recipe."""

import importlib

import pytest

from src.experiments import commands


def in_process(patch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace `commands.execute`; returns the commands as they come."""
    seen: list[list[str]] = []

    def execute(name: str, words: list[str]) -> float:
        seen.append(words)
        importlib.import_module(words[0]).main(words[1:])
        return 0.0

    patch.setattr(commands, "execute", execute)
    return seen
