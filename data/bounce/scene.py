"""Sample a scene from a seed: facts first, then initial positions from which physics makes them true.

The outline fixes which objects move where and which bounce; initial positions are constructed so that
this should happen; then physics runs. A scene is accepted if the events are the planned ones and
legible: a moving object covers a quarter of the room before its first impact, the impact is neither at
the very beginning nor at the very end and visibly changes the direction, and objects that must not touch
stay apart. Otherwise the next attempt is sampled from the same seed.

Short videos show a few events. In long ones every moving object bounces somewhere, and objects meet by
chance; there the facts are corrected after the simulation.
"""

import math
from dataclasses import dataclass, replace

from data.bounce.config import WorldConfig
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.outline import sample_objects, sample_outline
from data.bounce.physics import Body, simulate
from data.bounce.placement import RUN_OUT, apart, hit_window, pace, place_bodies
from data.bounce.portable_random import PortableRandom
from data.bounce.splits import is_in_world
from data.bounce.vocabulary import SPEEDS
from src.core.errors import UserError

LONG_S = 2.0
"""Seconds; in longer videos events may differ from the plan."""
_OUTLINES, _TRIES, _TRIES_STRICT_LONG, _TRIES_PER_PLAN = 8, 480, 40, 8


@dataclass(frozen=True)
class Scene:
    """Facts and the motion that produced them; of the pixels only the frame's shape."""

    facts: VideoFacts
    bodies: tuple[Body, ...]
    visible: tuple[tuple[float, float], ...]  # seconds from and until which each object is visible
    room: tuple[float, float]  # width and height in room units


def sample_scene(
    seed: int, version: str, config: WorldConfig, num_frames: int, height: int, width: int, fps: float
) -> Scene:
    """Return the scene of one seed.

    Raises:
        UserError: the config allows no scene: too crowded, or every combination that it allows is
            excluded by its holdout and split.
    """
    random, is_image = PortableRandom(seed, version), num_frames == 1
    unit, duration = min(height, width), num_frames / fps
    room = (width / unit, height / unit)
    tries_strict = _TRIES if duration <= LONG_S else _TRIES_STRICT_LONG
    for _ in range(_OUTLINES):
        outline = sample_outline(random, config, is_image)
        look = (outline.camera, outline.background)
        blank = VideoFacts(version, seed, *look, num_frames, height, width, fps, objects=(), impacts=())
        for attempt in range(_TRIES):
            strict = attempt < tries_strict
            if attempt % _TRIES_PER_PLAN == 0:
                planned = replace(blank, objects=tuple(sample_objects(random, config, outline)))
                planned = planned.as_image() if is_image else planned
            if strict and not is_in_world(planned, config):
                continue
            scene = _try(random, planned, room, duration, outline.collides, strict)
            if scene is not None and is_in_world(scene.facts, config):
                return scene
    raise UserError(
        f"no video for seed {seed} in {_OUTLINES * _TRIES} tries: the world config is too crowded, or it "
        f"allows only combinations that are not in holdout={config.holdout!r}, split={config.split!r}"
    )


def _try(
    random: PortableRandom,
    planned: VideoFacts,
    room: tuple[float, float],
    duration: float,
    collides: bool,
    strict: bool,
) -> Scene | None:
    """Place and simulate once; return None unless it is legible and, if strict, as planned."""
    objects = list(planned.objects)
    bodies = place_bodies(random, objects, room, duration, collides)
    if bodies is None:
        return None
    visible = tuple(_visibility(random, o, duration) for o in objects)
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


def _visibility(random: PortableRandom, fact: ObjectFacts, duration: float) -> tuple[float, float]:
    start = duration * random.uniform(0.22, 0.38) if fact.appears else -1.0
    end = duration * random.uniform(0.68, 0.8) if fact.vanishes else duration + 1.0
    return start, end


def _legible(index: int, body: Body, impacts: list[Impact], duration: float) -> bool:
    """Return whether the object's direction, and its change at an impact, can be seen."""
    impact_times = [impact.time_s for impact in impacts if index in impact.objects]
    if not impact_times:
        return True
    (_, _, _, vx, vy), (_, _, _, wx, wy) = body.path[:2]
    before, after = math.sqrt(vx * vx + vy * vy), math.sqrt(wx * wx + wy * wy)
    earliest, latest = hit_window(duration, before or SPEEDS["fast"] * pace(duration))
    if not earliest - 1e-6 <= impact_times[0] <= latest + 1e-6:
        return False
    if len(impact_times) > 1 and impact_times[1] - impact_times[0] < 0.22 * min(duration, 1.0):
        return False
    rest = (impact_times[1] if len(impact_times) > 1 else duration) - impact_times[0]
    turned = math.sqrt((wx - vx) ** 2 + (wy - vy) ** 2)
    return turned >= 0.6 * max(before, 0.3 * pace(duration)) and (before > 0 or after * rest >= RUN_OUT)


def _clear(bodies: list[Body], time: float, touching: set[tuple[int, ...]]) -> bool:
    """Return whether objects that never touch are visibly apart at a time."""
    positions = [body.position(time) for body in bodies]
    pairs = ((i, j) for j in range(len(bodies)) for i in range(j))
    return all(
        (i, j) in touching or apart(bodies[i], bodies[j], positions[i], positions[j]) for i, j in pairs
    )
