"""Integrated loudness (ITU-R BS.1770) through libavfilter's ebur128."""

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

GATE_LUFS = -70.0


def integrated_lufs(samples_CS: NDArray[np.float32], rate: int) -> float:
    """Return LUFS of one or two channels, -70 or less for silence.

    Audio shorter than one gating block of 0.4 s is repeated to fill it.
    """
    repeats = -(-round(0.5 * rate) // samples_CS.shape[1])
    samples_CS = np.ascontiguousarray(np.tile(samples_CS, (1, repeats)), np.float32)
    layout = "mono" if len(samples_CS) == 1 else "stereo"
    graph = Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout=layout)
    graph.link_nodes(source, graph.add("ebur128", "metadata=1"), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(samples_CS, format="fltp", layout=layout)
    frame.sample_rate = rate
    graph.push(frame)
    graph.push(None)
    last = GATE_LUFS
    while True:
        try:
            out = graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return last
        last = float(out.metadata.get("lavfi.r128.I", last))
