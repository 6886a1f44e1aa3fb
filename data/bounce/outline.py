"""The planned content of a video, sampled before anything is placed."""

from dataclasses import dataclass, replace
from typing import Any

from data.bounce.config import WorldConfig
from data.bounce.facts import ObjectFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.vocabulary import DIRECTIONS, STILL

_OPPOSITE = {
    a: b
    for a, (ax, ay) in DIRECTIONS.items()
    for b, (bx, by) in DIRECTIONS.items()
    if abs(ax + bx) + abs(ay + by) < 1e-9
}


@dataclass(frozen=True)
class Outline:
    """Properties that stay fixed for a seed while its objects are resampled until a scene is accepted."""

    camera: str
    background: str
    num_objects: int
    collides: bool  # objects 0 and 1 collide


def sample_outline(random: PortableRandom, config: WorldConfig, is_image: bool) -> Outline:
    still = [c for c in config.cameras if c == "static shot"]
    moving = [c for c in config.cameras if c != "static shot"]
    moves = moving and (not still or random.chance(config.moving_camera_prob))
    camera = random.pick(moving if moves else still)
    background = random.pick(config.backgrounds)
    count = random.integer(config.min_objects, config.max_objects)
    collides = random.chance(config.collide_prob) and count > 1 and not is_image
    return Outline("static shot" if is_image else camera, background, count, collides)


def sample_objects(random: PortableRandom, config: WorldConfig, outline: Outline) -> list[ObjectFacts]:
    """Return distinguishable objects with their planned motions."""
    objects: list[ObjectFacts] = []
    distinct = len(config.shapes) * len(config.colors) >= outline.num_objects
    while len(objects) < outline.num_objects:
        candidate = _sample_object(random, config)
        if not distinct or all((o.shape, o.color) != (candidate.shape, candidate.color) for o in objects):
            objects.append(candidate)
    if outline.collides:
        objects[:2] = _collision(random, config, objects[0], objects[1])
    return objects


def _sample_object(random: PortableRandom, config: WorldConfig) -> ObjectFacts:
    shape = random.pick(config.shapes)
    moves = not random.chance(config.still_prob)
    appears, vanishes = random.chance(config.appear_prob), random.chance(config.vanish_prob)
    return ObjectFacts(
        shape=shape,
        color=random.pick(config.colors),
        size=random.pick(config.sizes),
        material=random.pick(config.materials),
        direction=random.pick(config.directions) if moves else STILL,
        speed=random.pick(config.speeds) if moves else STILL,
        bounces=random.chance(config.bounce_prob) and moves and not appears and not vanishes,
        spin=random.chance(config.spin_prob) and shape not in ("circle", "ring"),
        appears=appears,
        vanishes=vanishes and not appears,
    )


def _collision(
    random: PortableRandom, config: WorldConfig, a: ObjectFacts, b: ObjectFacts
) -> list[ObjectFacts]:
    """Let `a` run into `b`, which is at rest or comes from the opposite side."""
    direction = random.pick(config.directions)
    at_rest = random.chance(0.5) or _OPPOSITE[direction] not in config.directions
    speed_a, speed_b = random.pick(config.speeds), random.pick(config.speeds)
    hit: dict[str, Any] = {"bounces": True, "appears": False, "vanishes": False, "spin": False}
    return [
        replace(a, direction=direction, speed=speed_a, **hit),
        replace(
            b,
            direction=STILL if at_rest else _OPPOSITE[direction],
            speed=STILL if at_rest else speed_b,
            **hit,
        ),
    ]
