"""The pairs of frames of a video and its reference, by one conversion for all that compares them.

Both are 8-bit RGB as the reader returns them; frames of another size are resized to the reference's (PIL,
bicubic with antialiasing); videos with as many frames and nearly the same rate are paired frame by frame,
others by time: each frame of the reference meets the frame on the screen at its time.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from eval.core.frame_source import Frame, FrameSource, StreamInfo, open_frames
from eval.core.frame_tasks import PairStart, Results, TaskGroup
from eval.core.pairs_config import PairsConfig


def describe_conversion(config: PairsConfig) -> str:
    """Return how frames of a video and its reference are made comparable, for the record of a metric."""
    return (
        "both as 8-bit RGB of the reader, upright; frames of another size resized to the reference's (PIL "
        f"bicubic with antialiasing) if shapes differ by {config.aspect_tolerance:.4g} at most; paired by "
        f"number if the number of frames is the same and rates differ by {config.rate_tolerance:.4g} at "
        f"most, else by time ({config.time_tolerance_s:.4g} s)"
    )


class FramePairs:
    """Tasks of pairs: matches each frame that is sent with frames of the reference."""

    def __init__(
        self,
        starts: Mapping[str, PairStart],
        info: StreamInfo,
        reference: Callable[[], Path] | None,
        stack: ExitStack,
        config: PairsConfig,
    ) -> None:
        self.config = config
        self.tasks = TaskGroup({}, info)
        self.current: Frame | None = None
        self.counts = [0, 0]
        try:
            if reference is None:
                raise ValueError("sample has no `reference`")
            self.source: FrameSource = stack.enter_context(open_frames(reference()))
            self.infos = info, self.source.info
            _check_aspect(*self.infos, config)
            self.next = next(self.source.frames, None)
        except Exception as error:
            self.tasks.results = dict.fromkeys(starts, error)
            return
        self.by_number = _same_timing(*self.infos, config)
        self.tasks = TaskGroup(starts, self.source.info)

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
            and self.next.time_s < time_s - self.config.time_tolerance_s
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
            if _differ_in_length(lengths, self.infos, self.by_number, self.config):
                raise ValueError("video and reference differ in length: " + _describe(lengths, self.infos))
        except Exception as error:
            self.stop(error)
        self.tasks.finish()

    def stop(self, error: Exception) -> None:
        self.tasks.stop(error)


def _same_timing(video: StreamInfo, reference: StreamInfo, config: PairsConfig) -> bool:
    if not video.fps or not reference.fps:
        return True
    near = abs(video.fps / reference.fps - 1) <= config.rate_tolerance
    return near and video.num_frames == reference.num_frames


def _differ_in_length(
    lengths: tuple[int, int], infos: tuple[StreamInfo, StreamInfo], by_number: bool, config: PairsConfig
) -> bool:
    """One frame of the slower video is allowed where rates differ, for the last one may be cut there."""
    if by_number or abs(infos[0].fps / infos[1].fps - 1) <= config.rate_tolerance:
        return lengths[0] != lengths[1]
    seconds = [length / info.fps for length, info in zip(lengths, infos, strict=True)]
    return abs(seconds[0] - seconds[1]) > 1 / min(info.fps for info in infos) + config.time_tolerance_s


def _describe(lengths: tuple[int, int], infos: tuple[StreamInfo, StreamInfo]) -> str:
    return " and ".join(
        f"{num} frames" + (f" at {info.fps:.4g} per second" if info.fps else "")
        for num, info in zip(lengths, infos, strict=True)
    )


def _check_aspect(video: StreamInfo, reference: StreamInfo, config: PairsConfig) -> None:
    ratio = (video.width / video.height) / (reference.width / reference.height)
    same = (video.width, video.height) == (reference.width, reference.height)
    if not same and abs(ratio - 1) > config.aspect_tolerance:
        sizes = [f"{info.width}x{info.height}" for info in (video, reference)]
        raise ValueError("video and reference differ in shape: {} and {}".format(*sizes))


def _resize(frame: Frame, to: StreamInfo) -> Frame:
    """Return the frame in the reference's size."""
    if frame.rgb_HWC.shape[:2] == (to.height, to.width):
        return frame
    image = Image.fromarray(frame.rgb_HWC).resize((to.width, to.height), Image.Resampling.BICUBIC)
    return Frame(np.asarray(image), frame.time_s)
