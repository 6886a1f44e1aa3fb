"""One decode of a video for all that looks at its frames, in memory that does not grow with its length.

What looks at frames is a generator: it receives each frame by `yield`, then None, and returns its result:

    def observe(self, item, info):
        while (frame := (yield)) is not None:
            ...
        return Measurement(...)

Metrics of a video and its reference receive pairs of frames. The conversion is the same for all of them:
both are 8-bit RGB as the reader returns them; frames of another size are resized to the reference's
(PIL, bicubic with antialiasing); videos with as many frames and a rate within RATE_TOLERANCE are paired frame
by frame, others by time: each frame of the reference meets the frame on the screen at its time.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.core.frame_source import Frame, FrameSource, StreamInfo, open_frames

Pair = tuple[Frame, Frame]
"""A frame and that of the reference, of equal size."""

FrameTask = Generator[None, "Frame | None", Any]
PairTask = Generator[None, "Pair | None", Any]
FrameStart = Callable[[StreamInfo], FrameTask]
PairStart = Callable[[StreamInfo], PairTask]
Results = dict[str, Any]
"""The result of each task, or the exception that ended it."""

CONVERSION = (
    "both as 8-bit RGB of the reader, upright; frames of another size resized to the reference's (PIL "
    "bicubic with antialiasing); paired by number if rate and number of frames are the same, else by time"
)
RATE_TOLERANCE, ASPECT_TOLERANCE = 0.02, 0.02
TIME_TOLERANCE_S = 0.002  # time stamps of Matroska are rounded to milliseconds


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


def run_pass(
    video: Path,
    tasks: Mapping[str, FrameStart],
    pair_tasks: Mapping[str, PairStart] | None = None,
    reference: Callable[[], Path] | None = None,
) -> Results:
    """Decode a video once for all tasks, and its reference if there are tasks of pairs.

    A task that fails does not stop the others. If the file has another number of frames than it says, it is
    decoded again with the right one, for evenly spaced frames depend on it.
    """
    results, num_frames = _run_once(video, tasks, pair_tasks or {}, reference, None)
    if num_frames is not None:
        results, _ = _run_once(video, tasks, pair_tasks or {}, reference, num_frames)
    return results


def _run_once(
    video: Path,
    tasks: Mapping[str, FrameStart],
    pair_tasks: Mapping[str, PairStart],
    reference: Callable[[], Path] | None,
    num_frames: int | None,
) -> tuple[Results, int | None]:
    """Return the results, and the number of frames if it differs from what the file says."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_frames(video))
        except Exception as error:
            return dict.fromkeys([*tasks, *pair_tasks], error), None
        info = source.info if num_frames is None else replace(source.info, num_frames=num_frames)
        alone = _Tasks(tasks, info)
        together = _Pairs(pair_tasks, info, reference, stack) if pair_tasks else None
        count, ended = 0, False
        try:
            for frame in source.frames:
                count += 1
                alone.send(frame)
                if together is not None:
                    together.send(frame)
                if not alone.open and (together is None or not together.open):
                    break
            else:
                ended = True
        except Exception as error:  # of the decoder: what tasks raise ends only themselves
            alone.stop(error)
            if together is not None:
                together.stop(error)
        alone.finish()
        results = alone.results
        if together is not None:
            together.finish()
            results |= together.results
        return results, count if ended and count != info.num_frames else None


class _Tasks:
    """Tasks that receive the same items, each until it returns or fails."""

    def __init__(self, starts: Mapping[str, Callable[[StreamInfo], Any]], info: StreamInfo) -> None:
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


