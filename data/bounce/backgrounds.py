"""Floor textures: muted, so that every object stands out, and structured, so that camera moves are visible.

A texture is a function of the position in the room. It is made of exactly rounded operations only, as all
rendering is, so that every machine makes the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.bounce.portable_random import PortableRandom

Array = np.ndarray


@dataclass(frozen=True)
class Floor:
    """A video's floor: its name, color, and the offset of its pattern."""

    name: str
    color: tuple[float, float, float]
    shift: tuple[float, float]
    flip: bool


_COLORS: dict[str, tuple[int, int, int]] = {
    "plain": (98, 98, 104),
    "tiles": (104, 106, 112),
    "wood": (104, 88, 74),
    "grass": (78, 92, 72),
    "sand": (132, 122, 104),
    "bricks": (100, 80, 76),
    "carpet": (74, 76, 92),
}
_CONTRAST = {
    "plain": 12.0,
    "tiles": 15.0,
    "wood": 14.0,
    "grass": 15.0,
    "sand": 13.0,
    "bricks": 15.0,
    "carpet": 16.0,
}
_WALL, _SKIRTING = (38.0, 36.0, 40.0), (196.0, 192.0, 184.0)
SKIRTING_WIDTH = 0.03


def sample_floor(name: str, random: PortableRandom) -> Floor:
    light = random.uniform(0.9, 1.1)
    color = tuple(c * light for c in _COLORS[name])
    return Floor(name, color, (random.uniform(), random.uniform()), random.chance(0.5))


def _wave(u: Array) -> Array:
    """Return a triangle wave of period 1 between -1 (at integers) and 1."""
    return 1 - np.abs(u - np.floor(u) - 0.5) * 4


def _round_wave(u: Array) -> Array:
    """Return a sine-like wave of parabolas."""
    w = _wave(u)
    return w * (2 - np.abs(w))


def _steep(wave: Array, period: float, px: Array) -> Array:
    """Return a square wave with edges one pixel wide."""
    return np.clip(wave * (period / 4) / np.maximum(px, 1e-6), -1.0, 1.0)


_TABLE = np.array(
    [(i * 2654435761 % 2**32) / 2**32 * 2 - 1 for i in (j * j * 31 + j * 7 + 5 for j in range(64))],
    np.float32,
)


def _lookup(index: Array) -> Array:
    return _TABLE[index.astype(np.int64) & 63]


def _noise(x: Array, y: Array) -> Array:
    """Return smooth value noise of cell size 1 in [-1, 1]."""
    fx, fy = np.floor(x), np.floor(y)
    u, v = x - fx, y - fy
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    corner = fx + 17 * fy
    top = _lookup(corner) * (1 - u) + _lookup(corner + 1) * u
    bottom = _lookup(corner + 17) * (1 - u) + _lookup(corner + 18) * u
    return top * (1 - v) + bottom * v


def _plain(x: Array, y: Array, px: Array) -> Array:
    return _round_wave(x * 0.5) * 0.5 + _round_wave(y * 0.5) * 0.5


def _tiles(x: Array, y: Array, px: Array) -> Array:
    return _steep(_wave(x / 0.5), 0.5, px) * _steep(_wave(y / 0.5), 0.5, px)


def _wood(x: Array, y: Array, px: Array) -> Array:
    plank = np.floor(y / 0.2)
    grain = _round_wave(x * 0.7 + _lookup(plank) * 2) * 0.35
    gap = np.clip((np.abs(y / 0.2 - plank - 0.5) - 0.5) * 0.2 / px + 1, 0.0, 1.0)
    return _lookup(plank * 3 + 1) * 0.6 + grain - gap * 0.8


def _grass(x: Array, y: Array, px: Array) -> Array:
    return _noise(x / 0.16, y / 0.16)


def _sand(x: Array, y: Array, px: Array) -> Array:
    return _round_wave(y / 0.22 + 0.35 * _round_wave(x / 0.9) + 0.15 * _round_wave(x / 0.37))


def _bricks(x: Array, y: Array, px: Array) -> Array:
    row = np.floor(y / 0.18)
    column = x / 0.36 + row * 0.5
    brick = np.floor(column)
    mortar = np.maximum(
        (np.abs(y / 0.18 - row - 0.5) - 0.5) * 0.18 / px, (np.abs(column - brick - 0.5) - 0.5) * 0.36 / px
    )
    return _lookup(brick * 5 + row * 11) * 0.5 + np.clip(mortar + 1, 0.0, 1.0)


def _carpet(x: Array, y: Array, px: Array) -> Array:
    row = np.floor(y / 0.2)
    u, v = x / 0.25 + row * 0.5, y / 0.2
    du, dv = (u - np.floor(u) - 0.5) * 0.25, (v - row - 0.5) * 0.2
    return 2 * np.clip(0.5 + (0.055 - np.sqrt(du * du + dv * dv)) / px, 0.0, 1.0) - 0.6


_PATTERNS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "plain": _plain,
    "tiles": _tiles,
    "wood": _wood,
    "grass": _grass,
    "sand": _sand,
    "bricks": _bricks,
    "carpet": _carpet,
}


def paint(floor: Floor, x: Array, y: Array, px: Array, room: tuple[float, float]) -> Array:
    """Return the empty room at some positions.

    Args:
        x: [T, 1, W] and y: [T, H, 1], room units, float32.
        px: [T, 1, 1], room units per pixel.
        room: width and height; outside is wall, with a light skirting board along it.

    Returns:
        float32 [T, H, W, 3] in 0..255.
    """
    sign = -1 if floor.flip else 1
    pattern = _PATTERNS[floor.name](x * sign + floor.shift[0], y + floor.shift[1], px)
    image = np.asarray(floor.color, np.float32) + np.float32(_CONTRAST[floor.name]) * pattern[..., None]
    outside = np.maximum(np.maximum(-x, x - room[0]), np.maximum(-y, y - room[1])) / px
    if outside.max() <= 0:
        return image
    for color, start in ((_SKIRTING, 0.0), (_WALL, SKIRTING_WIDTH)):
        alpha = np.clip(outside - start / px + 0.5, 0.0, 1.0)[..., None]
        image += alpha * (np.asarray(color, np.float32) - image)
    return image
