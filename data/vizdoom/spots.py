"""Starting position of a clip: at an item of the map with a view, or in front of a door that opens."""

import math
from dataclasses import dataclass

import numpy as np

from data.vizdoom.engine import Engine
from data.vizdoom.maps import scenario_file
from data.vizdoom.observation import PICKUPS, Action, Lines, Media, Tic, is_inside
from data.vizdoom.play import horizontal_openness

NUM_VIEWS = 6
MIN_BRIGHTNESS = 22.0  # mean of the pixels: darker spots show nothing
MIN_OPENNESS = 8.0  # mean depth ahead: nearer is a wall before the eyes
ROOM_HEIGHT, ROOM_SIZE = 72.0, 128.0
DOOR_DISTANCE = 56.0
DOOR_LINE = 60.0  # length of a line that can be a door's leaf


@dataclass(frozen=True)
class Spot:
    """A place on the map and a direction in degrees, None where the view decides."""

    x: float
    y: float
    angle_deg: float | None = None


def open_spots(engine: Engine, tic: Tic) -> list[Spot]:
    """Return the map's items and the middles of its rooms; of scenarios rooms only: an item may end them."""
    items = [] if scenario_file(engine.name) else [t for t in tic.things.values() if t.category in PICKUPS]
    middles = [
        point
        for lines, (floor, ceiling) in zip(engine.sectors, tic.heights, strict=True)
        if ceiling - floor >= ROOM_HEIGHT and (point := _middle(lines)) is not None
    ]
    return [Spot(t.x, t.y) for t in items] + [Spot(x, y) for x, y in middles] or [Spot(tic.x, tic.y)]


def _middle(lines: Lines) -> tuple[float, float] | None:
    """Return the middle of a sector that is large enough to stand in; None for others and for odd shapes."""
    xs, ys = [x for line in lines for x in line[::2]], [y for line in lines for y in line[1::2]]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    large = min(max(xs) - min(xs), max(ys) - min(ys)) >= ROOM_SIZE
    return (x, y) if large and is_inside(lines, x, y) else None


def door_spots(engine: Engine, tic: Tic) -> list[Spot]:
    """Return spots in front of closed sectors, on both sides, facing them: most are doors."""
    spots = []
    for lines, (floor, ceiling) in zip(engine.sectors, tic.heights, strict=True):
        if ceiling > floor:
            continue
        for x1, y1, x2, y2 in lines:
            length = math.hypot(x2 - x1, y2 - y1)
            if length < DOOR_LINE:
                continue
            x, y, nx, ny = (x1 + x2) / 2, (y1 + y2) / 2, (y2 - y1) / length, (x1 - x2) / length
            for side in (1, -1):
                angle = math.degrees(math.atan2(-side * ny, -side * nx)) % 360
                spots.append(Spot(x + side * DOOR_DISTANCE * nx, y + side * DOOR_DISTANCE * ny, angle))
    return spots


def go_to(engine: Engine, spot: Spot, random: np.random.Generator) -> tuple[Tic, Media] | None:
    """Move the player to a place; None if it does not fit there or sees nothing."""
    engine.command(f"warp {round(spot.x)} {round(spot.y)}")
    seen = engine.act(Action())
    if seen is None or seen[0].distance_to(spot.x, spot.y) > 8:
        return None
    if spot.angle_deg is not None:
        seen = engine.act(Action(turn=(seen[0].angle_deg - spot.angle_deg + 180) % 360 - 180))
    else:
        seen = _face_open_space(engine, random)
    if seen is None or seen[1].rgb_HWC.mean() < MIN_BRIGHTNESS:
        return None
    if spot.angle_deg is None and horizontal_openness(seen[1].depth_HW)[1] < MIN_OPENNESS:
        return None
    return seen


def _face_open_space(engine: Engine, random: np.random.Generator) -> tuple[Tic, Media] | None:
    """Look around and face a direction drawn among the most open ones."""
    seen = engine.act(Action(turn=float(random.uniform(-180, 180))))
    openness = []
    for _ in range(NUM_VIEWS):
        if seen is None:
            return None
        openness.append(horizontal_openness(seen[1].depth_HW)[1])
        seen = engine.act(Action(turn=360 / NUM_VIEWS))
    best = np.argsort(openness)[::-1][: NUM_VIEWS // 2]
    chosen = int(random.choice(best))
    return engine.act(Action(turn=chosen * 360 / NUM_VIEWS))
