"""Frame, audio and state of the engine in one tic.

Legend: H height, W width, S samples, C channels.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PICKUPS = frozenset({"Ammo", "Armor", "Health", "Key", "Powerup", "Weapon"})
"""Categories of objects that the player can collect."""


@dataclass(frozen=True)
class Thing:
    """An object of the game: position in map units, of which a step up a stair has at most 24."""

    name: str
    category: str
    x: float
    y: float


@dataclass(frozen=True)
class Tic:
    """The state after one tic.

    `angle_deg` is the view's direction, counterclockwise from east. `visible` maps ids of objects in view to
    the fraction of the screen that their boxes cover. `heights` are floor and ceiling of each sector.
    """

    x: float
    y: float
    angle_deg: float
    weapon: int
    ammo: int
    things: dict[int, Thing] = field(default_factory=dict)
    visible: dict[int, float] = field(default_factory=dict)
    heights: tuple[tuple[float, float], ...] = ()

    def azimuth_to(self, x: float, y: float) -> float:
        """Return the direction of a point off the view's axis, -180 to 180 degrees, positive to the right."""
        bearing = math.degrees(math.atan2(y - self.y, x - self.x))
        return (self.angle_deg - bearing + 180.0) % 360.0 - 180.0

    def distance_to(self, x: float, y: float) -> float:
        return math.hypot(x - self.x, y - self.y)


@dataclass(frozen=True)
class Media:
    """Pixels uint8 [H, W, 3], depth uint8 [H, W] (larger is farther), int16 samples [S, 2] of one tic."""

    rgb_HWC: NDArray[np.uint8]
    depth_HW: NDArray[np.uint8]
    samples_SC: NDArray[np.int16]


@dataclass(frozen=True)
class Action:
    """Keys held during one tic; `turn` in degrees, positive to the right; `weapon` 0 changes nothing."""

    attack: bool = False
    use: bool = False
    forward: bool = False
    left: bool = False
    right: bool = False
    turn: float = 0.0
    weapon: int = 0


Lines = tuple[tuple[float, float, float, float], ...]
"""Borders of a sector: x and y of both ends."""


def nearest_point(lines: Lines, x: float, y: float) -> tuple[float, float]:
    """Return the point of a sector's borders nearest to another."""
    best, found = math.inf, (x, y)
    for x1, y1, x2, y2 in lines:
        length = (x2 - x1) ** 2 + (y2 - y1) ** 2
        along = 0.0 if length == 0 else ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length
        along = min(max(along, 0.0), 1.0)
        point = (x1 + along * (x2 - x1), y1 + along * (y2 - y1))
        distance = math.hypot(point[0] - x, point[1] - y)
        if distance < best:
            best, found = distance, point
    return found


def is_inside(lines: Lines, x: float, y: float) -> bool:
    """Return whether a point is inside a sector: a ray from it crosses the borders an odd number of times."""
    crossings = 0
    for x1, y1, x2, y2 in lines:
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            crossings += 1
    return crossings % 2 == 1
