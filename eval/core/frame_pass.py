"""One decode of a video for all that looks at its frames, in memory that does not grow with its length."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from eval.core.frame_pairs import FramePairs
from eval.core.frame_source import open_frames
from eval.core.frame_tasks import FrameStart, PairStart, Results, TaskGroup
from eval.core.pairs_config import PairsConfig


def run_pass(
    video: Path,
    tasks: Mapping[str, FrameStart],
    pair_tasks: Mapping[str, PairStart] | None = None,
    reference: Callable[[], Path] | None = None,
    pairs: PairsConfig | None = None,
) -> Results:
    """Decode a video once for all tasks, and its reference if there are tasks of pairs.

    A task that fails does not stop the others. If the file has another number of frames than it says, it is
    decoded again with the right one, for evenly spaced frames depend on it.
    """
    settings = pairs or PairsConfig()
    results, num_frames = _run_once(video, tasks, pair_tasks or {}, reference, settings, None)
    if num_frames is not None:
        results, _ = _run_once(video, tasks, pair_tasks or {}, reference, settings, num_frames)
    return results


def _run_once(
    video: Path,
    tasks: Mapping[str, FrameStart],
    pair_tasks: Mapping[str, PairStart],
    reference: Callable[[], Path] | None,
    pairs: PairsConfig,
    num_frames: int | None,
) -> tuple[Results, int | None]:
    """Return the results, and the number of frames if it differs from what the file says."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_frames(video))
        except Exception as error:
            return dict.fromkeys([*tasks, *pair_tasks], error), None
        info = source.info if num_frames is None else replace(source.info, num_frames=num_frames)
        alone = TaskGroup(tasks, info)
        together = FramePairs(pair_tasks, info, reference, stack, pairs) if pair_tasks else None
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
