"""Choices that every transformer of the project shares; imports no torch."""

from typing import Literal

AttentionBackend = Literal["auto", "sdpa", "flash", "matmul", "chunked"]
