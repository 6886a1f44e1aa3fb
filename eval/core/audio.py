"""Sound in and out: any file PyAV reads, as float samples.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.signal import resample_poly

from eval.core.video import MediaError


@dataclass(frozen=True)
class Sound:
    """`samples_CS` float32; `rate` in Hz."""

    samples_CS: np.ndarray
    rate: int

    @property
    def mono(self) -> np.ndarray:
        """[S], the mean of the channels."""
        return self.samples_CS.mean(0)

    def at_rate(self, rate: int) -> "Sound":
        """Resampled by a polyphase filter (scipy.signal.resample_poly, Kaiser window of beta 5)."""
        if rate == self.rate:
            return self
        ratio = Fraction(rate, self.rate)
        samples = resample_poly(self.samples_CS, ratio.numerator, ratio.denominator, axis=1)
        return Sound(samples.astype(np.float32), rate)


def read_sound(path: str | Path) -> Sound:
    """Decode the first sound track of a file (of a film too), in floating point whatever its format.

    Raises:
        MediaError: for a file that is missing, unreadable, without a sound track or without samples,
            or whose rate or channels change.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    parts = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound track")
            stream = container.streams.audio[0]
            rate, layout = stream.rate, stream.layout.name
            to_float = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            for frame in container.decode(stream):
                if frame.sample_rate != rate or frame.layout.name != layout:
                    raise MediaError(f"{path}: rate or channels change within the file")
                frame.pts = None  # gaps and overlaps of time stamps are no business of the resampler
                parts += [each.to_ndarray() for each in to_float.resample(frame)]
    except av.FFmpegError as error:
        raise MediaError(f"{path}: sound cannot be decoded ({error.strerror})") from None
    except (ValueError, OSError) as error:
        raise error if isinstance(error, MediaError) else MediaError(f"{path}: {error}") from None
    if not sum(part.shape[1] for part in parts):
        raise MediaError(f"{path}: holds no sound")
    samples_CS = np.concatenate(parts, axis=1)
    if not np.isfinite(samples_CS).all():
        raise MediaError(f"{path}: holds samples that are not finite")
    return Sound(samples_CS, rate)


def write_sound(path: str | Path, samples_CS: np.ndarray, rate: int) -> None:
    """Write a WAV file of 32-bit floats."""
    import soundfile

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples_CS.T, rate, subtype="FLOAT")
