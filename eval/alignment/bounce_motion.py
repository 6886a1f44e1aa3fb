"""A path read as straight pieces: the course before the first impact, stillness, whether it bounces.

Legend: T observed frames; lengths in frame sides, time in frames of the film.
"""

import math
from dataclasses import dataclass

import numpy as np

from data.worlds.vocabulary import DIRECTIONS, STILL

ERRATIC = "erratic"
MAX_KNEES = 4
NOISE = 0.006  # of the side: a fifth of a pixel at 32 px
MOVES = 0.06  # least way of a mover within its first piece
TURNS = 0.3  # least change of velocity at an impact, of the faster of the velocities before and after
DRIFTS = 0.036  # least deviation from the old course that an impact makes until the next one
PIECE, PIECE_FRAMES = 0.12, 1.9  # least length of a straight piece, of the path's time and in frames
STRAYS = 0.03  # root mean square distance from the pieces above which a path is no motion of this world


@dataclass(frozen=True)
class MotionReading:
    """`direction`: one of DIRECTIONS, "still" or "erratic"; `knees`: frames of impacts, fractional."""

    direction: str
    bounces: bool
    speed: float  # frame sides per frame, before the first impact
    knees: tuple[float, ...]
    stray: float  # root mean square distance from the fitted path, frame sides


def read_motion(frames_T: np.ndarray, path_T2: np.ndarray) -> MotionReading:
    """Read a path of x, y (y down) at increasing frames."""
    times = frames_T.astype(float)
    knees: list[float] = []
    coefficients, error = _fit(times, path_T2, knees)
    while len(knees) < MAX_KNEES and len(times) >= 2 * len(knees) + 5:
        trial, value = _best_knee(times, path_T2, knees)
        spare = max(len(times) - 2 * len(trial) - 2, 1)
        noise = max(NOISE**2, value / (2 * spare))
        if error - value < 16 * noise:
            break
        trial_fit, _ = _fit(times, path_T2, trial)
        if not _all_matter(times, trial, trial_fit):
            break
        knees, error, coefficients = trial, value, trial_fit
    stray = math.sqrt(error / len(times))
    velocity = coefficients[1]
    end = knees[0] if knees else times[-1]
    way = float(np.hypot(*velocity)) * (end - times[0])
    if stray > STRAYS:
        direction = ERRATIC
    elif way < MOVES:
        direction = STILL
    else:
        unit = velocity / np.hypot(*velocity)
        direction = max(DIRECTIONS, key=lambda name: float(unit @ DIRECTIONS[name]))
    return MotionReading(direction, bool(knees), float(np.hypot(*velocity)), tuple(knees), stray)


def _fit(times: np.ndarray, path: np.ndarray, knees: list[float]) -> tuple[np.ndarray, float]:
    """Least squares with a bend at each knee: rows are place at time 0, velocity, changes of velocity."""
    basis = np.column_stack([np.ones_like(times), times, *(np.maximum(times - k, 0) for k in knees)])
    coefficients, *_ = np.linalg.lstsq(basis, path, rcond=None)
    return coefficients, float(((basis @ coefficients - path) ** 2).sum())


def _best_knee(times: np.ndarray, path: np.ndarray, knees: list[float]) -> tuple[list[float], float]:
    """Add the knee that helps most, then move every knee to its best place twice."""
    count = min(4 * len(times), 48)
    edge = _least_piece(times)
    grid = np.linspace(times[0] + edge, times[-1] - edge, count)
    chosen = list(knees)
    _, place = min((_fit(times, path, [*chosen, k])[1], k) for k in grid)
    chosen.append(float(place))
    for _ in range(2 if len(chosen) > 1 else 0):
        for n in range(len(chosen)):
            others = chosen[:n] + chosen[n + 1 :]
            _, place = min((_fit(times, path, [*others, k])[1], k) for k in grid)
            chosen = [*others[:n], float(place), *others[n:]]
    chosen.sort()
    return chosen, _fit(times, path, chosen)[1]


def _least_piece(times: np.ndarray) -> float:
    return max(PIECE * float(times[-1] - times[0]), PIECE_FRAMES)


def _all_matter(times: np.ndarray, knees: list[float], coefficients: np.ndarray) -> bool:
    """Whether every bend is an impact: a clear change of velocity that leads somewhere."""
    velocities = np.cumsum(coefficients[1:], axis=0)
    speeds = np.hypot(*velocities.T)
    ends = [times[0], *knees, times[-1]]
    for n in range(len(knees)):
        change = float(np.hypot(*coefficients[2 + n]))
        rest = min(ends[n + 2] - ends[n + 1], ends[n + 1] - ends[n])
        if rest < 0.99 * _least_piece(times):
            return False
        if change < TURNS * max(speeds[n], speeds[n + 1]) or change * rest < DRIFTS:
            return False
    return True
