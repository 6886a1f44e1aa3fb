"""Recognize objects, motions and camera of a Bounce video, without a network; compare them with its facts.

    reading = analyze_video(video_THWC, fps)      # from the pixels alone
    verdict = evaluate_reading(reading, facts)    # facts: the video's ground truth as plain JSON

`python -m eval.bounce_checker.validate` measures its accuracy on ground truth and on synthetic degradations.
"""

from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from data.bounce.vocabulary import STILL
from eval.bounce_checker.background import estimate_background
from eval.bounce_checker.camera import classify_camera, register_frames
from eval.bounce_checker.color import COLOR_NAMES, foreground_mask, nearest_color, rgb_to_oklab
from eval.bounce_checker.config import CheckerConfig
from eval.bounce_checker.motion import MotionReading, fit_motion
from eval.bounce_checker.objects import Track, edge_width, find_blobs, find_tracks, stabilize_blobs
from eval.bounce_checker.shape import classify_shape, to_canonical

VERSION = "bounce-checker-3"
DEFAULTS = CheckerConfig()
CORE = 0.7  # quantile of the distance from the floor above which a pixel has the object's own color
MARGIN, MAX_MARGIN = 1.5, 0.12  # around objects: in edge widths; at most, of the frame's side


@dataclass(frozen=True)
class ObjectReading:
    """Appearance and motion of one object. `confidence`: margin of the best shape over the second."""

    shape: str
    color: str
    direction: str
    bounces: bool
    spins: bool
    appears: bool
    vanishes: bool
    radius: float  # equal-area radius, of the frame's shorter side
    speed: float  # frame sides per second, before the first impact
    confidence: float
    impacts_s: tuple[float, ...] = ()  # seconds at which its path turns

    def __str__(self) -> str:
        course = "still" if self.direction == STILL else f"moves {self.direction}"
        return f"{self.color} {self.shape}, {course}{', bounces' if self.bounces else ''}"


