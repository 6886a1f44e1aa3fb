"""From a seed to a scene: facts first, then a start from which physics makes them true and legible.

The plan says who moves where and who bounces; starting places are constructed so that this should come
true; physics runs. A film is kept if what happened is what was planned and a viewer can tell: a mover
covers a quarter of the room before anything happens to it, its impact is neither at the very beginning
nor at the very end and visibly changes its course, and whatever is not meant to touch keeps clear.
Otherwise the next try is drawn from the same seed.

Short films show a few events. In long ones every mover has to bounce somewhere, and objects meet by
chance; there, what happened counts, and the facts are corrected after it.
"""

import math
from dataclasses import dataclass, replace

from data.bounce.config import WorldConfig
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.outline import draw_objects, draw_outline
from data.bounce.physics import Body, simulate
from data.bounce.placement import RUN_OUT, apart, hit_window, pace, place
from data.bounce.portable_random import PortableRandom
from data.bounce.splits import belongs
from data.bounce.vocabulary import SPEEDS
from src.core.errors import UserError

LONG_S = 2.0
"""In films longer than this (seconds) what happens may differ from the plan."""
_OUTLINES, _TRIES, _TRIES_STRICT_LONG, _TRIES_PER_PLAN = 8, 480, 40, 8


@dataclass(frozen=True)
class Scene:
    """Facts and the motion behind them; knows no pixels beyond the frame's shape."""

    facts: VideoFacts
    bodies: tuple[Body, ...]
    visible: tuple[tuple[float, float], ...]  # seconds from and until which each object is there
    room: tuple[float, float]  # width and height in room units


def draw_scene(
    seed: int, version: str, config: WorldConfig, num_frames: int, height: int, width: int, fps: float
) -> Scene:
    """The scene of one seed.

    Raises:
        UserError: the config asks for films that cannot be made: too crowded, or every combination
            that it allows is kept from this holdout and split.
    """
    dice, is_image = PortableRandom(seed, version), num_frames == 1
    unit, duration = min(height, width), num_frames / fps
    room = (width / unit, height / unit)
    tries_strict = _TRIES if duration <= LONG_S else _TRIES_STRICT_LONG
    for _ in range(_OUTLINES):
        outline = draw_outline(dice, config, is_image)
        look = (outline.camera, outline.background)
        blank = VideoFacts(version, seed, *look, num_frames, height, width, fps, objects=(), impacts=())
        for attempt in range(_TRIES):
            strict = attempt < tries_strict
            if attempt % _TRIES_PER_PLAN == 0:
                planned = replace(blank, objects=tuple(draw_objects(dice, config, outline)))
                planned = planned.as_image() if is_image else planned
            if strict and not belongs(planned, config):
                continue
            scene = _try(dice, planned, room, duration, outline.collides, strict)
            if scene is not None and belongs(scene.facts, config):
                return scene
    raise UserError(
        f"no film for seed {seed} in {_OUTLINES * _TRIES} tries: the world config is too crowded, or it "
        f"allows only combinations that are not in holdout={config.holdout!r}, split={config.split!r}"
    )


def _try(
    dice: PortableRandom,
    planned: VideoFacts,
    room: tuple[float, float],
    duration: float,
    collides: bool,
    strict: bool,
) -> Scene | None:
    """One start, played through; None unless it is legible and, if strict, as planned."""
    objects = list(planned.objects)
    bodies = place(dice, objects, room, duration, collides)
    if bodies is None:
        return None
    visible = tuple(_visibility(dice, o, duration) for o in objects)
    impacts = simulate(bodies, *room, 0.0 if planned.is_image else duration)
    for i, o in enumerate(objects):
        hit = any(i in impact.objects for impact in impacts)
        if (strict and hit != o.bounces) or (hit and (o.appears or o.vanishes)):
            return None
        objects[i] = replace(o, bounces=hit)
    touching = {impact.objects for impact in impacts if impact.kind == "object"}
    if not all(_legible(i, body, impacts, duration) for i, body in enumerate(bodies)):
        return None
    if not all(_clear(bodies, duration * k / 12, touching) for k in range(1, 13)):
        return None
    return Scene(
        replace(planned, objects=tuple(objects), impacts=tuple(impacts)), tuple(bodies), visible, room
    )


def _visibility(dice: PortableRandom, fact: ObjectFacts, duration: float) -> tuple[float, float]:
    start = duration * dice.uniform(0.22, 0.38) if fact.appears else -1.0
    end = duration * dice.uniform(0.68, 0.8) if fact.vanishes else duration + 1.0
    return start, end


def _legible(index: int, body: Body, impacts: list[Impact], duration: float) -> bool:
    """Whether a viewer can tell the object's course and, if it is hit, that its course changes."""
    mine = [impact.time_s for impact in impacts if index in impact.objects]
    if not mine:
        return True
    (_, _, _, vx, vy), (_, _, _, wx, wy) = body.path[:2]
    before, after = math.sqrt(vx * vx + vy * vy), math.sqrt(wx * wx + wy * wy)
    earliest, latest = hit_window(duration, before or SPEEDS["fast"] * pace(duration))
    if not earliest - 1e-6 <= mine[0] <= latest + 1e-6:
        return False
    if len(mine) > 1 and mine[1] - mine[0] < 0.22 * min(duration, 1.0):
        return False
    rest = (mine[1] if len(mine) > 1 else duration) - mine[0]
    turned = math.sqrt((wx - vx) ** 2 + (wy - vy) ** 2)
    return turned >= 0.6 * max(before, 0.3 * pace(duration)) and (before > 0 or after * rest >= RUN_OUT)


def _clear(bodies: list[Body], time: float, touching: set[tuple[int, ...]]) -> bool:
    """Whether objects that never touch are visibly apart at a time."""
    places = [body.position(time) for body in bodies]
    pairs = ((i, j) for j in range(len(bodies)) for i in range(j))
    return all((i, j) in touching or apart(bodies[i], bodies[j], places[i], places[j]) for i, j in pairs)
