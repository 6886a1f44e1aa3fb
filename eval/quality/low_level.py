"""Video quality from pixels alone, without networks: flicker, change, freezing, blur, blockiness, detail.

Flicker and smoothness follow VBench's formulas, smoothness with the average of the neighboring frames in
place of VBench's interpolation network, hence its own name. Blur and blockiness are libavfilter's (through
PyAV). Frames are seen one at a time, and time is that of the frames, so that any rate is measured alike.

Legend: H height, W width, C = 3 (RGB, uint8).
"""

from dataclasses import asdict
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph

from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.quality.config import FreezeConfig

DEFAULTS = FreezeConfig()
MIN_FILTER_SIDE = 16  # pixels: libavfilter's windows
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


class LowLevelQuality(FrameMetric):
    """Low-level quality of videos; of still images only blur, blockiness and spatial information."""

    name = "low_level"

    def __init__(self, settings: FreezeConfig = DEFAULTS) -> None:
        self.settings = settings
        freeze = f"time in freezes: {settings.min_freeze_s:g} s or longer, and longer than a frame"
        blocks = "1 - mean step between pixels off the block grid / on it (libavfilter blockdetect)"
        self.scores = {
            "flicker": Score(
                1, FRACTION, "1 - mean absolute difference of neighbors / 255 (VBench); 1: frozen"
            ),
            "smoothness_blend": Score(
                1, FRACTION, "1 - error of odd frames from the neighbors' average / 255"
            ),
            "change": Score(0, "levels", "mean absolute difference of neighboring frames"),
            "frozen": Score(-1, FRACTION, "pairs of neighboring frames without change"),
            "freeze": Score(-1, FRACTION, freeze),
            "si": Score(0, "", "spatial information (ITU-T P.910), mean of frames"),
            "ti": Score(0, "", "temporal information (ITU-T P.910), mean of frames after the first"),
            "blur": Score(-1, "", "mean width of edges (libavfilter blurdetect); heavy blur leaves none"),
            "blocks": Score(-1, FRACTION, blocks),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "RGB uint8 of the reader, no resizing; luma of BT.601, full range",
            "freeze": "frames equal to the first of a run",
            "settings": asdict(self.settings),
            "av": av.__version__,
        }

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        changes, freezes, detail = (
            ChangeScores(self.settings),
            FreezeScore(info.fps, self.settings),
            DetailScores(),
        )
        while (frame := (yield)) is not None:
            luma_HW = frame.rgb_HWC @ LUMA
            changes.add(frame.rgb_HWC)
            freezes.add(luma_HW, frame.time_s)
            detail.add(frame.rgb_HWC, luma_HW)
        found = changes.values() | detail.values() | freezes.values()
        return Measurement({name: found[name] for name in self.scores if name in found})


class ChangeScores:
    """flicker, smoothness_blend, change and frozen of frames added one at a time; none of a single frame."""

    def __init__(self, settings: FreezeConfig = DEFAULTS) -> None:
        self._same = 255 * settings.same
        self._last: list[np.ndarray] = []  # at most two frames
        self._number = 0
        self._changes, self._errors = list[float](), list[float]()

    def add(self, frame_HWC: np.ndarray) -> None:
        if self._last:
            self._changes.append(_mean_abs_difference(self._last[-1], frame_HWC))
        if (
            self._number >= 2 and self._number % 2 == 0
        ):  # this frame closes the triple (0, 1, 2), (2, 3, 4), ...
            before, between = self._last
            middle = (before.astype(np.float32) + frame_HWC) / 2
            self._errors.append(_mean_abs_difference(middle, between))
        self._last = [*self._last[-1:], frame_HWC]
        self._number += 1

    def values(self) -> dict[str, float]:
        if not self._changes:
            return {}
        changes = np.array(self._changes)
        values = {"flicker": 1 - changes.mean() / 255}
        if self._errors:
            values["smoothness_blend"] = 1 - np.mean(self._errors) / 255
        values |= {"change": changes.mean(), "frozen": (changes < self._same).mean()}
        return {name: float(value) for name, value in values.items()}


