"""Keys of what a cache was computed from, so that a stale one is never trained on."""

import hashlib
import json
from pathlib import Path
from typing import Any

from src.streaming.schema.bucket import SCHEMA_VERSION, DataError


def stable_hash(value: Any) -> str:
    """Return 16 hex digits of the sha256 of a plain value (dict, list, str, number), in any key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def encoder_key(weights_sha256: str, preprocessing: dict[str, Any]) -> str:
    """Return the key of an encoder: its weights, its preprocessing, and the record schema."""
    return stable_hash({"weights": weights_sha256, "preprocessing": preprocessing, "schema": SCHEMA_VERSION})


def latent_key(content: str, encoder: str) -> str:
    """Return the key of a latent cache: the pixel data set's content hash and the encoder's key."""
    return f"{content[:16]}-{encoder}"


def check_key(where: Path | str, found: str, expected: str, rebuild_command: str) -> None:
    """Raise DataError, naming both keys and the command that rebuilds it, unless they are equal."""
    if found != expected:
        raise DataError(
            f"{where}: stale cache: key {found}, expected {expected}; rebuild with: {rebuild_command}"
        )
