"""The Bounce checker: reads a film into facts, without any network, and judges them against what was asked.

    reading = read(video_THWC, fps)          # blind: sees pixels only
    verdict = judge(reading, facts)          # facts: a film's ground truth as plain JSON

It was validated on ground truth and on constructed degradations: `python -m eval.bounce_checker.validate`.
"""

from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from data.bounce.vocabulary import STILL
from eval.bounce_checker.background import empty_room
from eval.bounce_checker.camera import camera_name, register
from eval.bounce_checker.color import NAMES, foreground, nearest, oklab
from eval.bounce_checker.motion import read_motion
from eval.bounce_checker.objects import Track, edge_width, find_blobs, find_tracks, on_canvas
from eval.bounce_checker.shape import canonical, read_shape

VERSION = "bounce-checker-3"
CORE = 0.7  # quantile of the distance from the floor above which a pixel shows the object's own colour
MARGIN, WIDEST = 1.5, 0.12  # how far soft edges reach: in widths of an edge; at most, of the side


@dataclass(frozen=True)
class ObjectReading:
    """What one object looks like and does. `confidence`: lead of the best shape over the second."""

    shape: str
    colour: str
    direction: str
    bounces: bool
    spins: bool
    appears: bool
    vanishes: bool
    radius: float  # equal-area radius, of the frame's shorter side
    speed: float  # frame sides per second, before the first impact
    confidence: float

    def __str__(self) -> str:
        course = "still" if self.direction == STILL else f"moves {self.direction}"
        return f"{self.colour} {self.shape}, {course}{', bounces' if self.bounces else ''}"


