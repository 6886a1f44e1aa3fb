"""Fit an object's path by straight segments: direction before the first impact, stillness, bounces.

Legend: T observed frames, K breakpoints, M candidates; lengths in frame sides, time in frames of the video.
"""

import math
from dataclasses import dataclass

import numpy as np

from data.bounce.vocabulary import DIRECTIONS, STILL
from eval.bounce_checker.config import CheckerConfig

ERRATIC = "erratic"
MAX_BREAKPOINTS = 4
NOISE = 0.006  # of a position: a fifth of a pixel at 32 px
DEFAULTS = CheckerConfig()
MIN_SEGMENT, MIN_SEGMENT_FRAMES = 0.12, 2.5  # length of a segment, of the path's time and in frames
BREAKPOINT_PENALTY = 16.0  # in squared noise
OUTLIER_DISTANCE = 0.04  # from the line through its neighbors at which a position is a detection error


@dataclass(frozen=True)
class MotionReading:
    """`direction`: one of DIRECTIONS, "still" or "erratic"; `breakpoints`: fractional frames of impacts."""

    direction: str
    bounces: bool
    speed: float  # frame sides per frame, before the first impact
    breakpoints: tuple[float, ...]
    rmse: float  # from the fitted path, frame sides
    velocities: tuple[tuple[float, float], ...] = ()  # of each leg, frame sides per frame
    ends: tuple[float, float] = (0.0, 0.0)  # first and last frame
    origin: tuple[float, float] = (0.0, 0.0)  # the first leg's position at frame 0

    def position(self, frame: float) -> np.ndarray:
        """Return x and y of the fitted path at a frame."""
        place, velocity = np.array(self.origin), np.zeros(2)
        for start, leg in zip((0.0, *self.breakpoints), self.velocities, strict=True):
            place = place + (np.array(leg) - velocity) * max(frame - start, 0.0)
            velocity = np.array(leg)
        return place


def fit_motion(
    frames_T: np.ndarray, path_T2: np.ndarray, *, alone: bool = False, settings: CheckerConfig = DEFAULTS
) -> MotionReading:
    """Fit a path of x, y (y down) at increasing frames.

    Fits with 0, 1, 2, ... breakpoints compete by their error, in units of the noise of the best fit, plus
    a penalty for each breakpoint; all breakpoints must be plausible impacts.

    Args:
        alone: no other object is in the video, so that impacts can only be on walls, which reverse the
            motion towards them. A jolt in mid-air is then no bounce; if it is large, the path is erratic.
    """
    times, path_T2 = _without_outliers(frames_T.astype(float), path_T2)
    fits = [_Fit.of(times, path_T2, breakpoints) for breakpoints in _candidates(times, path_T2)]
    largest = fits[-1]
    noise = max(NOISE**2, largest.error / (2 * max(len(times) - 2 * len(largest.breakpoints) - 2, 1)))
    best = min(
        (fit for fit in fits if not fit.breakpoints or _all_are_impacts(times, fit, alone, settings)),
        key=lambda fit: fit.error / noise + BREAKPOINT_PENALTY * len(fit.breakpoints),
    )
    rmse = math.sqrt(best.error / len(times))
    velocity = best.coefficients[1]
    speed = float(np.hypot(*velocity))
    end = best.breakpoints[0] if best.breakpoints else times[-1]
    if rmse > settings.max_rmse:
        direction = ERRATIC
    elif speed * (end - times[0]) < settings.min_displacement:
        direction = STILL
    else:
        direction = max(DIRECTIONS, key=lambda name: float(velocity @ DIRECTIONS[name]))
    legs = tuple((float(x), float(y)) for x, y in np.cumsum(best.coefficients[1:], axis=0))
    ends = float(times[0]), float(times[-1])
    origin = float(best.coefficients[0, 0]), float(best.coefficients[0, 1])
    return MotionReading(direction, bool(best.breakpoints), speed, best.breakpoints, rmse, legs, ends, origin)


