"""Captions from text: decoding by byte order mark, one caption per line ending, NAME.txt and NAME.json."""

import codecs
import json
import re
import unicodedata
from typing import Any

from src.core.media_io.errors import MediaError

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Not str.splitlines, which also splits inside a caption: at U+2028, U+0085 and form feeds.
_LINE_ENDING = re.compile(r"\r\n|\r|\n")


def encoding_of(data: bytes) -> str:
    """Return the encoding that a byte order mark names, else "utf-8"."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")


def decode_text(data: bytes, name: str) -> str:
    """Decode a caption file of UTF-8, or of UTF-16 or UTF-32 with a byte order mark.

    Raises:
        MediaError: "caption is not UTF-8" with the position of the byte, or "caption has a zero byte".
    """
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise MediaError("caption is not UTF-8", f"{name}, byte {error.start}") from None
    if "\0" in text:
        raise MediaError("caption has a zero byte", f"{name}, character {text.index(chr(0))}")
    return text


def split_lines(text: str) -> list[str]:
    """Return the lines of a text; only \\n, \\r\\n and \\r end a line."""
    return _LINE_ENDING.split(text)


def clean_caption(text: str) -> str:
    """Return a caption without space around it, in Unicode's composed form."""
    return unicodedata.normalize("NFC", text.strip())


def captions_of_text(data: bytes, name: str) -> list[str]:
    """Return the captions of a text file, one per line; MediaError as `decode_text`."""
    return [clean_caption(line) for line in split_lines(decode_text(data, name)) if line.strip()]


def captions_of_json(data: bytes, name: str, key: str) -> tuple[list[str], dict[str, Any]]:
    """Return the captions of a JSON file and its object.

    The file holds a text, a list of texts, or an object whose `key` or `captions` is one of these; an
    object with neither gives no caption.

    Raises:
        MediaError: "caption is not JSON", or as `decode_text`.
    """
    try:
        value = json.loads(decode_text(data, name))
    except ValueError as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError("caption is not JSON", f"{name}: {error}") from None
    entries = value if isinstance(value, dict) else {}
    texts = value if not isinstance(value, dict) else value.get(key, value.get("captions", []))
    return captions_of_value(texts, name), entries


def captions_of_value(value: Any, name: str) -> list[str]:
    """Return the captions of a text, a list of texts, or nothing; MediaError "bad caption" for all else."""
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else value
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise MediaError("bad caption", f"{name}: neither a text nor a list of texts")
    return [clean_caption(text) for text in texts if text.strip()]
