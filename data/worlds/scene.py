"""From a seed to a scene: facts first, then a start from which physics makes them true and legible.

Facts are drawn (words, still or moving, bouncing or not), starting places are constructed so that the
facts should come true, and physics runs. The film is kept if what happened is what was drawn and a
viewer can tell: a mover covers a quarter of the room before anything happens to it, an impact is
neither at the very beginning nor at the very end and visibly changes the course, whatever is not meant
to touch keeps clear. Otherwise the next try is drawn from the same seed.
"""

import math
from dataclasses import dataclass, replace

from data.worlds.config import WorldConfig
from data.worlds.dice import Dice
from data.worlds.facts import FilmFacts, Impact, ObjectFacts
from data.worlds.physics import Body, simulate
from data.worlds.splits import belongs
from data.worlds.vocabulary import DIRECTIONS, SIZES, SPEEDS, STILL, circumradius

_MARGIN = 0.03  # room units kept from walls and from others by what must not touch
_RUN_UP = 0.25  # room units travelled before the first impact
_RUN_OUT = 0.1  # room units travelled after it
_TRIES, _TRIES_STRICT = 1500, 500


@dataclass(frozen=True)
class Scene:
    """Facts and the state that they came from; independent of the number of pixels."""

    facts: FilmFacts
    bodies: tuple[Body, ...]
    visible: tuple[tuple[float, float], ...]  # seconds: from when to when each object is there
    room: tuple[float, float]  # width, height in room units


def pace(duration: float) -> float:
    """How much faster than usual the world runs: films under a second still show a second's worth."""
    return max(1.0, 1.0 / duration)


def hit_window(duration: float, speed: float) -> tuple[float, float]:
    """Earliest and latest time of a legible first impact, seconds; `speed` in room units per second."""
    return max(0.3 * min(duration, 1.0), _RUN_UP / speed), min(0.75 * duration, duration - _RUN_OUT / speed)


def draw_scene(
    seed: int, version: str, config: WorldConfig, num_frames: int, height: int, width: int, fps: float
) -> Scene:
    """The scene of one seed.

    Raises:
        ValueError: the config asks for films that can not be made (too crowded, or every combination
            that it allows is held out).
    """
    dice = Dice(seed, version)
    duration, unit = num_frames / fps, min(height, width)
    room = (width / unit, height / unit)
    frame = dict(version=version, seed=seed, num_frames=num_frames, height=height, width=width, fps=fps)
    for attempt in range(_TRIES):
        if attempt % 8 == 0:
            drawn = _draw_facts(dice, config, frame)
        if attempt % 8 == 0 and not belongs(drawn, config):
            continue
        scene = _Placing(dice, drawn, room, duration).scene(strict=attempt < _TRIES_STRICT)
        if scene is not None and belongs(scene.facts, config):
            return scene
    raise ValueError(
        f"no legible film for seed {seed} in {_TRIES} tries: the world config is too crowded or allows only "
        f"combinations that holdout={config.holdout!r}, split={config.split!r} forbids"
    )


def _draw_facts(dice: Dice, config: WorldConfig, frame: dict) -> FilmFacts:
    still = [c for c in config.cameras if c == "static shot"]
    moving = [c for c in config.cameras if c != "static shot"]
    camera = dice.pick(moving if moving and (not still or dice.chance(config.moving_camera_prob)) else still)
    count = dice.integer(config.min_objects, config.max_objects)
    objects = [_draw_object(dice, config) for _ in range(count)]
    if count > 1 and dice.chance(config.collide_prob):
        objects[:2] = _draw_collision(dice, objects[0], objects[1], config)
    facts = FilmFacts(
        camera=camera, background=dice.pick(config.backgrounds), objects=tuple(objects), impacts=(), **frame
    )
    return replace(facts.as_image(), camera="static shot") if frame["num_frames"] == 1 else facts


def _draw_object(dice: Dice, config: WorldConfig) -> ObjectFacts:
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


def _draw_collision(dice: Dice, a: ObjectFacts, b: ObjectFacts, config: WorldConfig) -> list[ObjectFacts]:
    """The first object runs into the second, which waits or comes from the opposite side."""
    direction = dice.pick(config.directions)
    opposite = {v: k for k, v in _rounded_directions().items()}[
        tuple(-c for c in _rounded_directions()[direction])
    ]
    speeds = dice.pick(config.speeds), dice.pick(config.speeds)
    waits = dice.chance(0.5) or opposite not in config.directions
    hit = dict(bounces=True, appears=False, vanishes=False, spin=False)
    return [
        replace(a, direction=direction, speed=speeds[0], **hit),
        replace(b, direction=STILL if waits else opposite, speed=STILL if waits else speeds[1], **hit),
    ]