def _without_outliers(times: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove single positions far from the line through their four neighbors, if those lie on a line."""
    keep = np.ones(len(times), bool)
    for n in range(len(times) if len(times) >= 8 else 0):
        near = np.argsort(np.abs(np.arange(len(times)) - n), kind="stable")[1:5]
        fit = _Fit.of(times[near], path[near], ())
        expected = fit.coefficients[0] + fit.coefficients[1] * times[n]
        keep[n] = (
            np.hypot(*(path[n] - expected)) < OUTLIER_DISTANCE or fit.error > 4 * (OUTLIER_DISTANCE / 4) ** 2
        )
    return (times[keep], path[keep]) if keep.sum() >= len(times) - 2 else (times, path)


@dataclass(frozen=True)
class _Fit:
    """A continuous piecewise linear path."""

    breakpoints: tuple[float, ...]
    coefficients: np.ndarray  # [2 + K, 2]: position at time 0, velocity, changes of velocity
    error: float  # sum of squares

    @classmethod
    def of(cls, times: np.ndarray, path: np.ndarray, breakpoints: tuple[float, ...]) -> "_Fit":
        basis = _basis(times, np.array([breakpoints]))[0]
        coefficients, *_ = np.linalg.lstsq(basis, path, rcond=None)
        return cls(breakpoints, coefficients, float(((basis @ coefficients - path) ** 2).sum()))


def _basis(times: np.ndarray, breakpoints_MK: np.ndarray) -> np.ndarray:
    """Return the least-squares basis [M, T, 2 + K] of M choices of K breakpoints."""
    ramps = np.maximum(times[:, None] - breakpoints_MK[:, None, :], 0)
    line = np.broadcast_to(
        np.column_stack([np.ones_like(times), times]), (len(breakpoints_MK), len(times), 2)
    )
    return np.concatenate([line, ramps], axis=2)


def _errors(times: np.ndarray, path: np.ndarray, breakpoints_MK: np.ndarray) -> np.ndarray:
    """Return the squared error of the best fit for each choice of breakpoints, [M]."""
    basis = _basis((times - times[0]) / (times[-1] - times[0]), _unit(breakpoints_MK, times))
    normal = basis.transpose(0, 2, 1) @ basis + 1e-9 * np.eye(basis.shape[2])
    right = basis.transpose(0, 2, 1) @ path
    fitted = basis @ np.linalg.solve(normal, right)
    return ((fitted - path) ** 2).sum((1, 2))


def _unit(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    return (values - times[0]) / (times[-1] - times[0])


def _candidates(times: np.ndarray, path: np.ndarray) -> list[tuple[float, ...]]:
    """Return the best breakpoints for each number of them that the path is long enough for."""
    found: list[tuple[float, ...]] = [()]
    shortest = _min_segment(times)
    if len(times) < 6 or times[-1] - times[0] < 2 * shortest:
        return found
    grid = np.linspace(times[0] + shortest, times[-1] - shortest, min(4 * len(times), 48))
    found.append((float(grid[_errors(times, path, grid[:, None]).argmin()]),))
    first, second = np.triu_indices(len(grid), 1)
    pairs = np.column_stack([grid[first], grid[second]])
    pairs = pairs[pairs[:, 1] - pairs[:, 0] >= shortest]
    if len(times) >= 8 and len(pairs):
        found.append(tuple(pairs[_errors(times, path, pairs).argmin()].tolist()))
        while len(found) <= MAX_BREAKPOINTS and len(times) >= 2 * len(found) + 6:
            more = _add_breakpoint(times, path, found[-1], grid)
            found.append(more)
    return found


def _add_breakpoint(
    times: np.ndarray, path: np.ndarray, breakpoints: tuple[float, ...], grid: np.ndarray
) -> tuple[float, ...]:
    """Add the breakpoint that reduces the error most, then optimize every breakpoint in turn, twice."""
    chosen = [*breakpoints, float(grid[len(grid) // 2])]
    for n in (len(chosen) - 1, *range(len(chosen)), *range(len(chosen))):
        trials = np.tile(chosen, (len(grid), 1))
        trials[:, n] = grid
        chosen[n] = float(grid[_errors(times, path, trials).argmin()])
    return tuple(sorted(chosen))


def _min_segment(times: np.ndarray) -> float:
    return max(MIN_SEGMENT * float(times[-1] - times[0]), MIN_SEGMENT_FRAMES)


def _all_are_impacts(times: np.ndarray, fit: _Fit, alone: bool, settings: CheckerConfig) -> bool:
    """Return whether every breakpoint is an impact: a clear change of velocity with a visible effect."""
    velocities = np.cumsum(fit.coefficients[1:], axis=0)
    speeds = np.hypot(*velocities.T)
    ends = [times[0], *fit.breakpoints, times[-1]]
    for n in range(len(fit.breakpoints)):
        jump = fit.coefficients[2 + n]
        change = float(np.hypot(*jump))
        rest = min(ends[n + 2] - ends[n + 1], ends[n + 1] - ends[n])
        if rest < 0.99 * _min_segment(times):
            return False
        clear = settings.min_turn * max(speeds[n], speeds[n + 1])
        if change < clear or change * rest < settings.min_deviation:
            return False
        if alone and not ((velocities[n] * velocities[n + 1] < 0) & (np.abs(jump) >= clear)).any():
            return False
    return True
