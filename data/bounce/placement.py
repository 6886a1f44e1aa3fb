"""Initial positions from which the planned events happen, mostly by construction instead of rejection."""

import math
from dataclasses import replace

from data.bounce.facts import ObjectFacts
from data.bounce.physics import Body
from data.bounce.portable_random import PortableRandom
from data.bounce.vocabulary import CROWD, DIRECTIONS, SIZES, SPEEDS, STILL

Place = tuple[float, float]

MARGIN = 0.03  # room units between objects (or walls) that must not touch
RUN_UP = 0.25  # room units traveled before a first impact
RUN_OUT = 0.1  # room units traveled after it


def pace(duration: float) -> float:
    """Return the factor on speeds: videos under a second still show a second's worth of motion."""
    return max(1.0, 1.0 / duration)


def hit_window(duration: float, speed: float) -> tuple[float, float]:
    """Return the earliest and latest time (seconds) of a legible first impact; `speed` in room units/s."""
    return max(0.3 * min(duration, 1.0), RUN_UP / speed), min(0.75 * duration, duration - RUN_OUT / speed)


def place_bodies(
    random: PortableRandom,
    objects: list[ObjectFacts],
    room: tuple[float, float],
    duration: float,
    collides: bool,
) -> list[Body] | None:
    """Return initial states of the planned objects (0 and 1 meet if `collides`), or None if none is found.

    If an object's plan does not fit into the duration and the room, its entry in `objects` is
    corrected: another speed first, else bouncing or not.
    """
    bodies: list[Body] = []
    if collides:
        pair = _meeting(random, objects[:2], room, duration, CROWD[len(objects)])
        if pair is None:
            return None
        bodies.extend(pair)
    for i in range(len(bodies), len(objects)):
        for fact in _alternatives(random, objects[i]):
            body = _body(random, fact, duration, CROWD[len(objects)])
            if _settle(random, body, bodies, fact.bounces, room, duration):
                objects[i] = fact
                bodies.append(body)
                break
        else:
            return None
    return bodies


def _settle(
    random: PortableRandom,
    body: Body,
    others: list[Body],
    bounces: bool,
    room: tuple[float, float],
    duration: float,
) -> bool:
    """Set an initial position of a body away from the others; return whether one was found."""
    for _ in range(8):
        if not (_bouncing if bounces else _inside)(random, body, room, duration):
            return False
        if all(apart(body, other) for other in others):
            return True
    return False


def apart(a: Body, b: Body, at_a: Place | None = None, at_b: Place | None = None) -> bool:
    """Return whether two bodies are visibly apart, at their own or other centers."""
    (ax, ay), (bx, by) = at_a or (a.x, a.y), at_b or (b.x, b.y)
    dx, dy = bx - ax, by - ay
    length = math.sqrt(dx * dx + dy * dy) or 1.0
    return length >= a.reach(dx / length, dy / length) + b.reach(-dx / length, -dy / length) + MARGIN


def _alternatives(random: PortableRandom, fact: ObjectFacts) -> list[ObjectFacts]:
    if fact.direction == STILL:
        return [fact]
    speeds = [fact.speed, *random.shuffled([s for s in SPEEDS if s != fact.speed])]
    bounces = [fact.bounces] if fact.appears or fact.vanishes else [fact.bounces, not fact.bounces]
    return [replace(fact, speed=s, bounces=b) for b in bounces for s in speeds]


def _body(random: PortableRandom, fact: ObjectFacts, duration: float, scale: float) -> Body:
    dx, dy = DIRECTIONS.get(fact.direction, (0.0, 0.0))
    speed = SPEEDS.get(fact.speed, 0.0) * pace(duration)
    turn = random.pick((-1, 1)) * random.uniform(0.3, 0.5) * math.tau * pace(duration) if fact.spin else 0.0
    return Body(fact.shape, SIZES[fact.size] * scale, 0.0, 0.0, dx * speed, dy * speed, spin=turn)


def _bounds(body: Body, axis: int, room: tuple[float, float]) -> tuple[float, float]:
    """Return the range of the center along an axis."""
    nx, ny = (1.0, 0.0) if axis == 0 else (0.0, 1.0)
    return body.reach(-nx, -ny), room[axis] - body.reach(nx, ny)


def _free(random: PortableRandom, body: Body, axis: int, room: tuple[float, float], time: float) -> bool:
    """Choose the coordinate so that the body stays clear of that axis' walls until `time`."""
    travel = (body.vx, body.vy)[axis] * time
    low, high = _bounds(body, axis, room)
    low, high = low + MARGIN - min(travel, 0.0), high - MARGIN - max(travel, 0.0)
    if low > high:
        return False
    setattr(body, "xy"[axis], random.uniform(low, high))
    return True


def _inside(random: PortableRandom, body: Body, room: tuple[float, float], duration: float) -> bool:
    """Set an initial position from which the body stays clear of all walls."""
    return _free(random, body, 0, room, duration) and _free(random, body, 1, room, duration)


def _bouncing(random: PortableRandom, body: Body, room: tuple[float, float], duration: float) -> bool:
    """Set an initial position from which the body hits one wall at a legible time, and no second one soon."""
    velocity = (body.vx, body.vy)
    earliest, latest = hit_window(duration, math.sqrt(body.vx * body.vx + body.vy * body.vy))
    for axis in random.shuffled([k for k in (0, 1) if velocity[k] != 0.0]):
        low, high = _bounds(body, axis, room)
        last = min(latest, (high - low - MARGIN) / abs(velocity[axis]))
        if last < earliest:
            continue
        time, wall = random.uniform(earliest, last), high if velocity[axis] > 0 else low
        setattr(body, "xy"[axis], wall - velocity[axis] * time)
        # In a long video it may reach the other walls, but not at once.
        if any(
            _free(random, body, 1 - axis, room, until) for until in (duration, time + 0.3 / pace(duration))
        ):
            return True
    return False


def _meeting(
    random: PortableRandom, pair: list[ObjectFacts], room: tuple[float, float], duration: float, scale: float
) -> tuple[Body, Body] | None:
    """Return initial states from which two objects meet, nearly head on, at a legible time."""
    a, b = (_body(random, fact, duration, scale) for fact in pair)
    speed = math.sqrt(a.vx * a.vx + a.vy * a.vy)
    earliest, latest = hit_window(duration, speed)
    latest = min(latest, earliest + 0.35 / speed)
    if earliest > latest:
        return None
    time, nx, ny = random.uniform(earliest, latest), a.vx / speed, a.vy / speed
    slip = random.uniform(-0.25, 0.25) * min(a.radius, b.radius)
    apart = a.reach(nx, ny) + b.reach(-nx, -ny)
    # The second body relative to the first, at the start; then both as one block anywhere in the room.
    dx = nx * apart - ny * slip + (a.vx - b.vx) * time
    dy = ny * apart + nx * slip + (a.vy - b.vy) * time
    for axis, offset in ((0, dx), (1, dy)):
        lows, highs = [], []
        for body, shift in ((a, 0.0), (b, offset)):
            low, high = _bounds(body, axis, room)
            travel = (body.vx, body.vy)[axis] * time
            lows += [low + MARGIN - shift, low + MARGIN - shift - travel]
            highs += [high - MARGIN - shift, high - MARGIN - shift - travel]
        if max(lows) > min(highs):
            return None
        place_a = random.uniform(max(lows), min(highs))
        setattr(a, "xy"[axis], place_a)
        setattr(b, "xy"[axis], place_a + offset)
    return a, b
