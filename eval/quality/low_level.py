"""Video quality from pixels alone, without networks: flicker, change, freezing, blur, blockiness, detail.

Flicker and smoothness follow VBench's formulas, smoothness with the average of the neighboring frames in
place of VBench's interpolation network, hence its own name. The rest is libavfilter's (through PyAV).
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.filter import Graph

from eval.core.results import FRACTION, Item, Measurement, Score

MIN_FREEZE_S = 0.25


class LowLevelQuality:
    """Low-level quality of videos; of still images only blur, blockiness and spatial information."""

    name = "low_level"
    scores = {
        "flicker": Score(1, FRACTION, "1 - mean absolute difference of neighbors / 255 (VBench); 1: frozen"),
        "smoothness_blend": Score(1, FRACTION, "1 - error of odd frames from the average of neighbors / 255"),
        "change": Score(0, "levels", "mean absolute difference of neighboring frames"),
        "frozen": Score(-1, FRACTION, "pairs of neighboring frames without change"),
        "freeze": Score(
            -1, FRACTION, f"time in freezes of {MIN_FREEZE_S} s or longer (freezedetect, -60 dB)"
        ),
        "si": Score(0, "", "spatial information (ITU-T P.910), mean of frames"),
        "ti": Score(0, "", "temporal information (ITU-T P.910), mean of frames after the first"),
        "blur": Score(
            -1, "", "mean width of the remaining edges (libavfilter blurdetect); heavy blur leaves none"
        ),
        "blocks": Score(-1, "", "blockiness (libavfilter blockdetect), mean of frames"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "frames as decoded, RGB uint8, no resizing; libavfilter's on luma",
            "av": av.__version__,
        }

    def measure(self, item: Item) -> Measurement:
        video = item.video
        values = frame_difference_scores(video.frames_THWC) if len(video.frames_THWC) > 1 else {}
        return Measurement(
            values | filter_scores(video.frames_THWC) | freeze_scores(video.frames_THWC, video.fps)
        )


def frame_difference_scores(frames_THWC: np.ndarray) -> dict[str, float]:
    """Return scores from differences of frames; expects two frames or more."""
    changes = np.array([_mean_abs_difference(a, b) for a, b in pairwise(frames_THWC)])
    values = {"flicker": 1 - changes.mean() / 255}
    triples = list(zip(frames_THWC, frames_THWC[1:], frames_THWC[2:], strict=False))[::2]
    if triples:
        errors = [_mean_abs_difference((a.astype(np.float32) + c) / 2, b) for a, b, c in triples]
        values["smoothness_blend"] = 1 - np.mean(errors) / 255
    values["change"] = changes.mean()
    values["frozen"] = (changes < 0.001 * 255).mean()
    return {name: float(value) for name, value in values.items()}


def _mean_abs_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


def filter_scores(frames_THWC: np.ndarray) -> dict[str, float]:
    """Return means over frames of libavfilter's metadata; empty for videos under 16 pixels."""
    height, width = frames_THWC.shape[1:3]
    if min(height, width) < 16:  # smaller than libavfilter's windows
        return {}
    found: dict[str, list[float]] = {}
    keys = {"lavfi.siti.si": "si", "lavfi.siti.ti": "ti", "lavfi.blur": "blur", "lavfi.block": "blocks"}
    for index, metadata in enumerate(
        _metadata(frames_THWC, 25.0, {"siti": "", "blurdetect": "", "blockdetect": ""})
    ):
        for key, text in metadata.items():
            if key in keys and np.isfinite(float(text)) and not (keys[key] == "ti" and index == 0):
                found.setdefault(keys[key], []).append(float(text))
    return {name: float(np.mean(values)) for name, values in found.items()}


def freeze_scores(frames_THWC: np.ndarray, fps: float) -> dict[str, float]:
    """Return `freeze`, the fraction of time in freezes, each up to the next different frame; videos only."""
    if len(frames_THWC) < 2 or not fps:
        return {}
    total = len(frames_THWC) / fps
    frozen_s, start = 0.0, None
    # half a frame less, so that rounded time stamps do not decide about a freeze of exactly that length
    options = f"n=0.001:d={max(MIN_FREEZE_S - 0.5 / fps, 0):.6f}"
    for metadata in _metadata(frames_THWC, fps, {"freezedetect": options}):
        if "lavfi.freezedetect.freeze_start" in metadata:
            start = float(metadata["lavfi.freezedetect.freeze_start"])
        if "lavfi.freezedetect.freeze_end" in metadata and start is not None:
            frozen_s, start = frozen_s + float(metadata["lavfi.freezedetect.freeze_end"]) - start, None
    frozen_s += 0 if start is None else total - start
    return {"freeze": min(1.0, frozen_s / total)}


def _metadata(frames_THWC: np.ndarray, fps: float, filters: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the metadata that libavfilter's filters attach to each frame's luma."""
    height, width = frames_THWC.shape[1:3]
    time_base = 1 / Fraction(fps).limit_denominator(1001)
    graph = Graph()
    rgb = av.VideoFormat("rgb24")
    source = graph.add_buffer(width=width, height=height, format=rgb, time_base=time_base)
    nodes = [source, graph.add("format", "gray"), *(graph.add(*each) for each in filters.items())]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    for index, frame_HWC in enumerate(frames_THWC):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts, frame.time_base = index, time_base
        graph.push(frame)
        yield graph.pull().metadata