@dataclass(frozen=True)
class Reading:
    """Content that the checker recognizes in a video."""

    objects: tuple[ObjectReading, ...]
    camera: str
    num_frames: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Correctness of each aspect. `pairs`: for each expected object the index of its match, or None."""

    subject: bool
    motion: bool
    camera: bool
    pairs: tuple[int | None, ...]
    why: str


def analyze_video(video_THWC: np.ndarray, fps: float, settings: CheckerConfig = DEFAULTS) -> Reading:
    """Recognize the objects, their motions and the camera motion of a video.

    Args:
        video_THWC: uint8 RGB, at least 8 x 8 pixels; one frame for an image.
        fps: frames per second; 0 for an image.

    Raises:
        ValueError: another type, shape or size.
    """
    reader, tracks, camera = track_objects(video_THWC, fps, settings)
    return Reading(tuple(reader.read(track, tracks)[0] for track in tracks), camera, len(video_THWC))


def track_objects(
    video_THWC: np.ndarray, fps: float, settings: CheckerConfig = DEFAULTS
) -> tuple["ObjectReader", list[Track], str]:
    """Return the reader of a video's objects, the tracks that it reads, and the camera's motion."""
    if video_THWC.dtype != np.uint8 or video_THWC.ndim != 4 or video_THWC.shape[-1] != 3:
        raise ValueError(f"video: expected uint8 [T,H,W,3], got {video_THWC.dtype} {video_THWC.shape}")
    num, height, width, _ = video_THWC.shape
    if not num or min(height, width) < 8:
        raise ValueError(f"video: expected at least one frame of at least 8x8 pixels, got {video_THWC.shape}")
    side = min(height, width)
    lab = rgb_to_oklab(video_THWC)
    blobs = find_blobs(lab, foreground_mask(lab, settings), settings)
    objects = np.zeros(video_THWC.shape[:3], bool)
    for blob in blobs:
        objects[blob.frame, blob.pixels[:, 0], blob.pixels[:, 1]] = True
    margin = max(1, min(round(MARGIN * edge_width(lab, blobs)), round(MAX_MARGIN * side)))
    background_mask = ~binary_dilation(objects, np.ones((1, 2 * margin + 1, 2 * margin + 1), bool))
    view = register_frames(lab[..., 0], background_mask)
    camera = classify_camera(view, side, settings)
    if camera == "static shot":
        view = np.tile([0.0, 0.0, 1.0], (num, 1))
    background = estimate_background(video_THWC, background_mask, view)
    tracks = find_tracks(stabilize_blobs(blobs, view), num, side, settings)
    return ObjectReader(video_THWC, background, view, fps or 1.0, margin, settings), tracks, camera


class ObjectReader:
    """The video, its background and its views, shared by the readings of all objects."""

    def __init__(
        self,
        video: np.ndarray,
        background: np.ndarray,
        view: np.ndarray,
        fps: float,
        margin: int,
        settings: CheckerConfig,
    ) -> None:
        self.settings = settings
        self.video, self.background, self.view, self.fps, self.margin = video, background, view, fps, margin
        self.side = min(video.shape[1:3])

    def read(self, track: Track, tracks: list[Track]) -> tuple[ObjectReading, MotionReading]:
        """Return the reading of one object and its fitted path; `tracks` are those of all objects."""
        color_3, name = self._color(track)
        positions, masks, weights, areas = [], [], [], []
        frames = sorted(track.blobs)
        for t in frames:
            mask, free = self._mask(t, track, tracks, color_3)
            area = float(mask.sum())
            rows, columns = np.nonzero(mask)
            values = mask[rows, columns]
            y, x = values @ rows / area, values @ columns / area
            positions.append(self._to_canvas(t, x, y))
            areas.append(area * self.view[t, 2] ** 2)
            canonical_mask, weight = to_canonical(mask, free, x, y, area)
            masks.append(canonical_mask)
            weights.append(weight)
        times, sizes = np.array(frames), np.array(areas)
        median_size = np.median(sizes)
        full_size = sizes > 0.6 * median_size  # not while it appears or vanishes
        path = np.array(positions)[full_size] / self.side
        motion = fit_motion(times[full_size], path, alone=len(tracks) == 1, settings=self.settings)
        shape = classify_shape(
            np.array(masks)[full_size],
            np.array(weights)[full_size],
            times[full_size] / self.fps,
            self.settings,
        )
        num = len(self.video)
        reading = ObjectReading(
            shape=shape.shape,
            color=name,
            direction=motion.direction,
            bounces=motion.bounces,
            spins=shape.turns_per_second != 0.0,
            appears=bool(times[0] > 0.1 * num),
            vanishes=bool(times[-1] < 0.9 * num - 1),
            radius=float(np.sqrt(median_size * shape.area / np.pi) / self.side),
            speed=motion.speed * self.fps,
            confidence=shape.margin,
            impacts_s=tuple(frame / self.fps for frame in motion.breakpoints),
        )
        return reading, motion

    def _color(self, track: Track) -> tuple[np.ndarray, str]:
        """Return the object's RGB and color name, from the pixels farthest from the background."""
        pixels, gaps = [], []
        for t, blob in track.blobs.items():
            rows, columns = blob.pixels.T
            pixels.append(self.video[t, rows, columns])
            gaps.append(((pixels[-1] - self.background[t, rows, columns]) ** 2).sum(1))
        values, distance = np.concatenate(pixels), np.concatenate(gaps)
        core = values[distance >= np.quantile(distance, CORE)]
        color = np.median(core, axis=0)
        return color.astype(np.float32), COLOR_NAMES[
            int(nearest_color(rgb_to_oklab(color.round().astype(np.uint8))))
        ]

    def _mask(
        self, t: int, track: Track, tracks: list[Track], color_3: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the soft mask of the object in frame t, and 1 where no other object is near."""
        shape = self.video.shape[1:3]
        own, others = np.zeros(shape, bool), np.zeros(shape, bool)
        own[tuple(track.blobs[t].pixels.T)] = True
        for other in tracks:
            if other is not track and t in other.blobs:
                others[tuple(other.blobs[t].pixels.T)] = True
        grown = 2 * self.margin + 1
        near = binary_dilation(own, np.ones((grown, grown), bool))
        free = ~binary_dilation(others, np.ones((grown, grown), bool)) | own
        direction = color_3 - self.background[t]
        along = ((self.video[t] - self.background[t]) * direction).sum(-1)
        alpha = np.clip(along / np.maximum((direction**2).sum(-1), 1.0), 0, 1.3)
        alpha[alpha < 0.08] = 0.0
        mask = np.where(near & free, alpha, 0.0).astype(np.float32)
        if mask.sum() < 1:
            mask[own] = 1.0
        return mask, free.astype(np.float32)

    def _to_canvas(self, t: int, x: float, y: float) -> tuple[float, float]:
        vx, vy, s = self.view[t]
        _, height, width, _ = self.video.shape
        return s * (x - (width - 1) / 2) + vx, s * (y - (height - 1) / 2) + vy


def evaluate_reading(reading: Reading, facts: dict[str, Any]) -> Verdict:
    """Compare a reading with a video's facts (`data.bounce.facts.VideoFacts.to_dict`).

    Subject: the number of objects, each one's shape and color. Motion: each object's direction or stillness,
    and whether it bounces. Camera: its label. Motion and camera of an image (one frame) are always correct.
    """
    expected = facts["objects"]
    pairs = _match(expected, reading.objects)
    errors = []
    subject = len(expected) == len(reading.objects)
    if not subject:
        errors.append(f"{len(reading.objects)} objects instead of {len(expected)}")
    motion = True
    is_image = facts.get("num_frames", reading.num_frames) == 1
    for fact, index in zip(expected, pairs, strict=True):
        name = f"{fact['color']} {fact['shape']}"
        if index is None:
            subject, motion = False, False
            errors.append(f"no {name}")
            continue
        found = reading.objects[index]
        if (found.shape, found.color) != (fact["shape"], fact["color"]):
            subject = False
            errors.append(f"{name}: looks like a {found.color} {found.shape}")
        if is_image:
            continue
        if found.direction != fact["direction"]:
            motion = False
            errors.append(f"{name}: {found.direction} instead of {fact['direction']}")
        if found.bounces != fact["bounces"]:
            motion = False
            errors.append(f"{name}: {'bounces' if found.bounces else 'does not bounce'}")
    camera = is_image or reading.camera == facts["camera"]
    if not camera:
        errors.append(f"camera: {reading.camera} instead of {facts['camera']}")
    return Verdict(subject, motion or is_image, camera, pairs, "; ".join(errors))


def _match(expected: list[dict[str, Any]], found: tuple[ObjectReading, ...]) -> tuple[int | None, ...]:
    """Return for each expected object the index of its match in the best one-to-one assignment."""

    def agreement(fact: dict[str, Any], index: int | None) -> int:
        if index is None:
            return 0
        one = found[index]
        appearance = 8 * (one.color == fact["color"]) + 6 * (one.shape == fact["shape"])
        return 1 + appearance + 2 * (one.direction == fact["direction"]) + (one.bounces == fact["bounces"])

    indices: list[int | None] = [*range(len(found)), *[None] * len(expected)]
    if len(found) > 6:  # more objects than any video of this world has: bound the number of permutations
        indices = [*range(6), *[None] * len(expected)]
    orders = set(permutations(indices, len(expected)))
    return max(
        sorted(orders, key=lambda order: [len(found) if i is None else i for i in order]),
        key=lambda order: sum(agreement(fact, index) for fact, index in zip(expected, order, strict=True)),
    )
