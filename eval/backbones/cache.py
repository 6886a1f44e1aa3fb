"""Features on disk, keyed by the contents of the media file and the description of the extractor."""

import hashlib
import zipfile
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from eval.backbones.extractor import Extractor, Rows, description_sha256
from src.core.atomic import atomic_write
from src.core.hashing import file_sha256


class FeatureCache:
    """A folder of features, keyed by sha256(media file) and sha256(extractor's description).

    Processes may share it: files are written atomically.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.hits, self.misses = 0, 0

    def load_or_extract(self, extractor: Extractor, path: Path) -> Rows:
        """Return the features of a file, from the cache or extracted and stored.

        Raises:
            ValueError: the extractor rejects the file, or features are not finite; nothing is stored then.
        """
        return self._load_or_extract(extractor, path, self.entry(extractor, path))

    def load_or_extract_with_key(self, extractor: Extractor, path: Path) -> tuple[str, Rows]:
        """Return the key under which `load` finds the features again, and the features."""
        entry = self.entry(extractor, path)
        return entry.stem, self._load_or_extract(extractor, path, entry)

    def find(self, extractor: Extractor, path: Path) -> bool:
        """Return whether the cache has the features of a file."""
        return _read(self.entry(extractor, path)) is not None

    def store(self, extractor: Extractor, path: Path, rows: Rows) -> None:
        """Store features of a file.

        Raises:
            ValueError: they are not finite rows.
        """
        self.misses += 1
        _check(extractor, rows)
        _write(self.entry(extractor, path), rows)

    def load(self, extractor: Extractor, key: str) -> Rows:
        """Return features by their key, without reading the media file.

        Raises:
            ValueError: the cache has no such entry.
        """
        found = _read(self._entry(extractor, key))
        if found is None:
            raise ValueError(f"{self.folder}: features {key} of {extractor.name} are missing from the cache")
        return found

    def _load_or_extract(self, extractor: Extractor, path: Path, entry: Path) -> Rows:
        found = _read(entry)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        rows = extractor.extract(path)
        _check(extractor, rows)
        _write(entry, rows)
        return rows

    def entry(self, extractor: Extractor, path: Path) -> Path:
        """Return the path of the cache entry for a media file and an extractor."""
        both = f"{file_sha256(path)} {description_sha256(extractor)}"
        return self._entry(extractor, hashlib.sha256(both.encode()).hexdigest())

    def _entry(self, extractor: Extractor, key: str) -> Path:
        return self.folder / extractor.name / key[:2] / f"{key}.npz"


@runtime_checkable
class OverFeatures(Protocol):
    """A metric over the features of a backbone, which it reads from a cache."""

    extractor: Extractor
    cache: FeatureCache


def _check(extractor: Extractor, rows: Rows) -> None:
    for name, values in rows.items():
        if values.ndim != 2 or not len(values):
            raise ValueError(f"{extractor.name}: {name} of shape {list(values.shape)}, expected [N, D]")
        if not np.isfinite(values).all():
            raise ValueError(f"{extractor.name}: {name} are not finite")


def _read(entry: Path) -> Rows | None:
    try:
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # missing or truncated (a power cut): extracted again


def _write(entry: Path, rows: Rows) -> None:
    with atomic_write(entry) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: values.astype(np.float32) for name, values in rows.items()})