class _Pairs:
    """Tasks of pairs: matches each frame that is sent with frames of the reference."""

    def __init__(
        self,
        starts: Mapping[str, PairStart],
        info: StreamInfo,
        reference: Callable[[], Path] | None,
        stack: ExitStack,
    ) -> None:
        self.tasks = _Tasks({}, info)
        self.current: Frame | None = None
        self.counts = [0, 0]
        try:
            if reference is None:
                raise ValueError("sample has no `reference`")
            self.source: FrameSource = stack.enter_context(open_frames(reference()))
            self.infos = info, self.source.info
            _check_aspect(*self.infos)
            self.next = next(self.source.frames, None)
        except Exception as error:
            self.tasks.results = dict.fromkeys(starts, error)
            return
        self.by_number = _same_timing(*self.infos)
        self.tasks = _Tasks(starts, self.source.info)

    @property
    def open(self) -> bool:
        return bool(self.tasks.open)

    @property
    def results(self) -> Results:
        return self.tasks.results

    def send(self, frame: Frame) -> None:
        """Send the pairs that this frame completes; errors of the reference's decoder end the tasks."""
        if not self.open:
            return
        self.counts[0] += 1
        try:
            if self.by_number:
                self._match(frame)
            else:
                self._match_until(frame.time_s)
        except Exception as error:
            self.stop(error)
        self.current = frame

    def _match_until(self, time_s: float) -> None:
        """Match the last frame with the frames of the reference up to the time of the next one."""
        while (
            self.current is not None
            and self.next is not None
            and self.next.time_s < time_s - TIME_TOLERANCE_S
        ):
            self._match(self.current)

    def _match(self, frame: Frame) -> None:
        if self.next is None:
            return
        self.tasks.send((_resize(frame, self.source.info), self.next))
        self.counts[1] += 1
        self.next = next(self.source.frames, None)

    def finish(self) -> None:
        """Match the last frame, and refuse videos of different length."""
        if not self.open:
            return
        try:
            if not self.by_number and self.current is not None:
                last = self.current.time_s + 1 / max(self.infos[0].fps, 1e-9)
                self._match_until(last)
            rest = 0
            while self.next is not None:
                rest, self.next = rest + 1, next(self.source.frames, None)
            lengths = self.counts[0], self.counts[1] + rest
            if _differ_in_length(lengths, self.infos, self.by_number):
                raise ValueError("video and reference differ in length: " + _describe(lengths, self.infos))
        except Exception as error:
            self.stop(error)
        self.tasks.finish()

    def stop(self, error: Exception) -> None:
        self.tasks.stop(error)


def _same_timing(video: StreamInfo, reference: StreamInfo) -> bool:
    if not video.fps or not reference.fps:
        return True
    near = abs(video.fps / reference.fps - 1) <= RATE_TOLERANCE
    return near and video.num_frames == reference.num_frames


def _differ_in_length(
    lengths: tuple[int, int], infos: tuple[StreamInfo, StreamInfo], by_number: bool
) -> bool:
    """One frame of the slower video is allowed where rates differ, for the last one may be cut there."""
    if by_number or abs(infos[0].fps / infos[1].fps - 1) <= RATE_TOLERANCE:
        return lengths[0] != lengths[1]
    seconds = [length / info.fps for length, info in zip(lengths, infos, strict=True)]
    return abs(seconds[0] - seconds[1]) > 1 / min(info.fps for info in infos) + TIME_TOLERANCE_S


def _describe(lengths: tuple[int, int], infos: tuple[StreamInfo, StreamInfo]) -> str:
    return " and ".join(
        f"{num} frames" + (f" at {info.fps:.4g} per second" if info.fps else "")
        for num, info in zip(lengths, infos, strict=True)
    )


def _check_aspect(video: StreamInfo, reference: StreamInfo) -> None:
    ratio = (video.width / video.height) / (reference.width / reference.height)
    same = (video.width, video.height) == (reference.width, reference.height)
    if not same and abs(ratio - 1) > ASPECT_TOLERANCE:
        sizes = [f"{info.width}x{info.height}" for info in (video, reference)]
        raise ValueError("video and reference differ in shape: {} and {}".format(*sizes))


def _resize(frame: Frame, to: StreamInfo) -> Frame:
    """Return the frame in the reference's size."""
    if frame.rgb_HWC.shape[:2] == (to.height, to.width):
        return frame
    image = Image.fromarray(frame.rgb_HWC).resize((to.width, to.height), Image.Resampling.BICUBIC)
    return Frame(np.asarray(image), frame.time_s)
