"""Scenes of a video from stored changes of content, and the stretches of them that become clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.curation.balancing import draw
from data.curation.config import SplitConfig
from data.curation.scene_cuts import ContentChange, find_sudden_changes
from src.core.media_io.video_reader import open_video

SIDE = 96  # shorter side in pixels of the frames that changes are measured on


@dataclass(frozen=True)
class Scene:
    """A stretch of a video without a cut."""

    start_s: float
    end_s: float


def measure_content(path: Path, start_s: float, end_s: float | None) -> dict[str, Any]:
    """Return times and changes of content of all frames of a video, and its end.

    Raises:
        MediaError: the file cannot be decoded.
    """
    times, content = [], ContentChange()
    with open_video(path) as video:
        for frame in video.frames(start_s, end_s):
            scale = min(1.0, SIDE / min(frame.rgb_HWC.shape[:2]))
            small = cv2.resize(frame.rgb_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            content.add(small)
            times.append(round(frame.time_s, 6))
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / video.fps
    return {
        "times": times,
        "values": [round(v, 3) for v in content.values],
        "end_s": (times[-1] if times else 0.0) + step,
    }


def find_scenes(content: dict[str, Any], config: SplitConfig) -> list[Scene]:
    """Return the scenes between cuts, without the seconds left out at the start."""
    times, values = content["times"], np.array(content["values"])
    cuts = find_sudden_changes(values, config.threshold, config.ratio)
    starts = [times[0] if times else 0.0, *(times[t] for t in cuts)]
    ends = [*(times[t] for t in cuts), content["end_s"]]
    starts = [max(start, config.skip_start_s) for start in starts]
    return [Scene(start, end) for start, end in zip(starts, ends, strict=True) if end > start]


def choose_stretches(scenes: list[Scene], config: SplitConfig, seed: int, name: str) -> list[Scene]:
    """Return at most one stretch of each scene, of the longest scenes, in order of time.

    A scene longer than `max_s` gives a random stretch of that length (Movie Gen, sec. 3.2.1).
    """
    fitting = [scene for scene in scenes if scene.end_s - scene.start_s >= config.min_s - 1e-6]
    if config.max_clips:
        fitting = sorted(fitting, key=lambda s: s.start_s - s.end_s)[: config.max_clips]
    chosen = []
    for scene in sorted(fitting, key=lambda s: s.start_s):
        room = max(scene.end_s - scene.start_s - config.max_s, 0.0)
        start = scene.start_s + room * draw(seed, f"stretch/{scene.start_s:.3f}", name)
        chosen.append(Scene(round(start, 3), round(min(start + config.max_s, scene.end_s), 3)))
    return chosen
