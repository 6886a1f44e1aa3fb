"""All rows of a set in one file, so that set metrics read them in blocks and no process holds them all."""

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class RowFile:
    """Rows [n, d] appended one film at a time; `rows` maps the file into memory, which costs none.

    Use as a context manager; the file stays until its folder goes.
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
        """Add rows.

        Raises:
            ValueError: they are not as long as those before.
        """
        num, dim = rows_nd.shape
        if self.num and dim != self.dim:
            raise ValueError(f"features: rows of {self.dim} and of {dim} numbers are no one set")
        self.file.write(np.ascontiguousarray(rows_nd, self.dtype).data)
        self.num, self.dim = self.num + num, dim

    @property
    def rows(self) -> NDArray[np.floating]:
        """All rows [n, d], read-only; [0, 1] where there are none."""
        self.file.flush()
        if not self.num:
            return np.zeros((0, 1), self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(self.num, self.dim))
