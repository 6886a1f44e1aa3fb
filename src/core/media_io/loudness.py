"""Integrated loudness (ITU-R BS.1770) through libavfilter's ebur128."""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from src.core.media_io.audio import DEFAULT_LAYOUTS

GATE_LUFS = -70.0


class LoudnessMeter:
    """Loudness of audio that arrives in pieces; memory does not grow with the length.

    Args:
        num_channels: of the audio.
        channels: their names (FL, FR, LFE, ...), by which BS.1770 weighs them: surround channels 1.41, the
            LFE not at all; empty for the usual ones of their number.
    """

    def __init__(self, num_channels: int, rate: int, channels: tuple[str, ...] = ()) -> None:
        self.layout, self.rate = "+".join(channels or DEFAULT_LAYOUTS[num_channels]), rate
        self._graph = Graph()
        source = self._graph.add_abuffer(sample_rate=rate, format="flt", layout=self.layout)
        ends = self._graph.add("ebur128", "metadata=1"), self._graph.add("abuffersink")
        self._graph.link_nodes(source, *ends).configure()
        self._num_samples, self._lufs = 0, GATE_LUFS

    def add(self, samples_CS: NDArray[np.float32]) -> None:
        """Measure the next samples."""
        # packed, for PyAV counts the planes of eight channels wrongly
        packed = np.ascontiguousarray(samples_CS.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._num_samples, Fraction(1, self.rate)
        self._num_samples += samples_CS.shape[1]
        self._graph.push(frame)
        self._pull()

    def finish(self) -> float:
        """Return LUFS of all samples, -70 or less for silence; nothing can be added afterwards."""
        self._graph.push(None)
        self._pull()
        return self._lufs

    def _pull(self) -> None:
        while True:
            try:
                out = self._graph.pull()
            except (av.error.EOFError, av.error.BlockingIOError):
                return
            self._lufs = float(out.metadata.get("lavfi.r128.I", self._lufs))


def integrated_lufs(samples_CS: NDArray[np.float32], rate: int, channels: tuple[str, ...] = ()) -> float:
    """Return LUFS, -70 or less for silence; see `LoudnessMeter`.

    Audio shorter than one gating block of 0.4 s is repeated to fill it.
    """
    repeats = -(-round(0.5 * rate) // samples_CS.shape[1])
    meter = LoudnessMeter(len(samples_CS), rate, channels)
    meter.add(np.tile(samples_CS, (1, repeats)))
    return meter.finish()
