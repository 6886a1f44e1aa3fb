"""Events from the states of tics."""

from dataclasses import replace

import pytest

from data.vizdoom.events import Event, find_events
from data.vizdoom.observation import Thing, Tic, is_inside, nearest_point
from data.vizdoom.world_patch import EXPLOSION_MARK

EAST = Tic(x=0.0, y=0.0, angle_deg=0.0, weapon=2, ammo=50)
ROOM = (
    (100.0, -50.0, 200.0, -50.0),
    (200.0, -50.0, 200.0, 50.0),
    (200.0, 50.0, 100.0, 50.0),
    (100.0, 50.0, 100.0, -50.0),
)


def events_of(*changed: Tic, sectors=()) -> list[Event]:
    """Return the events of tics after three that are all alike."""
    return find_events([EAST, EAST, EAST, *changed], sectors, 2, 3 + len(changed))


def test_a_shot_is_a_fall_of_ammunition_of_one_weapon() -> None:
    (shot,) = events_of(EAST, replace(EAST, ammo=49), replace(EAST, ammo=49))
    assert (shot.kind, shot.name, shot.azimuth_deg) == ("shot", "pistol", None)
    assert shot.time_s == pytest.approx(2 / 35 + 0.001, abs=1e-4)
    assert not events_of(replace(EAST, weapon=3, ammo=8))  # another weapon's ammunition
    assert not events_of(replace(EAST, ammo=60))


@pytest.mark.parametrize(("y", "side"), [(-100.0, 1), (100.0, -1)])
def test_directions_are_positive_to_the_right(y: float, side: int) -> None:
    fog = Thing("TeleportFog", "SFX", 100.0, y)
    (flash,) = events_of(replace(EAST, things={7: fog}), replace(EAST, things={7: fog}))
    assert (flash.kind, flash.name) == ("flash", "teleport flash")
    assert flash.azimuth_deg == pytest.approx(45 * side)
    assert flash.distance == pytest.approx(141.4, abs=0.1)
    north = replace(EAST, angle_deg=90.0)
    assert north.azimuth_to(100.0, 0.0) == pytest.approx(90.0)


def test_explosions_and_pickups() -> None:
    mark, item = Thing(EXPLOSION_MARK, "Internal", -100.0, 0.0), Thing("Medikit", "Health", 20.0, 0.0)
    far = Thing("Medikit", "Health", 400.0, 0.0)
    with_items = replace(EAST, things={1: item, 2: far})
    found = find_events([with_items, with_items, with_items, replace(EAST, things={3: mark})], (), 2, 4)
    assert [(event.kind, event.name) for event in found] == [("explosion", "barrel"), ("pickup", "Medikit")]
    assert abs(found[0].azimuth_deg or 0) == pytest.approx(180.0)


def test_doors_and_lifts_begin_to_move_or_turn_around() -> None:
    def at(floor: float, ceiling: float) -> Tic:
        return replace(EAST, heights=((floor, ceiling),))

    tics = [at(0, 0), at(0, 0), at(0, 0), at(0, 2), at(0, 4), at(0, 4), at(0, 2), at(0, 4), at(3, 4)]
    found = find_events(tics, [ROOM], 2, len(tics))
    assert [event.kind for event in found] == ["door opens", "door closes", "door opens", "lift"]
    assert found[0].azimuth_deg == pytest.approx(0.0)
    assert found[0].distance == pytest.approx(100.0)  # the nearest point of the border
    inside = [replace(tic, x=150.0) for tic in tics]
    assert find_events(inside, [ROOM], 2, len(tics))[0].azimuth_deg is None


def test_far_events_are_left_out_and_simultaneous_ones_merged() -> None:
    things = {n: Thing("TeleportFog", "SFX", x, 0.0) for n, x in ((1, 300.0), (2, 200.0), (3, 1100.0))}
    (flash,) = events_of(replace(EAST, things=things))
    assert (flash.distance, flash.count) == (200.0, 2)


def test_geometry_of_sectors() -> None:
    assert is_inside(ROOM, 150.0, 0.0)
    assert not is_inside(ROOM, 50.0, 0.0)
    assert nearest_point(ROOM, 300.0, 10.0) == (200.0, 10.0)
    assert nearest_point((), 1.0, 2.0) == (1.0, 2.0)
