"""Features on disk, by the bytes they were made from: a file made again is never mistaken for the old one."""

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from eval.backbones.extractor import Extractor, Rows, file_sha256, key


class FeatureCache:
    """A folder of features. The key is sha256(file's bytes) with sha256(extractor's description).

    Safe to share between processes: files are written aside and renamed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.hits, self.misses = 0, 0

    def rows(self, extractor: Extractor, path: Path) -> Rows:
        """Features of a file, from the cache or extracted and stored.

        Raises:
            ValueError: from the extractor, or for features that are not finite. Neither is stored.
        """
        return self._made(extractor, path, self.place(extractor, path))

    def keyed(self, extractor: Extractor, path: Path) -> tuple[str, Rows]:
        """The same with the key they are stored under, by which `stored` finds them again."""
        place = self.place(extractor, path)
        return place.stem, self._made(extractor, path, place)

    def stored(self, extractor: Extractor, key: str) -> Rows:
        """Features by their key; the file they were made from is not read.

        Raises:
            ValueError: they are not there any more.
        """
        found = _read(self._place(extractor, key))
        if found is None:
            raise ValueError(f"{self.folder}: the features {key} of {extractor.name} are gone")
        return found

    def _made(self, extractor: Extractor, path: Path, place: Path) -> Rows:
        found = _read(place)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        rows = extractor.extract(path)
        for name, values in rows.items():
            if values.ndim != 2 or not len(values):
                raise ValueError(f"{extractor.name}: {name} of shape {list(values.shape)}, expected rows")
            if not np.isfinite(values).all():
                raise ValueError(f"{extractor.name}: {name} are not finite")
        _write(place, rows)
        return rows

    def place(self, extractor: Extractor, path: Path) -> Path:
        """Where the features of this file by this extractor lie."""
        both = hashlib.sha256(f"{file_sha256(path)} {key(extractor)}".encode()).hexdigest()
        return self._place(extractor, both)

    def _place(self, extractor: Extractor, key: str) -> Path:
        return self.folder / extractor.name / key[:2] / f"{key}.npz"


def _read(place: Path) -> Rows | None:
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # absent, or torn by a machine that stopped: made again


def _write(place: Path, rows: Rows) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **{name: values.astype(np.float32) for name, values in rows.items()})
        os.replace(partial, place)
    finally:
        partial.unlink(missing_ok=True)
