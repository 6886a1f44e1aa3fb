"""Behavior of the player during a clip: at random, or by one of a few scripts, drawn by a keyed generator.

Legend: H height, W width.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.vizdoom.engine import BARREL, WEAPON_SLOTS
from data.vizdoom.observation import PICKUPS, Action, Media, Thing, Tic
from data.vizdoom.world_patch import CUES, FLASHES

FIRE_TICS = {"pistol": 22, "shotgun": 42, "plasma rifle": 26}
"""Tics from one shot to the next at least: the weapon's own cycle and a few more."""
STUCK_TICS, STUCK_UNITS = 6, 6.0
MAX_TURN = 6.0  # degrees in a tic
CUE_ATTEMPTS = 20


def draw_shots(random: np.random.Generator, weapon: str, num_tics: int) -> list[int]:
    """Return the tics at which the trigger is pulled."""
    gap = FIRE_TICS[weapon]
    tics, tic = [], int(random.integers(3, 2 * gap))
    while tic < num_tics:
        tics.append(tic)
        tic += gap + int(random.exponential(gap * 0.7))
    return tics


def draw_cues(random: np.random.Generator, num_tics: int) -> dict[int, str]:
    """Return the tics at which flashes are asked for, with the names of their objects."""
    count = 1 + int(random.integers(0, 3))
    tics = sorted(int(tic) for tic in random.integers(5, max(num_tics - 10, 6), count))
    return {tic: str(random.choice(sorted(FLASHES))) for tic in tics}


def horizontal_openness(depth_HW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how far one sees to the left, ahead and to the right: mean depths at eye level."""
    rows = depth_HW[depth_HW.shape[0] // 2 - 8 : depth_HW.shape[0] // 2 + 8]
    return np.array([third.mean() for third in np.array_split(rows, 3, axis=1)])


@dataclass
class Player:
    """One clip's player: `act` is called once per tic with what was seen before.

    `kind` is one of `config.PLAYS`; `use_tic` is when a door is opened; `shots` and `cues` are drawn before.
    """

    kind: str
    weapon: str
    random: np.random.Generator
    shots: list[int]
    cues: dict[int, str]
    use_tic: int = -1
    commands: list[str] = field(default_factory=list)
    _tic: int = 0
    _turning: float = 0.0
    _drift: float = 0.0
    _strafe: int = 0
    _trail: list[tuple[float, float]] = field(default_factory=list)
    _requested: str = ""
    _attempts: int = 0
    _count: int = 0

    def act(self, tic: Tic, media: Media) -> Action:
        """Return the keys of the next tic; commands to the game are left in `commands`."""
        self._request_flashes(tic)
        self._trail.append((tic.x, tic.y))
        steps = {
            "wander": self._wander,
            "stand": self._stand,
            "collect": self._collect,
            "door": self._door,
            "barrel": self._barrel,
        }
        forward, side, turn, attack = steps[self.kind](tic, media)
        now = self._tic
        self._tic += 1
        return Action(
            attack=attack or now in self.shots or now - 1 in self.shots,
            use=now == self.use_tic,
            forward=forward,
            left=side < 0,
            right=side > 0,
            turn=float(np.clip(turn, -MAX_TURN, MAX_TURN)),
        )

    def _request_flashes(self, tic: Tic) -> None:
        """Ask for a flash until one appears: the game finds no place in sight at every try."""
        count = sum(thing.name in FLASHES for thing in tic.things.values())
        if self._requested and (count > self._count or self._attempts >= CUE_ATTEMPTS):
            self._requested = ""
        self._count = count
        if self._tic in self.cues:
            self._requested, self._attempts = self.cues[self._tic], 0
        if self._requested:
            if self._attempts % 3 == 0:
                self.commands.append(f"summon {CUES[self._requested]}")
            self._attempts += 1

    def _is_stuck(self) -> bool:
        if len(self._trail) <= STUCK_TICS:
            return False
        (x1, y1), (x2, y2) = self._trail[-1], self._trail[-1 - STUCK_TICS]
        return abs(x1 - x2) + abs(y1 - y2) < STUCK_UNITS

    def _wander(self, tic: Tic, media: Media) -> tuple[bool, int, float, bool]:
        """Walk, drift towards open space, and turn away from walls."""
        left, ahead, right = horizontal_openness(media.depth_HW)
        if self._turning == 0 and (self._is_stuck() or ahead < 6):
            self._turning = float(self.random.uniform(60, 140)) * (1 if right >= left else -1)
            self._trail.clear()
        if self._turning:
            turn = float(np.clip(self._turning, -5, 5))
            self._turning -= turn
            return False, 0, turn, False
        self._drift = 0.9 * self._drift + float(self.random.normal(0, 0.4))
        steer = 0.6 * np.sign(right - left) if abs(right - left) > 10 else 0.0
        return True, 0, self._drift + float(steer), False

    def _stand(self, tic: Tic, media: Media) -> tuple[bool, int, float, bool]:
        """Look around at a constant rate, now and then a step aside."""
        if self._tic % 35 == 0:
            self._drift = float(self.random.choice([0.0, 1.0, 2.0, 3.5])) * float(self.random.choice([-1, 1]))
            self._strafe = int(self.random.choice([-1, 0, 0, 0, 1]))
        return False, self._strafe, self._drift, False

    def _collect(self, tic: Tic, media: Media) -> tuple[bool, int, float, bool]:
        """Walk to the nearest item in view."""
        items = [t for n, t in tic.things.items() if n in tic.visible and t.category in PICKUPS]
        if not items or self._is_stuck() or self._turning:
            return self._wander(tic, media)
        azimuth = self._nearest_azimuth(tic, items)
        return abs(azimuth) < 25, 0, 0.35 * azimuth, False

    def _door(self, tic: Tic, media: Media) -> tuple[bool, int, float, bool]:
        """Wait before the door, and walk on when it has opened; with no door to open, look around."""
        if self.use_tic < 0:
            return self._stand(tic, media)
        if self._tic > self.use_tic + 25:
            return self._wander(tic, media)
        return False, 0, 0.0, False

    def _barrel(self, tic: Tic, media: Media) -> tuple[bool, int, float, bool]:
        """Aim at the nearest barrel in view and shoot until it has exploded."""
        barrels = [t for n, t in tic.things.items() if n in tic.visible and t.name == BARREL]
        if not barrels or self._tic < 8:
            return self._stand(tic, media)
        azimuth = self._nearest_azimuth(tic, barrels)
        on_target = abs(azimuth) < 2
        return False, 0, 0.4 * azimuth, on_target and self._tic % FIRE_TICS[self.weapon] < 2

    @staticmethod
    def _nearest_azimuth(tic: Tic, things: list[Thing]) -> float:
        near = min(things, key=lambda each: tic.distance_to(each.x, each.y))
        return tic.azimuth_to(near.x, near.y)


def weapon_slot(weapon: str) -> int:
    """Return the number of the key that selects a weapon."""
    return WEAPON_SLOTS[weapon]