def _rounded_directions() -> dict[str, tuple[int, int]]:
    return {name: (round(x), round(y)) for name, (x, y) in DIRECTIONS.items()}


class _Placing:
    """One try at a start for the drawn facts."""

    def __init__(self, dice: Dice, facts: FilmFacts, room: tuple[float, float], duration: float) -> None:
        self.dice, self.facts, self.room, self.duration = dice, facts, room, duration
        self.pace = pace(duration)
        self.objects = list(facts.objects)

    def scene(self, strict: bool) -> Scene | None:
        """A scene, or None if this try failed. Not strict: bounces may differ from what was drawn."""
        bodies = self._place()
        if bodies is None:
            return None
        visible = tuple(self._visibility(o) for o in self.objects)
        if not self._clear(bodies, 0.0, set()):
            return None
        moving = self.facts.num_frames > 1
        impacts = simulate(bodies, *self.room, self.duration) if moving else _hold(bodies)
        hit = [any(i in impact.objects for impact in impacts) for i in range(len(bodies))]
        if strict and hit != [o.bounces for o in self.objects]:
            return None
        if any(h and (o.appears or o.vanishes) for h, o in zip(hit, self.objects, strict=True)):
            return None
        if not all(self._legible(i, body, impacts) for i, body in enumerate(bodies)):
            return None
        touching = {impact.objects for impact in impacts if impact.kind == "object"}
        if any(not self._clear(bodies, self.duration * k / 12, touching) for k in range(1, 13)):
            return None
        objects = tuple(replace(o, bounces=h) for o, h in zip(self.objects, hit, strict=True))
        facts = replace(self.facts, objects=objects, impacts=tuple(impacts))
        return Scene(facts, tuple(bodies), visible, self.room)

    def _place(self) -> list[Body] | None:
        collides = len(self.objects) > 1 and self.objects[0].bounces and self.objects[1].bounces
        collides = collides and self._opposed(self.objects[0], self.objects[1]) and self.dice.chance(0.9)
        bodies = list(self._place_collision() or ()) if collides else []
        if collides and not bodies:
            return None
        for i in range(len(bodies), len(self.objects)):
            body = self._place_alone(i)
            if body is None:
                return None
            bodies.append(body)
        return bodies

    def _opposed(self, a: ObjectFacts, b: ObjectFacts) -> bool:
        return b.direction == STILL or self._course(a.direction) == tuple(
            -c for c in self._course(b.direction)
        )

    def _course(self, direction: str) -> tuple[float, float]:
        return (0.0, 0.0) if direction == STILL else DIRECTIONS[direction]

    def _body(self, fact: ObjectFacts, x: float = 0.0, y: float = 0.0) -> Body:
        (dx, dy), speed = self._course(fact.direction), SPEEDS.get(fact.speed, 0.0) * self.pace
        turn = (
            self.dice.pick((-1, 1)) * self.dice.uniform(0.3, 0.5) * math.tau * self.pace if fact.spin else 0.0
        )
        return Body(fact.shape, SIZES[fact.size], x, y, dx * speed, dy * speed, spin=turn)

    def _visibility(self, fact: ObjectFacts) -> tuple[float, float]:
        start = self.duration * self.dice.uniform(0.22, 0.38) if fact.appears else -1.0
        end = self.duration * self.dice.uniform(0.68, 0.8) if fact.vanishes else self.duration + 1.0
        return start, end

    def _place_alone(self, index: int) -> Body | None:
        fact = self.objects[index]
        if fact.direction == STILL:
            body = self._body(fact)
            return self._inside(body, 0.0)
        paces = [fact.speed, *self.dice.shuffled([s for s in SPEEDS if s != fact.speed])]
        for bounces in (fact.bounces, not fact.bounces):
            if bounces and (fact.appears or fact.vanishes):
                continue
            for speed in paces:
                self.objects[index] = replace(fact, speed=speed, bounces=bounces)
                body = self._body(self.objects[index])
                if (self._bouncing if bounces else self._inside)(body, self.duration) is not None:
                    return body
        self.objects[index] = fact
        return None

    def _inside(self, body: Body, time: float) -> Body | None:
        """Start such that the body stays clear of all walls until `time`."""
        for axis in (0, 1):
            if not self._free(body, axis, time):
                return None
        return body

    def _free(self, body: Body, axis: int, time: float) -> bool:
        travel = (body.vx, body.vy)[axis] * time
        low, high = self._bounds(body, axis)
        low, high = low + _MARGIN - min(travel, 0.0), high - _MARGIN - max(travel, 0.0)
        if low > high:
            return False
        setattr(body, "xy"[axis], self.dice.uniform(low, high))
        return True

    def _bounds(self, body: Body, axis: int) -> tuple[float, float]:
        unit = (1.0, 0.0) if axis == 0 else (0.0, 1.0)
        return body.reach(-unit[0], -unit[1]), self.room[axis] - body.reach(*unit)

    def _bouncing(self, body: Body, duration: float) -> Body | None:
        """Start such that the body hits one wall at a legible time, and no second one right after."""
        velocity = (body.vx, body.vy)
        speed = math.sqrt(body.vx * body.vx + body.vy * body.vy)
        earliest, latest = hit_window(duration, speed)
        for axis in self.dice.shuffled([k for k in (0, 1) if velocity[k] != 0.0]):
            low, high = self._bounds(body, axis)
            last = min(latest, (high - low - _MARGIN) / abs(velocity[axis]))
            if last < earliest:
                continue
            time = self.dice.uniform(earliest, last)
            wall = high if velocity[axis] > 0 else low
            setattr(body, "xy"[axis], wall - velocity[axis] * time)
            if self._free(body, 1 - axis, duration) or self._free(body, 1 - axis, time + 0.3 / self.pace):
                return body
        return None

    def _place_collision(self) -> tuple[Body, Body] | None:
        """Starts such that objects 0 and 1 meet, nearly head on, at a legible time."""
        a, b = self._body(self.objects[0]), self._body(self.objects[1])
        speed = math.sqrt(a.vx * a.vx + a.vy * a.vy)
        earliest, latest = hit_window(self.duration, speed)
        earliest, latest = earliest, min(latest, 1.5 * earliest + 0.2)
        if earliest > latest:
            return None
        time, (nx, ny) = self.dice.uniform(earliest, latest), (a.vx / speed, a.vy / speed)
        reach_a, reach_b = a.reach(nx, ny), b.reach(-nx, -ny)
        slip = self.dice.uniform(-0.25, 0.25) * min(a.radius, b.radius)
        x, y = self.dice.uniform(0.1, 0.9) * self.room[0], self.dice.uniform(0.1, 0.9) * self.room[1]
        a.x, a.y = x - nx * reach_a - a.vx * time, y - ny * reach_a - a.vy * time
        b.x, b.y = x + nx * reach_b - ny * slip - b.vx * time, y + ny * reach_b + nx * slip - b.vy * time
        inside = all(
            low + _MARGIN <= (body.x, body.y)[axis] <= high - _MARGIN
            for body in (a, b)
            for axis in (0, 1)
            for low, high in [self._bounds(body, axis)]
        )
        return (a, b) if inside else None

    def _legible(self, index: int, body: Body, impacts: list[Impact]) -> bool:
        """Whether a viewer can tell the object's course and, if it is hit, that its course changes."""
        mine = [impact.time_s for impact in impacts if index in impact.objects]
        if not mine:
            return True
        _, _, _, vx, vy = body.path[0]
        speed = math.sqrt(vx * vx + vy * vy)
        earliest, latest = hit_window(self.duration, speed or SPEEDS["fast"] * self.pace)
        if not earliest - 1e-6 <= mine[0] <= latest + 1e-6:
            return False
        if len(mine) > 1 and mine[1] - mine[0] < 0.22 * min(self.duration, 1.0):
            return False
        _, _, _, wx, wy = body.path[1]
        after = math.sqrt(wx * wx + wy * wy)
        turned = math.sqrt((wx - vx) ** 2 + (wy - vy) ** 2)
        rest = (mine[1] if len(mine) > 1 else self.duration) - mine[0]
        return turned >= 0.6 * max(speed, 0.3 * self.pace) and (speed > 0 or after * rest >= _RUN_OUT)

    def _clear(self, bodies: list[Body], time: float, touching: set[tuple[int, ...]]) -> bool:
        """Whether objects that never touch are visibly apart at a time."""
        places = [body.position(time) if body.path else (body.x, body.y) for body in bodies]
        for i, a in enumerate(bodies):
            for j in range(i + 1, len(bodies)):
                b, dx, dy = bodies[j], places[j][0] - places[i][0], places[j][1] - places[i][1]
                gap = math.sqrt(dx * dx + dy * dy)
                if (i, j) not in touching and gap < a.radius * circumradius(
                    a.shape
                ) + b.radius * circumradius(b.shape) * 0.9:
                    return False
        return True


def _hold(bodies: list[Body]) -> list[Impact]:
    for body in bodies:
        body.path = [(0.0, body.x, body.y, 0.0, 0.0)]
    return []
