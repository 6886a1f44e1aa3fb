"""A path read as straight pieces: the course before the first impact, stillness, whether it bounces.

Legend: T observed frames; lengths in frame sides, time in frames of the film.
"""

import math
from dataclasses import dataclass

import numpy as np

from data.bounce.vocabulary import DIRECTIONS, STILL

ERRATIC = "erratic"
MAX_KNEES = 4
NOISE = 0.006  # of the side: a fifth of a pixel at 32 px
MOVES = 0.06  # least way of a mover within its first piece
TURNS = 0.3  # least change of velocity at an impact, of the faster of the velocities before and after
DRIFTS = 0.036  # least deviation from the old course that an impact makes until the next one
PIECE, PIECE_FRAMES = 0.12, 2.5  # least length of a straight piece, of the path's time and in frames
BEND = 16.0  # what a bend must win, in squared noise
JUMPS = 0.04  # least distance from its neighbours' line of a place that is a mistake of reading
STRAYS = 0.03  # root mean square distance from the pieces above which a path is no motion of this world


@dataclass(frozen=True)
class MotionReading:
    """`direction`: one of DIRECTIONS, "still" or "erratic"; `knees`: frames of impacts, fractional."""

    direction: str
    bounces: bool
    speed: float  # frame sides per frame, before the first impact
    knees: tuple[float, ...]
    stray: float  # root mean square distance from the fitted path, frame sides


def read_motion(frames_T: np.ndarray, path_T2: np.ndarray, *, alone: bool = False) -> MotionReading:
    """Read a path of x, y (y down) at increasing frames.

    Paths with no bend, one, two and so on are fitted, and the one is taken whose error, measured in the
    noise of the best fit, is worth its bends; all bends must be plausible impacts.

    Args:
        alone: no other object is in the film, so that an impact can only be a wall's, which turns the
            motion towards it around. A hitch in mid-air is then no bounce; if it is large, the path
            is erratic.
    """
    times, path_T2 = _without_jumps(frames_T.astype(float), path_T2)
    fits = [_Fit.of(times, path_T2, knees) for knees in _candidates(times, path_T2)]
    most = fits[-1]
    noise = max(NOISE**2, most.error / (2 * max(len(times) - 2 * len(most.knees) - 2, 1)))
    best = min(
        (fit for fit in fits if not fit.knees or _all_matter(times, fit, alone)),
        key=lambda fit: fit.error / noise + BEND * len(fit.knees),
    )
    stray = math.sqrt(best.error / len(times))
    velocity = best.coefficients[1]
    speed = float(np.hypot(*velocity))
    end = best.knees[0] if best.knees else times[-1]
    if stray > STRAYS:
        direction = ERRATIC
    elif speed * (end - times[0]) < MOVES:
        direction = STILL
    else:
        direction = max(DIRECTIONS, key=lambda name: float(velocity @ DIRECTIONS[name]))
    return MotionReading(direction, bool(best.knees), speed, best.knees, stray)


