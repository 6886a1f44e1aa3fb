"""The words of the Bounce world and their appearance.

Everything that a checker of videos needs, and nothing about how videos are rendered: names, colors,
signed distances of the shapes, directions, and the combinations that training never sees. NumPy only.

Units: lengths are in *room units*, 1 = the shorter side of the frame. Vectors are in image
coordinates: x grows to the right, y grows DOWN, so the direction "up" is (0, -1).
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (228, 38, 44),
    "orange": (250, 138, 20),
    "yellow": (250, 222, 45),
    "green": (38, 178, 62),
    "cyan": (45, 212, 226),
    "blue": (38, 74, 232),
    "purple": (150, 48, 205),
    "white": (244, 244, 244),
}

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "ring", "cross")

SIZES: dict[str, float] = {"small": 0.14, "medium": 0.18, "large": 0.23}
"""Radius in room units. Every shape has about the visible size of a disc with this radius."""

CROWD: dict[int, float] = {1: 1.0, 2: 0.86, 3: 0.74}
"""Factor on SIZES by the number of objects in a video: objects shrink as their count grows."""

_D = math.sqrt(0.5)
DIRECTIONS: dict[str, tuple[float, float]] = {
    "right": (1.0, 0.0),
    "up-right": (_D, -_D),
    "up": (0.0, -1.0),
    "up-left": (-_D, -_D),
    "left": (-1.0, 0.0),
    "down-left": (-_D, _D),
    "down": (0.0, 1.0),
    "down-right": (_D, _D),
}
STILL = "still"

SPEEDS: dict[str, float] = {"slow": 0.38, "medium": 0.5, "fast": 0.66}
"""Room units per second (videos shorter than a second run faster, see `placement.pace`)."""

CAMERAS: tuple[str, ...] = (
    "static shot",
    "pan right",
    "pan left",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "handheld shot",
)
"""Those of the paper's sixteen camera-motion labels that make sense for a flat room."""

BACKGROUNDS: tuple[str, ...] = ("plain", "tiles", "wood", "grass", "sand", "bricks", "carpet")

MATERIALS: tuple[str, ...] = ("wooden", "metal", "glass", "rubber", "stone")
"""Materials decide the audio of an impact, not an object's appearance."""

HELD_OUT: dict[str, frozenset[tuple[str, str]]] = {
    "shape-color": frozenset(
        {
            ("circle", "purple"),
            ("square", "orange"),
            ("triangle", "cyan"),
            ("star", "blue"),
            ("ring", "green"),
            ("cross", "red"),
        }
    ),
    "shape-direction": frozenset(
        {
            ("circle", "up-left"),
            ("square", "down"),
            ("triangle", "right"),
            ("star", "down-right"),
            ("ring", "left"),
            ("cross", "up-right"),
        }
    ),
}
"""Pairs that no training video ever contains: how a model renders them measures composition.

Every shape loses one color and one direction, and keeps the others, so each word is well known.
"""


def is_held_out(shape: str, color: str, direction: str = STILL) -> bool:
    """Return whether an object with these words belongs to the combinations held out of training."""
    return (shape, color) in HELD_OUT["shape-color"] or (shape, direction) in HELD_OUT["shape-direction"]


# --- Shapes. Distances use only operations that IEEE 754 rounds exactly (+ - * / sqrt min max abs), so
# --- a video has the same bytes on every machine.

_SQUARE = 0.88  # half side
_TRIANGLE = 1.22  # center to corner
_STAR_TIP, _STAR_NOTCH = 1.26, 0.52
_RING_OUTER, _RING_INNER = 1.04, 0.52
_CROSS_LONG, _CROSS_WIDE = 1.12, 0.36
_S36, _C36 = math.sin(math.pi / 5), math.cos(math.pi / 5)
_S60 = math.sqrt(0.75)


def _circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - 1.0


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - _SQUARE


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(_S60 * np.abs(x) - 0.5 * y, y) - 0.5 * _TRIANGLE


def _star(x: Array, y: Array) -> Array:
    # Fold the plane into the wedge of 36 degrees next to the upper tip, where the outline is one line.
    x, y = np.abs(x), -y
    for _ in range(2):
        beyond = np.maximum(_C36 * x - _S36 * y, 0.0)
        x, y = np.abs(x - 2 * _C36 * beyond), y + 2 * _S36 * beyond
    ax, ay = _STAR_NOTCH * _S36, _STAR_NOTCH * _C36 - _STAR_TIP
    length = math.sqrt(ax * ax + ay * ay)
    return (x * -ay + (y - _STAR_TIP) * ax) / length


def _ring(x: Array, y: Array) -> Array:
    middle, half = (_RING_OUTER + _RING_INNER) / 2, (_RING_OUTER - _RING_INNER) / 2
    return np.abs(np.sqrt(x * x + y * y) - middle) - half


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - _CROSS_WIDE, np.maximum(x, y) - _CROSS_LONG)


_DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def signed_distance(shape: str, x: Array, y: Array) -> Array:
    """Return the distance to the outline of an upright shape of radius 1 at the origin; negative inside.

    Args:
        shape: one of SHAPES.
        x, y: arrays that broadcast together, in radii, y down.

    Returns:
        Distances in radii, exact near the outline (what antialiasing needs), a lower bound elsewhere.
    """
    return _DISTANCES[shape](x, y)


def coverage(shape: str, x: Array, y: Array, radius: float | Array, angle: float | Array = 0.0) -> Array:
    """Return the fraction of each pixel that the shape covers, in [0, 1].

    Args:
        x, y: pixel centers relative to the shape's center, in pixels, y down.
        radius: pixels; angle: radians, clockwise on the screen. Scalars or arrays that broadcast.
    """
    radius = np.maximum(radius, 1e-3)
    cos, sin = _each(math.cos, angle), _each(math.sin, angle)
    u, v = (x * cos + y * sin) / radius, (y * cos - x * sin) / radius
    return np.clip(0.5 - signed_distance(shape, u, v) * radius, 0.0, 1.0)


def _each(function: Callable[[float], float], values: float | Array) -> float | Array:
    """Apply math.sin or math.cos to an array: NumPy's own differ in the last bit between processors."""
    if isinstance(values, np.ndarray):
        return np.array([function(v) for v in values.ravel().tolist()], values.dtype).reshape(values.shape)
    return function(values)


_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": tuple((sx * _SQUARE, sy * _SQUARE) for sx in (-1, 1) for sy in (-1, 1)),
    "triangle": ((0.0, -_TRIANGLE), (_S60 * _TRIANGLE, _TRIANGLE / 2), (-_S60 * _TRIANGLE, _TRIANGLE / 2)),
    "star": tuple(
        (_STAR_TIP * math.sin(k * math.tau / 5), -_STAR_TIP * math.cos(k * math.tau / 5)) for k in range(5)
    ),
    "cross": tuple(
        (sx * a, sy * b)
        for a, b in ((_CROSS_LONG, _CROSS_WIDE), (_CROSS_WIDE, _CROSS_LONG))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ),
}
_ROUND = {"circle": 1.0, "ring": _RING_OUTER}


def extent(shape: str, nx: float, ny: float) -> float:
    """Return the extent of an upright shape of radius 1 along the unit vector (nx, ny)."""
    if shape in _ROUND:
        return _ROUND[shape]
    return max(x * nx + y * ny for x, y in _CORNERS[shape])


def circumradius(shape: str) -> float:
    """Return the distance from the center to the farthest point, in radii."""
    return _ROUND.get(shape) or max(math.hypot(x, y) for x, y in _CORNERS[shape])