@dataclass(frozen=True)
class Reading:
    """A film as the checker sees it."""

    objects: tuple[ObjectReading, ...]
    camera: str
    num_frames: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Right or wrong, all objects together. `pairs`: for each asked object the read one, or None."""

    subject: bool
    motion: bool
    camera: bool
    pairs: tuple[int | None, ...]
    why: str


def read(video_THWC: np.ndarray, fps: float) -> Reading:
    """Read a film.

    Args:
        video_THWC: uint8 RGB, at least 8 x 8 pixels, one frame for a picture.
        fps: frames per second; 0 for a picture.

    Raises:
        ValueError: not such an array.
    """
    if video_THWC.dtype != np.uint8 or video_THWC.ndim != 4 or video_THWC.shape[-1] != 3:
        raise ValueError(f"video: expected uint8 [T,H,W,3], got {video_THWC.dtype} {video_THWC.shape}")
    num, height, width, _ = video_THWC.shape
    if not num or min(height, width) < 8:
        raise ValueError(f"video: expected a frame or more of 8x8 pixels or more, got {video_THWC.shape}")
    side = min(height, width)
    lab = oklab(video_THWC)
    blobs = find_blobs(lab, foreground(lab))
    objects = np.zeros(video_THWC.shape[:3], bool)
    for blob in blobs:
        objects[blob.frame, blob.pixels[:, 0], blob.pixels[:, 1]] = True
    margin = max(1, min(round(MARGIN * edge_width(lab, blobs)), round(WIDEST * side)))
    room = ~binary_dilation(objects, np.ones((1, 2 * margin + 1, 2 * margin + 1), bool))
    view = register(lab[..., 0], room)
    camera = camera_name(view, side)
    if camera == "static shot":
        view = np.tile([0.0, 0.0, 1.0], (num, 1))
    background = empty_room(video_THWC, room, view)
    tracks = find_tracks(on_canvas(blobs, view), num, side)
    film = _Film(video_THWC, background, view, fps or 1.0, margin)
    return Reading(tuple(film.read(track, tracks) for track in tracks), camera, num)


class _Film:
    """What all objects of a film share while they are read."""

    def __init__(
        self, video: np.ndarray, background: np.ndarray, view: np.ndarray, fps: float, margin: int
    ) -> None:
        self.video, self.background, self.view, self.fps, self.margin = video, background, view, fps, margin
        self.side = min(video.shape[1:3])

    def read(self, track: Track, tracks: list[Track]) -> ObjectReading:
        colour_3, name = self._colour(track)
        places, masks, known, areas = [], [], [], []
        frames = sorted(track.blobs)
        for t in frames:
            mask, free = self._mask(t, track, tracks, colour_3)
            area = float(mask.sum())
            rows, columns = np.nonzero(mask)
            weights = mask[rows, columns]
            y, x = weights @ rows / area, weights @ columns / area
            places.append(self._on_canvas(t, x, y))
            areas.append(area * self.view[t, 2] ** 2)
            canonical_mask, weight = canonical(mask, free, x, y, area)
            masks.append(canonical_mask)
            known.append(weight)
        times, sizes = np.array(frames), np.array(areas)
        usual = np.median(sizes)
        whole = sizes > 0.6 * usual  # not while it pops up or shrinks away
        path = np.array(places)[whole] / self.side
        motion = read_motion(times[whole], path, alone=len(tracks) == 1)
        shape = read_shape(np.array(masks)[whole], np.array(known)[whole], times[whole] / self.fps)
        num = len(self.video)
        return ObjectReading(
            shape=shape.shape,
            colour=name,
            direction=motion.direction,
            bounces=motion.bounces,
            spins=shape.turn != 0.0,
            appears=bool(times[0] > 0.1 * num),
            vanishes=bool(times[-1] < 0.9 * num - 1),
            radius=float(np.sqrt(usual * shape.area / np.pi) / self.side),
            speed=motion.speed * self.fps,
            confidence=shape.margin,
        )

    def _colour(self, track: Track) -> tuple[np.ndarray, str]:
        """The object's own RGB and its name, from the pixels farthest from the floor."""
        pixels, gaps = [], []
        for t, blob in track.blobs.items():
            rows, columns = blob.pixels.T
            pixels.append(self.video[t, rows, columns])
            gaps.append(((pixels[-1] - self.background[t, rows, columns]) ** 2).sum(1))
        values, distance = np.concatenate(pixels), np.concatenate(gaps)
        core = values[distance >= np.quantile(distance, CORE)]
        colour = np.median(core, axis=0)
        return colour.astype(np.float32), NAMES[int(nearest(oklab(colour.round().astype(np.uint8))))]

    def _mask(
        self, t: int, track: Track, tracks: list[Track], colour_3: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Soft mask of the object in frame t, and 1 where its surroundings are free of other objects."""
        shape = self.video.shape[1:3]
        own, others = np.zeros(shape, bool), np.zeros(shape, bool)
        own[tuple(track.blobs[t].pixels.T)] = True
        for other in tracks:
            if other is not track and t in other.blobs:
                others[tuple(other.blobs[t].pixels.T)] = True
        grown = 2 * self.margin + 1
        near = binary_dilation(own, np.ones((grown, grown), bool))
        free = ~binary_dilation(others, np.ones((grown, grown), bool)) | own
        direction = colour_3 - self.background[t]
        along = ((self.video[t] - self.background[t]) * direction).sum(-1)
        share = np.clip(along / np.maximum((direction**2).sum(-1), 1.0), 0, 1.3)
        share[share < 0.08] = 0.0
        mask = np.where(near & free, share, 0.0).astype(np.float32)
        if mask.sum() < 1:
            mask[own] = 1.0
        return mask, free.astype(np.float32)

    def _on_canvas(self, t: int, x: float, y: float) -> tuple[float, float]:
        vx, vy, s = self.view[t]
        _, height, width, _ = self.video.shape
        return s * (x - (width - 1) / 2) + vx, s * (y - (height - 1) / 2) + vy


def judge(reading: Reading, facts: dict[str, Any]) -> Verdict:
    """Compare a reading with a film's facts (`data.bounce.facts.FilmFacts.to_dict`).

    Subject: every object's shape and colour and the number of objects. Motion: every object's direction
    or stillness, and bounce or not. Camera: its label. A picture (one frame asked) has no motion to fail.
    """
    asked = facts["objects"]
    pairs = _pair(asked, reading.objects)
    complaints = []
    subject = len(asked) == len(reading.objects)
    if not subject:
        complaints.append(f"{len(reading.objects)} objects instead of {len(asked)}")
    motion = True
    picture = facts.get("num_frames", reading.num_frames) == 1
    for wanted, index in zip(asked, pairs, strict=True):
        name = f"{wanted['colour']} {wanted['shape']}"
        if index is None:
            subject, motion = False, False
            complaints.append(f"no {name}")
            continue
        found = reading.objects[index]
        if (found.shape, found.colour) != (wanted["shape"], wanted["colour"]):
            subject = False
            complaints.append(f"{name}: looks like a {found.colour} {found.shape}")
        if picture:
            continue
        if found.direction != wanted["direction"]:
            motion = False
            complaints.append(f"{name}: {found.direction} instead of {wanted['direction']}")
        if found.bounces != wanted["bounces"]:
            motion = False
            complaints.append(f"{name}: {'bounces' if found.bounces else 'does not bounce'}")
    camera = picture or reading.camera == facts["camera"]
    if not camera:
        complaints.append(f"camera: {reading.camera} instead of {facts['camera']}")
    return Verdict(subject, motion or picture, camera, pairs, "; ".join(complaints))


def _pair(asked: list[dict[str, Any]], found: tuple[ObjectReading, ...]) -> tuple[int | None, ...]:
    """For each asked object the read one that suits it best, all together."""

    def suits(wanted: dict[str, Any], index: int | None) -> int:
        if index is None:
            return 0
        one = found[index]
        likeness = 8 * (one.colour == wanted["colour"]) + 6 * (one.shape == wanted["shape"])
        return 1 + likeness + 2 * (one.direction == wanted["direction"]) + (one.bounces == wanted["bounces"])

    places: list[int | None] = [*range(len(found)), *[None] * len(asked)]
    if len(found) > 6:  # a broken film: keep the search small
        places = [*range(6), *[None] * len(asked)]
    orders = set(permutations(places, len(asked)))
    return max(
        sorted(orders, key=lambda order: [len(found) if i is None else i for i in order]),
        key=lambda order: sum(suits(wanted, index) for wanted, index in zip(asked, order, strict=True)),
    )
