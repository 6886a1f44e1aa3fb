"""Frictionless motion in a room: straight lines between impacts, each impact at its exact time.

Event driven: the next contact of any object with a wall or with another object is solved for in
closed form, so impact times do not depend on the frame rate and the audio can be sample accurate.
Upright shapes touch walls with their outline; two objects touch when their outlines' extents along
the line between their centers meet. Impacts are elastic; an object's mass is its area.
"""

import math
from dataclasses import dataclass, field

from data.bounce.facts import Impact
from data.bounce.vocabulary import circumradius, extent

_EPS = 1e-9


@dataclass
class Body:
    """One object's state (room units, seconds) and the path it has taken."""

    shape: str
    radius: float
    x: float
    y: float
    vx: float
    vy: float
    spin: float = 0.0  # radians per second, clockwise on the screen
    angle: float = 0.0
    path: list[tuple[float, float, float, float, float]] = field(default_factory=list)  # (t, x, y, vx, vy)

    def reach(self, nx: float, ny: float) -> float:
        """Return the extent from the center along a unit vector (spinning: at any angle)."""
        return self.radius * (circumradius(self.shape) if self.spin else extent(self.shape, nx, ny))

    @property
    def mass(self) -> float:
        return self.radius * self.radius

    def position(self, time: float) -> tuple[float, float]:
        """Return the center at a time, from the recorded path."""
        t, x, y, vx, vy = next((leg for leg in reversed(self.path) if leg[0] <= time), self.path[0])
        return x + vx * (time - t), y + vy * (time - t)


@dataclass(frozen=True)
class _Hit:
    time: float
    first: int
    second: int | None
    normal: tuple[float, float]  # from the first object towards the wall or the second object


def _wall_hit(index: int, body: Body, now: float, width: float, height: float) -> _Hit | None:
    best = None
    for velocity, position, size, axis in ((body.vx, body.x, width, 0), (body.vy, body.y, height, 1)):
        if velocity == 0.0:
            continue
        sign = 1.0 if velocity > 0 else -1.0
        normal = (sign, 0.0) if axis == 0 else (0.0, sign)
        target = size - body.reach(*normal) if sign > 0 else body.reach(*normal)
        time = now + max((target - position) / velocity, 0.0)
        if best is None or time < best.time:
            best = _Hit(time, index, None, normal)
    return best


def _meet(a: Body, b: Body, contact: float) -> float | None:
    """Return the time until the centers are `contact` apart, None if they never are or move apart."""
    dx, dy, vx, vy = b.x - a.x, b.y - a.y, b.vx - a.vx, b.vy - a.vy
    closing, speed2 = dx * vx + dy * vy, vx * vx + vy * vy
    if closing >= -_EPS:
        return None
    root = closing * closing - speed2 * (dx * dx + dy * dy - contact * contact)
    return None if root < 0 else max((-closing - math.sqrt(root)) / speed2, 0.0)


def _pair_hit(i: int, a: Body, j: int, b: Body, now: float) -> _Hit | None:
    contact, hit = a.radius + b.radius, None
    for _ in range(4):  # the contact distance depends on the normal, and the normal on the contact
        wait = _meet(a, b, contact)
        if wait is None:
            return None
        dx, dy = b.x - a.x + (b.vx - a.vx) * wait, b.y - a.y + (b.vy - a.vy) * wait
        length = max(math.sqrt(dx * dx + dy * dy), _EPS)
        normal = (dx / length, dy / length)
        contact = a.reach(*normal) + b.reach(-normal[0], -normal[1])
        hit = _Hit(now + wait, i, j, normal)
    return hit


def _resolve(bodies: list[Body], hit: _Hit) -> Impact:
    """Change the velocities at a contact and return the impact."""
    a, (nx, ny) = bodies[hit.first], hit.normal
    x, y = a.x + nx * a.reach(nx, ny), a.y + ny * a.reach(nx, ny)
    if hit.second is None:
        speed = a.vx * nx + a.vy * ny
        a.vx, a.vy = a.vx - 2 * speed * nx, a.vy - 2 * speed * ny
        return Impact(hit.time, "wall", (hit.first,), speed, (x, y))
    b = bodies[hit.second]
    speed = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny
    push = 2 * speed / (a.mass + b.mass)
    a.vx, a.vy = a.vx - push * b.mass * nx, a.vy - push * b.mass * ny
    b.vx, b.vy = b.vx + push * a.mass * nx, b.vy + push * a.mass * ny
    return Impact(hit.time, "object", (hit.first, hit.second), speed, (x, y))


def simulate(bodies: list[Body], width: float, height: float, duration: float) -> list[Impact]:
    """Move `bodies` for `duration` seconds in a room and record their paths.

    Returns:
        All impacts in order of time.
    """
    now = 0.0
    impacts: list[Impact] = []
    for body in bodies:
        body.path = [(0.0, body.x, body.y, body.vx, body.vy)]
    while True:
        hits = [_wall_hit(i, body, now, width, height) for i, body in enumerate(bodies)]
        for i, a in enumerate(bodies):
            hits += [_pair_hit(i, a, j, bodies[j], now) for j in range(i + 1, len(bodies))]
        hit = min((h for h in hits if h is not None), key=lambda h: h.time, default=None)
        if hit is None or hit.time >= duration:
            return impacts
        for body in bodies:
            body.x += body.vx * (hit.time - now)
            body.y += body.vy * (hit.time - now)
        now = hit.time
        impacts.append(_resolve(bodies, hit))
        for index in impacts[-1].objects:
            body = bodies[index]
            body.path.append((now, body.x, body.y, body.vx, body.vy))
        assert len(impacts) < 10_000, "bodies are stuck"
