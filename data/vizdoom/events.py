"""Events of a clip from the states of its tics: what happened, when, and in which direction.

A state tells an event by a change: ammunition falls at a shot, an object vanishes next to the player at a
pickup, a sector's ceiling or floor begins to move at a door or lift, and marks appear at explosions and
flashes (`world_patch`). Nothing is guessed from audio. Events beyond earshot are left out, and of
several of a kind in one tic (doors of one switch) the nearest is kept with their number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from data.vizdoom.observation import PICKUPS, Lines, Tic, is_inside, nearest_point
from data.vizdoom.timing import TICS_PER_SECOND
from data.vizdoom.world_patch import EXPLOSION_MARK, FLASHES

EARSHOT = 1000.0  # the game fades audio out up to 1,200 map units
REACH = 80.0  # distance at which an object that vanishes was picked up
CLOSED = 8.0  # room between floor and ceiling of a closed door
LATENCY_S = {"flash": 0.0015}
"""From the beginning of an event's tic to its audio, where it is not `USUAL_LATENCY_S` (docs/vizdoom.md)."""
USUAL_LATENCY_S = 0.001
WEAPON_NAMES = {2: "pistol", 3: "shotgun", 6: "plasma rifle"}


@dataclass(frozen=True)
class Event:
    """One event. `azimuth_deg` is positive to the right; None where the player is the source or in it."""

    time_s: float
    kind: str
    name: str
    azimuth_deg: float | None = None
    distance: float = 0.0
    visible: bool = True
    count: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_events(tics: Sequence[Tic], sectors: Sequence[Lines], first: int, stop: int) -> list[Event]:
    """Return the events of tics [first, stop), in order of time from tic `first`; `first` is at least 2."""
    assert first >= 2, first
    events: list[Event] = []
    for i in range(first, stop):
        start_s = (i - first) / TICS_PER_SECOND
        found = [
            _event(kind, name, point, tics[i], start_s)
            for kind, name, point in _changes(tics[i - 2], tics[i - 1], tics[i], sectors)
        ]
        events += _keep_nearest([event for event in found if event.distance < EARSHOT])
    return events


def _event(kind: str, name: str, point: tuple[float, float] | None, now: Tic, start_s: float) -> Event:
    azimuth, distance = None, 0.0
    if point is not None:
        distance = now.distance_to(*point)
        azimuth = round(now.azimuth_to(*point), 1) if distance > 1 else None
    time_s = round(start_s + LATENCY_S.get(kind, USUAL_LATENCY_S), 4)
    return Event(time_s, kind, name, azimuth, round(distance, 1), azimuth is None or abs(azimuth) < 45)


def _keep_nearest(events: list[Event]) -> list[Event]:
    """Return of each kind the nearest event, with the number of all of that kind."""
    kept: dict[str, Event] = {}
    for event in events:
        other = kept.get(event.kind)
        near = event if other is None or event.distance < other.distance else other
        kept[event.kind] = replace(near, count=1 if other is None else other.count + 1)
    return list(kept.values())


Change = tuple[str, str, tuple[float, float] | None]


def _changes(earlier: Tic, before: Tic, now: Tic, sectors: Sequence[Lines]) -> Iterator[Change]:
    """Yield kind, name and position of what begins in a tic."""
    if now.weapon == before.weapon and now.ammo < before.ammo:
        yield "shot", WEAPON_NAMES.get(now.weapon, "weapon"), None
    for number in sorted(now.things.keys() - before.things.keys()):
        thing = now.things[number]
        if thing.name == EXPLOSION_MARK:
            yield "explosion", "barrel", (thing.x, thing.y)
        elif thing.name in FLASHES:
            yield "flash", FLASHES[thing.name], (thing.x, thing.y)
    for number in sorted(before.things.keys() - now.things.keys()):
        thing = before.things[number]
        if thing.category in PICKUPS and now.distance_to(thing.x, thing.y) < REACH:
            yield "pickup", thing.name, None
    yield from _movements(earlier, before, now, sectors)


def _movements(earlier: Tic, before: Tic, now: Tic, sectors: Sequence[Lines]) -> Iterator[Change]:
    """Yield sectors whose ceiling or floor begins to move or turns around."""
    for number, (heights, old, older) in enumerate(
        zip(now.heights, before.heights, earlier.heights, strict=True)
    ):
        if heights == old:
            continue
        for part in (0, 1):
            step, last_step = heights[part] - old[part], old[part] - older[part]
            if step == 0 or step * last_step > 0:
                continue
            lines = sectors[number]
            inside = is_inside(lines, now.x, now.y)
            point = (now.x, now.y) if inside else nearest_point(lines, now.x, now.y)
            kind = "lift" if part == 0 else ("door opens" if step > 0 else "door closes")
            yield kind, kind.split()[0], point
