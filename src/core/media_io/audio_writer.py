"""Write audio files: equal samples to equal bytes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.atomic import atomic_write

_FORMATS = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_24")}


def write_audio(path: Path | str, samples_CS: NDArray[np.floating], rate: int) -> None:
    """Write samples [C, S] as WAV of 32-bit floats, or FLAC of 24 bits.

    Raises:
        ValueError: another suffix.
    """
    import soundfile  # slow to import: not for --help

    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{Path(path).name}: expected {' or '.join(_FORMATS)}")
    kind, subtype = _FORMATS[suffix]
    with atomic_write(path) as temporary:
        soundfile.write(temporary, samples_CS.T, rate, format=kind, subtype=subtype)
        if kind == "WAV":
            _clear_time(Path(temporary))


def _clear_time(path: Path) -> None:
    """Set the time of writing to zero, which libsndfile notes in the PEAK chunk of float files."""
    with path.open("r+b") as file:
        start = file.read(256).find(b"PEAK")
        if start >= 0:
            file.seek(start + 12)  # name, size, version, then the time
            file.write(bytes(4))
