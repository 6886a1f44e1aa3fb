"""Physics of the objects' paths: angles of reflection, speed and momentum at impacts, straight lines between.

The world is frictionless and its impacts are elastic (`data.bounce.physics`), so that every impact of a video
can be checked without its facts: a wall turns one component of a velocity around; two objects keep the sum of
mass times velocity, with the area as mass. Impacts whose velocities cannot be measured are left out and
counted: fewer than MIN_LEG_FRAMES on a side, or one of two objects that may have met.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eval.bounce_checker.checker import DEFAULTS, VERSION, track_objects
from eval.bounce_checker.config import CheckerConfig
from eval.bounce_checker.motion import MotionReading
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_evenly
from eval.core.results import FRACTION, Item, Measurement, Score

MAX_RMSE = 0.004  # of a path whose velocities are measured, of the frame's side
TOUCHING = 1.7  # distance of objects that may have met, in sums of their radii; tips of stars reach 1.6
MIN_LEG_FRAMES = 4.5  # before and after an impact, so that both velocities can be measured
SAME_IMPACT_FRAMES = 1.5  # between the turns of two objects that have met
MAX_ANGLE, MAX_CHANGE = 12.0, 0.25  # of a natural impact: degrees, and fractions of speed and momentum


@dataclass(frozen=True)
class ImpactReading:
    """Errors at one impact: of the angle in degrees (walls only), of speed and of momentum (objects only)."""

    frame: float
    objects: tuple[int, ...]
    angle: float | None
    speed: float
    momentum: float | None

    @property
    def is_natural(self) -> bool:
        return (
            (self.angle or 0) <= MAX_ANGLE and self.speed <= MAX_CHANGE and (self.momentum or 0) <= MAX_CHANGE
        )


def read_impacts(motions: list[MotionReading], masses: list[float]) -> tuple[list[ImpactReading], int]:
    """Return the impacts of all objects, and the number of those that cannot be measured."""
    turns = sorted(
        (frame, index, leg)
        for index, motion in enumerate(motions)
        for leg, frame in enumerate(motion.breakpoints)
    )
    found, unclear = [], 0
    for group in _groups(turns):
        measured = all(_is_measured(motions[index], leg) for _, index, leg in group)
        if not measured or len(_involved(group, motions, masses)) != len(group):
            unclear += 1
            continue
        frame = group[0][0]
        before, after = (
            np.array([motions[index].velocities[leg + step] for _, index, leg in group]) for step in (0, 1)
        )
        owners = tuple(index for _, index, _ in group)
        mass = np.array([masses[index] for index in owners])
        energies = [float(mass @ (velocity**2).sum(1)) for velocity in (before, after)]
        change = abs(math.sqrt(energies[1] / energies[0]) - 1) if energies[0] > 0 else 1.0
        if len(group) == 1:
            found.append(ImpactReading(frame, owners, reflection_error(before[0], after[0]), change, None))
        else:
            total = np.hypot(*(mass @ (after - before)))
            scale = float(mass @ np.hypot(*before.T) + mass @ np.hypot(*after.T)) / 2
            found.append(ImpactReading(frame, owners, None, change, float(total) / max(scale, 1e-9)))
    return found, unclear


def _groups(turns: list[tuple[float, int, int]]) -> Iterator[list[tuple[float, int, int]]]:
    """Yield turns that are one impact: of different objects, and near in time."""
    group = turns[:1]
    for earlier, turn in pairwise(turns):
        if turn[0] - earlier[0] <= SAME_IMPACT_FRAMES and turn[1] != earlier[1]:
            group.append(turn)
        else:
            yield group
            group = [turn]
    if group:
        yield group


def _involved(
    group: list[tuple[float, int, int]], motions: list[MotionReading], masses: list[float]
) -> set[int]:
    """Return the objects that turn, and all that are so near that they may have been met."""
    found = {index for _, index, _ in group}
    for frame, index, _ in group:
        place = motions[index].position(frame)
        for other, motion in enumerate(motions):
            reach = TOUCHING * (math.sqrt(masses[index]) + math.sqrt(masses[other]))
            if other != index and np.hypot(*(motion.position(frame) - place)) < reach:
                found.add(other)
    return found


def _is_measured(motion: MotionReading, leg: int) -> bool:
    if motion.rmse > MAX_RMSE:
        return False
    ends = [motion.ends[0], *motion.breakpoints, motion.ends[1]]
    return min(ends[leg + 1] - ends[leg], ends[leg + 2] - ends[leg + 1]) >= MIN_LEG_FRAMES


def reflection_error(before: np.ndarray, after: np.ndarray) -> float:
    """Return degrees between a velocity and the nearer of the two reflections of the one before."""
    mirrored = [np.array([-before[0], before[1]]), np.array([before[0], -before[1]])]
    return min(_angle(after, each) for each in mirrored)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    cosine = float(a @ b) / max(float(np.hypot(*a) * np.hypot(*b)), 1e-12)
    return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))


class BouncePhysics(FrameMetric):
    """Motion naturalness of videos of the Bounce world, also without facts."""

    name = "bounce_physics"
    scores = {
        "impacts_natural": Score(
            1, FRACTION, "impacts within 12 degrees and 25 % of speed and momentum, pooled"
        ),
        "reflection_error": Score(-1, "deg", "angle from the exact reflection at walls, mean over impacts"),
        "speed_error": Score(
            -1, "", "relative change of speed (of two objects: root of energy), mean over impacts"
        ),
        "momentum_error": Score(-1, "", "relative change of the sum of momenta where objects meet"),
        "path_error": Score(-1, "", "distance from straight lines between impacts, of the frame's side"),
    }

    def __init__(self, settings: CheckerConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, object]:
        return {
            "version": VERSION,
            "backbone": None,
            "min_leg_frames": MIN_LEG_FRAMES,
            "natural": f"{MAX_ANGLE:g} degrees, {MAX_CHANGE:g} of speed and momentum",
            "preprocessing": "frames as decoded, RGB uint8, no resizing",
        }

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        frames_THWC, fps = yield from take_evenly(info, self.settings.max_frames)
        if len(frames_THWC) < 2:
            raise ValueError("an image has no motion")
        return measure_physics(frames_THWC, fps, self.settings)


def measure_physics(video_THWC: np.ndarray, fps: float, settings: CheckerConfig = DEFAULTS) -> Measurement:
    """Return the errors of one video; sums over its impacts are pooled over videos.

    Raises:
        ValueError: no objects are found.
    """
    reader, tracks, _ = track_objects(video_THWC, fps, settings)
    if not tracks:
        raise ValueError("no objects are found")
    readings, motions = zip(*(reader.read(track, tracks) for track in tracks), strict=True)
    found, unclear = read_impacts(list(motions), [each.radius**2 for each in readings])
    sums = {
        "impacts_natural": [float(each.is_natural) for each in found],
        "reflection_error": [each.angle for each in found if each.angle is not None],
        "speed_error": [each.speed for each in found],
        "momentum_error": [each.momentum for each in found if each.momentum is not None],
    }
    values = {name: float(np.mean(each)) for name, each in sums.items() if each}
    values["path_error"] = float(np.mean([motion.rmse for motion in motions]))
    impacts = [[round(each.frame, 2), *each.objects] for each in found]
    pooled = {name: (float(sum(each)), float(len(each))) for name, each in sums.items()}
    return Measurement(values, {"impacts": impacts, "unclear": unclear}, pooled)
