"""Read and write audio: any file PyAV decodes, as float samples.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from eval.core.video import DecodeError


@dataclass(frozen=True)
class Audio:
    """`samples_CS` float32; `rate` in Hz."""

    samples_CS: np.ndarray
    rate: int

    @property
    def mono(self) -> np.ndarray:
        """[S], the mean of the channels."""
        return self.samples_CS.mean(0)

    def resample(self, rate: int) -> "Audio":
        """Return the audio at another rate (scipy.signal.resample_poly, Kaiser window of beta 5)."""
        if rate == self.rate:
            return self
        from scipy.signal import resample_poly  # half a second to import

        ratio = Fraction(rate, self.rate)
        samples = resample_poly(self.samples_CS, ratio.numerator, ratio.denominator, axis=1)
        return Audio(samples.astype(np.float32), rate)


def read_audio(path: str | Path) -> Audio:
    """Decode the first audio stream of a file (also of a video) to floating point.

    Raises:
        DecodeError: the file is missing, unreadable, has no audio stream or no samples, or its rate or
            channel layout changes.
    """
    path = Path(path)
    if not path.is_file():
        raise DecodeError(f"{path}: no such file")
    chunks = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise DecodeError(f"{path}: has no audio stream")
            stream = container.streams.audio[0]
            rate, layout = stream.rate, stream.layout.name
            to_float = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            for frame in container.decode(stream):
                if frame.sample_rate != rate or frame.layout.name != layout:
                    raise DecodeError(f"{path}: rate or channels change within the file")
                frame.pts = None  # else the resampler fills gaps between time stamps with silence
                chunks += [each.to_ndarray() for each in to_float.resample(frame)]
    except av.FFmpegError as error:
        raise DecodeError(f"{path}: audio cannot be decoded ({error.strerror})") from None
    except (ValueError, OSError) as error:
        raise error if isinstance(error, DecodeError) else DecodeError(f"{path}: {error}") from None
    if not sum(chunk.shape[1] for chunk in chunks):
        raise DecodeError(f"{path}: contains no audio samples")
    samples_CS = np.concatenate(chunks, axis=1)
    if not np.isfinite(samples_CS).all():
        raise DecodeError(f"{path}: contains samples that are not finite")
    return Audio(samples_CS, rate)


def write_audio(path: str | Path, samples_CS: np.ndarray, rate: int) -> None:
    """Write a WAV file of 32-bit floats."""
    import soundfile

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples_CS.T, rate, subtype="FLOAT")