def _without_jumps(times: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out single places far off the line through their four neighbours, if those lie on a line."""
    keep = np.ones(len(times), bool)
    for n in range(len(times) if len(times) >= 8 else 0):
        near = np.argsort(np.abs(np.arange(len(times)) - n), kind="stable")[1:5]
        fit = _Fit.of(times[near], path[near], ())
        expected = fit.coefficients[0] + fit.coefficients[1] * times[n]
        keep[n] = np.hypot(*(path[n] - expected)) < JUMPS or fit.error > 4 * (JUMPS / 4) ** 2
    return (times[keep], path[keep]) if keep.sum() >= len(times) - 2 else (times, path)


@dataclass(frozen=True)
class _Fit:
    """Straight pieces that join at the knees."""

    knees: tuple[float, ...]
    coefficients: np.ndarray  # [2 + K, 2]: place at time 0, velocity, changes of velocity
    error: float  # sum of squares

    @classmethod
    def of(cls, times: np.ndarray, path: np.ndarray, knees: tuple[float, ...]) -> "_Fit":
        basis = _basis(times, np.array([knees]))[0]
        coefficients, *_ = np.linalg.lstsq(basis, path, rcond=None)
        return cls(knees, coefficients, float(((basis @ coefficients - path) ** 2).sum()))


def _basis(times: np.ndarray, knees_MK: np.ndarray) -> np.ndarray:
    """[M, T, 2 + K] for M choices of K knees."""
    bends = np.maximum(times[:, None] - knees_MK[:, None, :], 0)
    line = np.broadcast_to(np.column_stack([np.ones_like(times), times]), (len(knees_MK), len(times), 2))
    return np.concatenate([line, bends], axis=2)


def _errors(times: np.ndarray, path: np.ndarray, knees_MK: np.ndarray) -> np.ndarray:
    """Sum of squares of the best fit for each choice of knees, [M]."""
    basis = _basis((times - times[0]) / (times[-1] - times[0]), _unit(knees_MK, times))
    normal = basis.transpose(0, 2, 1) @ basis + 1e-9 * np.eye(basis.shape[2])
    right = basis.transpose(0, 2, 1) @ path
    fitted = basis @ np.linalg.solve(normal, right)
    return ((fitted - path) ** 2).sum((1, 2))


def _unit(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    return (values - times[0]) / (times[-1] - times[0])


def _candidates(times: np.ndarray, path: np.ndarray) -> list[tuple[float, ...]]:
    """The best knees for each number of them that the path is long enough for."""
    found: list[tuple[float, ...]] = [()]
    piece = _least_piece(times)
    if len(times) < 6 or times[-1] - times[0] < 2 * piece:
        return found
    grid = np.linspace(times[0] + piece, times[-1] - piece, min(4 * len(times), 48))
    found.append((float(grid[_errors(times, path, grid[:, None]).argmin()]),))
    first, second = np.triu_indices(len(grid), 1)
    pairs = np.column_stack([grid[first], grid[second]])
    pairs = pairs[pairs[:, 1] - pairs[:, 0] >= piece]
    if len(times) >= 8 and len(pairs):
        found.append(tuple(pairs[_errors(times, path, pairs).argmin()].tolist()))
        while len(found) <= MAX_KNEES and len(times) >= 2 * len(found) + 6:
            more = _with_one_more(times, path, found[-1], grid)
            found.append(more)
    return found


def _with_one_more(
    times: np.ndarray, path: np.ndarray, knees: tuple[float, ...], grid: np.ndarray
) -> tuple[float, ...]:
    """Add the knee that helps most, then move every knee to its best place, twice."""
    chosen = [*knees, float(grid[len(grid) // 2])]
    for n in (len(chosen) - 1, *range(len(chosen)), *range(len(chosen))):
        trials = np.tile(chosen, (len(grid), 1))
        trials[:, n] = grid
        chosen[n] = float(grid[_errors(times, path, trials).argmin()])
    return tuple(sorted(chosen))


def _least_piece(times: np.ndarray) -> float:
    return max(PIECE * float(times[-1] - times[0]), PIECE_FRAMES)


def _all_matter(times: np.ndarray, fit: _Fit, alone: bool) -> bool:
    """Whether every bend is an impact: a clear change of velocity that leads somewhere."""
    velocities = np.cumsum(fit.coefficients[1:], axis=0)
    speeds = np.hypot(*velocities.T)
    ends = [times[0], *fit.knees, times[-1]]
    for n in range(len(fit.knees)):
        bend = fit.coefficients[2 + n]
        change = float(np.hypot(*bend))
        rest = min(ends[n + 2] - ends[n + 1], ends[n + 1] - ends[n])
        if rest < 0.99 * _least_piece(times):
            return False
        clear = TURNS * max(speeds[n], speeds[n + 1])
        if change < clear or change * rest < DRIFTS:
            return False
        if alone and not ((velocities[n] * velocities[n + 1] < 0) & (np.abs(bend) >= clear)).any():
            return False
    return True