class FreezeScore:
    """freeze: the fraction of time in which the frames stand still, each time up to the next other frame.

    A freeze lasts `min_freeze_s` or longer, and longer than a frame of the video's rate: a single frame of a
    slow video is none, one that is held in a video of variable rate is.
    """

    def __init__(self, fps: float, settings: FreezeConfig = DEFAULTS) -> None:
        self._fps, self._same, self._min_freeze_s = fps, 255 * settings.same, settings.min_freeze_s
        self._first: np.ndarray | None = None  # luma of the first frame of the run
        self._start = self._time = self._frozen = 0.0
        self._num = 0

    def add(self, luma_HW: np.ndarray, time_s: float) -> None:
        self._num += 1
        if self._first is None or _mean_abs_difference(self._first, luma_HW) >= self._same:
            self._end_run(time_s)
            self._first, self._start = luma_HW, time_s
        self._time = time_s

    def _end_run(self, end_s: float) -> None:
        length, period = end_s - self._start, 1 / self._fps if self._fps else np.inf
        # half a frame less, so that rounded time stamps do not decide about a freeze of exactly that length
        if length >= self._min_freeze_s - min(period / 2, 0.02) and length > 1.5 * period:
            self._frozen += length

    def values(self) -> dict[str, float]:
        if self._num < 2 or not self._fps:
            return {}
        total = self._time + 1 / self._fps
        self._end_run(total)
        return {"freeze": min(1.0, self._frozen / total)}


class DetailScores:
    """si and ti by their definition; blur and blocks by libavfilter, of frames of 16 pixels or more."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = {}
        self._luma_HW: np.ndarray | None = None
        self._filters: _Filters | None = None

    def add(self, frame_HWC: np.ndarray, luma_HW: np.ndarray) -> None:
        if min(luma_HW.shape) >= 3:
            self._append("si", spatial_information(luma_HW))
        if self._luma_HW is not None:
            self._append("ti", float((luma_HW - self._luma_HW).std()))
        self._luma_HW = luma_HW
        if min(luma_HW.shape) < MIN_FILTER_SIDE:
            return
        self._filters = self._filters or _Filters(*luma_HW.shape)
        metadata = self._filters.push(frame_HWC)
        blur = float(metadata.get("lavfi.blur", "nan"))
        if np.isfinite(blur):
            self._append("blur", blur)
        self._append("blocks", blockiness(float(metadata.get("lavfi.block", "nan"))))

    def _append(self, name: str, value: float) -> None:
        self._found.setdefault(name, []).append(value)

    def values(self) -> dict[str, float]:
        order = ("si", "ti", "blur", "blocks")
        return {name: float(np.mean(self._found[name])) for name in order if name in self._found}


def spatial_information(luma_HW: np.ndarray) -> float:
    """Return the deviation of Sobel's gradient over the frame without its border (ITU-T P.910)."""
    columns = luma_HW[:-2] + 2 * luma_HW[1:-1] + luma_HW[2:]
    rows = luma_HW[:, :-2] + 2 * luma_HW[:, 1:-1] + luma_HW[:, 2:]
    return float(np.hypot(columns[:, 2:] - columns[:, :-2], rows[2:] - rows[:-2]).std())


def blockiness(ratio: float) -> float:
    """Return 0 (no grid) to 1 from blockdetect's ratio of steps on and off the grid, which has no bound."""
    if not ratio > 1:  # also of flat frames, where it is not a number
        return 0.0
    return 1 - 1 / ratio


def _mean_abs_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


class _Filters:
    """libavfilter's blurdetect and blockdetect on the luma of each frame."""

    def __init__(self, height: int, width: int) -> None:
        self._graph, self._index = Graph(), 0
        self._time_base = Fraction(1, 25)
        pixels = av.VideoFormat("rgb24")
        source = self._graph.add_buffer(width=width, height=height, format=pixels, time_base=self._time_base)
        nodes = [self._graph.add(name, "") for name in ("blurdetect", "blockdetect")]
        gray, sink = self._graph.add("format", "gray"), self._graph.add("buffersink")
        self._graph.link_nodes(source, gray, *nodes, sink).configure()

    def push(self, frame_HWC: np.ndarray) -> dict[str, str]:
        """Return the metadata of one frame."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts, frame.time_base = self._index, self._time_base
        self._index += 1
        self._graph.push(frame)
        return self._graph.pull().metadata
