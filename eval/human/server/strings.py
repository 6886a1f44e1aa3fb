"""Texts of the pages by language: strings/LANGUAGE.yaml, all with the same keys."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "strings"
Strings = dict[str, dict[str, str]]
"""language -> key -> text"""


def load_strings(languages: tuple[str, ...]) -> Strings:
    """Read the texts of some languages.

    Raises:
        ValueError: a language lacks a file or a key of English.
    """
    english = _read("en")
    strings = {language: _read(language) for language in languages}
    for language, texts in strings.items():
        if different := sorted(english.keys() ^ texts.keys()):
            raise ValueError(f"strings/{language}.yaml: key {different[0]!r} is missing or unknown")
    return strings


def _read(language: str) -> dict[str, str]:
    path = FOLDER / f"{language}.yaml"
    if not path.is_file():
        raise ValueError(f"languages: no {path.name} in {FOLDER}")
    texts: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {str(key): str(text) for key, text in texts.items()}


def localize(text: dict[str, str], language: str) -> str:
    """Return a text in a language, in English, or in the only one that it has."""
    return text.get(language) or text.get("en") or next(iter(text.values()), "")
