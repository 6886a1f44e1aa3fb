"""What a film is meant to show, drawn before anything is placed."""

from dataclasses import dataclass, replace

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
    """What stays fixed for a seed while its objects are drawn anew until a film works out."""

    camera: str
    background: str
    num_objects: int
    collides: bool  # objects 0 and 1 run into each other


def draw_outline(dice: PortableRandom, config: WorldConfig, is_image: bool) -> Outline:
    still = [c for c in config.cameras if c == "static shot"]
    moving = [c for c in config.cameras if c != "static shot"]
    moves = moving and (not still or dice.chance(config.moving_camera_prob))
    camera = dice.pick(moving if moves else still)
    background = dice.pick(config.backgrounds)
    count = dice.integer(config.min_objects, config.max_objects)
    collides = dice.chance(config.collide_prob) and count > 1 and not is_image
    return Outline("static shot" if is_image else camera, background, count, collides)


def draw_objects(dice: PortableRandom, config: WorldConfig, outline: Outline) -> list[ObjectFacts]:
    """Objects that a viewer can tell apart, with what each is meant to do."""
    objects: list[ObjectFacts] = []
    distinct = len(config.shapes) * len(config.colours) >= outline.num_objects
    while len(objects) < outline.num_objects:
        drawn = _draw_object(dice, config)
        if not distinct or all((o.shape, o.colour) != (drawn.shape, drawn.colour) for o in objects):
            objects.append(drawn)
    if outline.collides:
        objects[:2] = _collision(dice, config, objects[0], objects[1])
    return objects


def _draw_object(dice: PortableRandom, config: WorldConfig) -> ObjectFacts:
    shape = dice.pick(config.shapes)
    moves = not dice.chance(config.still_prob)
    appears, vanishes = dice.chance(config.appear_prob), dice.chance(config.vanish_prob)
    return ObjectFacts(
        shape=shape,
        colour=dice.pick(config.colours),
        size=dice.pick(config.sizes),
        material=dice.pick(config.materials),
        direction=dice.pick(config.directions) if moves else STILL,
        speed=dice.pick(config.speeds) if moves else STILL,
        bounces=dice.chance(config.bounce_prob) and moves and not appears and not vanishes,
        spin=dice.chance(config.spin_prob) and shape not in ("circle", "ring"),
        appears=appears,
        vanishes=vanishes and not appears,
    )


def _collision(
    dice: PortableRandom, config: WorldConfig, a: ObjectFacts, b: ObjectFacts
) -> list[ObjectFacts]:
    """`a` runs into `b`, which waits or comes from the opposite side."""
    direction = dice.pick(config.directions)
    waits = dice.chance(0.5) or _OPPOSITE[direction] not in config.directions
    ours, theirs = dice.pick(config.speeds), dice.pick(config.speeds)
    hit = {"bounces": True, "appears": False, "vanishes": False, "spin": False}
    return [
        replace(a, direction=direction, speed=ours, **hit),
        replace(
            b, direction=STILL if waits else _OPPOSITE[direction], speed=STILL if waits else theirs, **hit
        ),
    ]
