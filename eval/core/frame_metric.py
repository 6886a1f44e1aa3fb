"""Bases of metrics that look at frames: the pass over an item's video feeds all of them from one decode."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from eval.core.frame_pass import run_pass
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, PairTask, frames_of, run_task
from eval.core.manifest import Sample
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item, Measurement

Task = TypeVar("Task")


class FrameMetric:
    """A metric of the frames of a sample's video, or of its image."""

    name: str

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        """Receive the frames one at a time, then None, and return the Measurement."""
        raise NotImplementedError

    def measure(self, item: Item) -> Measurement:
        """Score one sample in a pass of its own."""
        return _only(run_pass(item.frames_path, {self.name: bind(self.observe, item)})[self.name])


class PairMetric:
    """A metric of pairs of frames, of a sample's video and its reference; see `eval.core.frame_pass`."""

    name: str

    def __init__(self, pairs: PairsConfig | None = None) -> None:
        self.pairs = pairs or PairsConfig()

    def observe_pairs(self, item: Item, info: StreamInfo) -> PairTask:
        """Receive pairs of frames, then None, and return the Measurement; `info` is of the reference."""
        raise NotImplementedError

    def measure(self, item: Item) -> Measurement:
        """Score one sample in a pass of its own."""
        tasks = {self.name: bind(self.observe_pairs, item)}
        found = run_pass(item.frames_path, {}, tasks, lambda: item.path("reference"), self.pairs)
        return _only(found[self.name])


def measure_arrays(metric: FrameMetric | PairMetric, *videos_THWC: np.ndarray, fps: float) -> Measurement:
    """Score a video that is an array, or a video and its reference, without files or a sample."""
    info = StreamInfo(len(videos_THWC[0]), fps, *videos_THWC[0].shape[1:3])
    item = Item(Sample(id="array", prompt=""), Path())
    frames = [frames_of(each, fps) for each in videos_THWC]
    if isinstance(metric, FrameMetric):
        return run_task(metric.observe(item, info), frames[0])
    return run_task(metric.observe_pairs(item, info), zip(*frames, strict=True))


def bind(observe: Callable[[Item, StreamInfo], Task], item: Item) -> Callable[[StreamInfo], Task]:
    """Return the function that starts a metric's task once the video is open."""
    return lambda info: observe(item, info)


def _only(result: Measurement | Exception) -> Measurement:
    if isinstance(result, Exception):
        raise result
    return result
