"""Tasks, which look at the frames of a video one at a time, and groups of them.

A task is a generator: it receives each frame by `yield`, then None, and returns its result:

    def observe(self, item, info):
        while (frame := (yield)) is not None:
            ...
        return Measurement(...)

Metrics of a video and its reference receive pairs of frames.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eval.core.frame_source import Frame, StreamInfo

Pair = tuple[Frame, Frame]
"""A frame and that of the reference, of equal size."""

FrameTask = Generator[None, "Frame | None", Any]
PairTask = Generator[None, "Pair | None", Any]
FrameStart = Callable[[StreamInfo], FrameTask]
PairStart = Callable[[StreamInfo], PairTask]
Results = dict[str, Any]
"""The result of each task, or the exception that ended it."""


def take_frames(indices: Sequence[int] | np.ndarray) -> Generator[None, "Frame | None", np.ndarray]:
    """Return the frames with these numbers, uint8 [N, H, W, C]; `yield from` it in a task.

    Raises:
        ValueError: the video has fewer frames.
    """
    needed, found, number = set(map(int, indices)), dict[int, np.ndarray](), 0
    while (frame := (yield)) is not None:
        if number in needed:
            found[number] = frame.rgb_HWC
        number += 1
    if missing := needed - found.keys():
        raise ValueError(f"expected at least {max(missing) + 1} frames, got {number}")
    return np.stack([found[int(index)] for index in indices])


def take_evenly(
    info: StreamInfo, max_frames: int
) -> Generator[None, "Frame | None", tuple[np.ndarray, float]]:
    """Return at most `max_frames` frames, uint8 [T, H, W, C], evenly over the video, and their rate."""
    if info.num_frames <= max_frames:
        return (yield from take_all()), info.fps
    indices = np.linspace(0, info.num_frames - 1, max_frames).round().astype(np.int64)
    frames_THWC = yield from take_frames(indices)
    return frames_THWC, info.fps * (max_frames - 1) / (info.num_frames - 1)


def take_all() -> Generator[None, "Frame | None", np.ndarray]:
    """Return all frames, uint8 [T, H, W, C]: for metrics of short videos only."""
    frames = []
    while (frame := (yield)) is not None:
        frames.append(frame.rgb_HWC)
    return np.stack(frames)


def map_batches(
    indices: Sequence[int] | np.ndarray | None, size: int, function: Callable[[np.ndarray], Any]
) -> Generator[None, "Frame | None", list[Any]]:
    """Return the function's results over batches of frames, in order; `indices` in order, None for all."""
    needed = None if indices is None else set(map(int, indices))
    results, batch, number = [], list[np.ndarray](), 0
    while (frame := (yield)) is not None:
        if needed is None or number in needed:
            batch.append(frame.rgb_HWC)
        number += 1
        if len(batch) == size:
            results.append(function(np.stack(batch)))
            batch = []
    if batch:
        results.append(function(np.stack(batch)))
    return results


def frame_batches(
    frames: Iterable[Frame], indices: Sequence[int] | np.ndarray | None, size: int
) -> Iterator[np.ndarray]:
    """Yield the batches that `map_batches` would pass to its function."""
    needed, batch = None if indices is None else set(map(int, indices)), list[np.ndarray]()
    for number, frame in enumerate(frames):
        if needed is None or number in needed:
            batch.append(frame.rgb_HWC)
        if len(batch) == size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def run_task(task: Generator[None, Any, Any], items: Iterable[Any]) -> Any:
    """Return the result of one task over these items."""
    next(task)
    try:
        for item in items:
            task.send(item)
        task.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the task expected more frames after the last one")


def frames_of(frames_THWC: np.ndarray, fps: float) -> Iterator[Frame]:
    """Yield the frames of an array, at a constant rate."""
    for number, frame_HWC in enumerate(frames_THWC):
        yield Frame(frame_HWC, number / fps if fps else 0.0)


class TaskGroup:
    """Tasks that receive the same items, each until it returns or fails."""

    def __init__(self, starts: Mapping[str, Callable[[Any], Any]], info: Any) -> None:
        self.results: Results = {}
        self.open: dict[str, Generator[None, Any, Any]] = {}
        for name, start in starts.items():
            try:
                task = start(info)
                next(task)
                self.open[name] = task
            except StopIteration as end:
                self.results[name] = end.value
            except Exception as error:
                self.results[name] = error

    def send(self, item: Any) -> None:
        for name, task in list(self.open.items()):
            try:
                task.send(item)
            except StopIteration as end:
                self._end(name, end.value)
            except Exception as error:
                self._end(name, error)

    def finish(self) -> None:
        """Tell all tasks that there are no more items."""
        self.send(None)
        self.stop(RuntimeError("the task expected more frames after the last one"))

    def stop(self, error: Exception) -> None:
        """End all tasks by an error."""
        for name, task in list(self.open.items()):
            task.close()
            self._end(name, error)

    def _end(self, name: str, result: Any) -> None:
        self.results[name] = result
        del self.open[name]
