"""Films judged by their pixels alone, without weights: steadiness, change, freezing, blur, blocks, detail.

Flicker and smoothness follow VBench's formulas; smoothness with a plain blend of neighbours in place of
its interpolation network, hence its own name. The rest is libavfilter's (through PyAV).
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.filter import Graph

from eval.core.results import SHARE, Item, Measurement, Score

LEAST_FREEZE_S = 0.25


class Frames:
    """No reference, no network. Films only; of a still picture blur, blocks and spatial detail."""

    name = "frames"
    scores = {
        "flicker": Score(1, SHARE, "1 - mean absolute step between neighbours / 255 (VBench); 1 is frozen"),
        "smoothness_blend": Score(1, SHARE, "1 - error of odd frames blended from their neighbours / 255"),
        "change": Score(0, "levels", "mean absolute step between neighbours"),
        "frozen": Score(-1, SHARE, "share of steps in which nothing changes"),
        "freeze": Score(
            -1, SHARE, f"the film's time in stops of {LEAST_FREEZE_S} s or longer (freezedetect, -60 dB)"
        ),
        "si": Score(0, "", "spatial information (ITU-T P.910), mean of frames"),
        "ti": Score(0, "", "temporal information (ITU-T P.910), mean of frames after the first"),
        "blur": Score(
            -1, "", "width of the edges that are left (libavfilter blurdetect); heavy blur leaves none"
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
        values = steps(video.frames_THWC) if len(video.frames_THWC) > 1 else {}
        return Measurement(values | filtered(video.frames_THWC) | freezes(video.frames_THWC, video.fps))


def steps(frames_THWC: np.ndarray) -> dict[str, float]:
    """Values from differences of frames; two frames or more."""
    changes = np.array([_distance(a, b) for a, b in pairwise(frames_THWC)])
    values = {"flicker": 1 - changes.mean() / 255}
    triples = list(zip(frames_THWC, frames_THWC[1:], frames_THWC[2:], strict=False))[::2]
    if triples:
        errors = [_distance((a.astype(np.float32) + c) / 2, b) for a, b, c in triples]
        values["smoothness_blend"] = 1 - np.mean(errors) / 255
    values["change"] = changes.mean()
    values["frozen"] = (changes < 0.001 * 255).mean()
    return {name: float(value) for name, value in values.items()}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


def filtered(frames_THWC: np.ndarray) -> dict[str, float]:
    """Means over frames of what libavfilter writes beside them; none for films under 16 pixels."""
    height, width = frames_THWC.shape[1:3]
    if min(height, width) < 16:  # libavfilter's windows do not fit
        return {}
    found: dict[str, list[float]] = {}
    keys = {"lavfi.siti.si": "si", "lavfi.siti.ti": "ti", "lavfi.blur": "blur", "lavfi.block": "blocks"}
    for index, told in enumerate(
        _metadata(frames_THWC, 25.0, {"siti": "", "blurdetect": "", "blockdetect": ""})
    ):
        for key, text in told.items():
            if key in keys and np.isfinite(float(text)) and not (keys[key] == "ti" and index == 0):
                found.setdefault(keys[key], []).append(float(text))
    return {name: float(np.mean(values)) for name, values in found.items()}


def freezes(frames_THWC: np.ndarray, fps: float) -> dict[str, float]:
    """`freeze`: the share of stops, each from its first frame to the first other one; films only."""
    if len(frames_THWC) < 2 or not fps:
        return {}
    total = len(frames_THWC) / fps
    stopped, start = 0.0, None
    # half a frame less, lest rounded time stamps decide about a stop of just that length
    options = f"n=0.001:d={max(LEAST_FREEZE_S - 0.5 / fps, 0):.6f}"
    for told in _metadata(frames_THWC, fps, {"freezedetect": options}):
        if "lavfi.freezedetect.freeze_start" in told:
            start = float(told["lavfi.freezedetect.freeze_start"])
        if "lavfi.freezedetect.freeze_end" in told and start is not None:
            stopped, start = stopped + float(told["lavfi.freezedetect.freeze_end"]) - start, None
    stopped += 0 if start is None else total - start
    return {"freeze": min(1.0, stopped / total)}


def _metadata(frames_THWC: np.ndarray, fps: float, filters: dict[str, str]) -> Iterator[dict[str, str]]:
    """What libavfilter's filters write beside each frame's luma."""
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
