"""Features of a set in one memory-mapped file, which set metrics read in blocks of bounded memory."""

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class FeatureMemmap:
    """Rows [n, d], appended sample by sample and read back through `numpy.memmap`.

    Use as a context manager; the file is not deleted.
    """

    def __init__(self, path: Path, dtype: DTypeLike = np.float32) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        self.num, self.dim = 0, 0

    def __enter__(self) -> Self:
        self.file: BinaryIO = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def append(self, rows_nd: NDArray[np.floating]) -> None:
        """Append rows.

        Raises:
            ValueError: their dimension differs from that of earlier rows.
        """
        num, dim = rows_nd.shape
        if self.num and dim != self.dim:
            raise ValueError(f"feature dimension mismatch: {self.dim} vs {dim}")
        self.file.write(np.ascontiguousarray(rows_nd, self.dtype).data)
        self.num, self.dim = self.num + num, dim

    @property
    def rows(self) -> NDArray[np.floating]:
        """All rows [n, d], read-only; [0, 1] if there are none."""
        self.file.flush()
        if not self.num:
            return np.zeros((0, 1), self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(self.num, self.dim))
