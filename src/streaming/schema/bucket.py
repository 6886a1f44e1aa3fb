"""Names that every part of the schema shares; needs no torch."""

import re
from dataclasses import dataclass
from math import prod
from typing import Literal

from src.core.errors import UserError

SCHEMA_VERSION = 1
_BUCKET = re.compile(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)")
Kind = Literal["pixels", "latents", "audio", "audio_latents"]


class DataError(UserError):
    """A data set or a record cannot be used; the message names what and where in one line."""


class DamagedError(DataError):
    """A record, or its chunk, is not what was written; other records of the data set can be used."""


@dataclass(frozen=True, order=True)
class Bucket:
    """Number of frames and size in pixels that all records of one bucket have.

    Records of audio have samples x channels x 1.
    """

    num_frames: int
    height: int
    width: int

    @property
    def name(self) -> str:
        return f"{self.num_frames}x{self.height}x{self.width}"

    @property
    def is_image(self) -> bool:
        return self.num_frames == 1

    def num_tokens(self, size: tuple[int, int, int]) -> int:
        """Return the tokens of one record if one covers `size` pixels (frames, rows, columns), rounded up."""
        return prod(-(-n // s) for n, s in zip((self.num_frames, self.height, self.width), size, strict=True))

    @staticmethod
    def matches(name: str) -> bool:
        return _BUCKET.fullmatch(name) is not None

    @staticmethod
    def parse(name: str) -> "Bucket":
        match = _BUCKET.fullmatch(name)
        if match is None:
            raise DataError(f"bucket {name!r} is not of the form <frames>x<height>x<width>, such as 16x32x32")
        return Bucket(*map(int, match.groups()))
