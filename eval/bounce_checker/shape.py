"""Classify the shape of an object by matching its soft masks with blurred templates.

A mask is resampled to a canonical grid by its centroid and area, so size and position drop out. The bank
holds every vocabulary shape at many angles, a few areas (the estimate is uncertain) and blurs (from sharp to
the output of a weak decoder). An object keeps one shape, size and blur and spins at a constant rate, so the
similarity is averaged over all frames: the best (shape, size, blur, first angle, rate) wins.

Legend: T frames, G canonical grid side, P = G*G grid points, N templates, A angles.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from data.bounce.vocabulary import SHAPES, coverage
from eval.bounce_checker.background import bilinear_weights
from eval.bounce_checker.config import CheckerConfig

GRID = 25
SPAN = 1.9  # half side of the grid in equal-area radii: the star's tips reach 1.6
AREA_FACTORS = (0.68, 0.77, 0.88, 1.0, 1.14)
BLURS = (0.09, 0.17, 0.27, 0.4)  # gaussian sigma in equal-area radii
ANGLES = 15  # steps within a shape's period of rotation
PERIODS = {
    "square": 90.0,
    "cross": 90.0,
    "triangle": 120.0,
    "star": 72.0,
}  # of rotational symmetry, degrees; the others are round
MAX_SPIN = 0.56  # turns per second, in either direction
SPIN_PENALTY = 0.004  # similarity that spinning must add to be accepted
MAX_FRAMES = 24
DEFAULTS = CheckerConfig()
UNKNOWN = "unknown shape"


@dataclass(frozen=True)
class ShapeReading:
    """`shape` may be UNKNOWN. `scores`: similarity in [0, 1] of the best template of each shape."""

    shape: str
    scores: dict[str, float]
    turns_per_second: float
    area: float  # of the shape, relative to the mask's own

    @property
    def margin(self) -> float:
        """Similarity of the best shape minus that of the second."""
        first, second = sorted(self.scores.values(), reverse=True)[:2]
        return first - second


def classify_shape(
    masks_TP: np.ndarray, weights_TP: np.ndarray, times_T: np.ndarray, settings: CheckerConfig = DEFAULTS
) -> ShapeReading:
    """Compare canonical masks with all templates.

    Args:
        masks_TP: soft masks on the canonical grid, about 0 outside and 1 inside.
        weights_TP: in [0, 1]; 0 outside the frame and where another object is.
        times_T: seconds.
    """
    pick = np.unique(np.linspace(0, len(masks_TP) - 1, min(len(masks_TP), MAX_FRAMES)).round().astype(int))
    masks, weights, times = masks_TP[pick], weights_TP[pick], times_T[pick]
    own = np.sqrt((weights * masks**2).sum(1))
    scores, spins, areas = {}, {}, {}
    for shape in SHAPES:
        bank = _bank(shape)  # [factors * blurs, A, P]
        flat = bank.reshape(-1, GRID * GRID)
        norm = np.sqrt(weights @ (flat**2).T) * own[:, None]
        similar = (masks * weights) @ flat.T / np.maximum(norm, 1e-6)
        score, spin, index = _best_template(similar.reshape(len(masks), *bank.shape[:2]), shape, times)
        scores[shape], spins[shape], areas[shape] = score, spin, AREA_FACTORS[index // len(BLURS)]
    best = max(scores, key=lambda name: scores[name])
    shape = best if scores[best] >= settings.min_similarity else UNKNOWN  # ground truth has 0.99
    return ShapeReading(shape, scores, spins[best], areas[best])


def _best_template(similar_TNA: np.ndarray, shape: str, times: np.ndarray) -> tuple[float, float, int]:
    """Return the best (score, turns per second, template) over all frames, upright or spinning steadily."""
    upright = similar_TNA[:, :, 0].mean(0)
    index = int(upright.argmax())
    best = float(upright[index]), 0.0, index
    count = similar_TNA.shape[2]
    if count == 1:
        return best
    period = PERIODS[shape] / 360
    steps = np.arange(-round(MAX_SPIN / 0.03), round(MAX_SPIN / 0.03) + 1) * 0.03
    rates = steps / max(1.0, times[-1] - times[0]) if len(times) > 1 else np.zeros(1)
    for rate in rates:
        angles = (
            (np.arange(count) + (rate * (times - times[0]) / period * count)[:, None]).round().astype(int)
        )
        chosen = np.take_along_axis(similar_TNA, (angles % count)[:, None, :], axis=2).mean(0)
        value = float(chosen.max()) - SPIN_PENALTY
        if value > best[0]:
            best = value, float(rate), int(chosen.max(1).argmax())
    return best


@cache
def _bank(shape: str) -> np.ndarray:
    """Return centered templates float32 [area factors * blurs, angles, P] of equal-area radius 1."""
    fine = 3
    axis = (np.arange(GRID * fine) + 0.5) / fine - GRID / 2
    unit = GRID / (2 * SPAN)  # canonical pixels per equal-area radius
    count = ANGLES if shape in PERIODS else 1
    turns = np.radians(PERIODS.get(shape, 0.0)) * np.arange(count) / count
    templates = []
    for factor in AREA_FACTORS:
        radius = unit * math.sqrt(factor * math.pi / _area(shape))
        masks = [coverage(shape, axis[None] * 1.0, axis[:, None] * 1.0, radius, float(a)) for a in turns]
        small = np.stack(masks).reshape(count, GRID, fine, GRID, fine).mean((2, 4))
        templates += [gaussian_filter(small, (0, blur * unit, blur * unit)) for blur in BLURS]
    return np.stack(templates).reshape(len(templates), count, GRID * GRID).astype(np.float32)


@cache
def _area(shape: str) -> float:
    """Return the area of a shape of radius 1."""
    axis = np.linspace(-1.5, 1.5, 601)
    return float((coverage(shape, axis[None], axis[:, None], 1.0) > 0.5).mean() * 9.0)


def to_canonical(
    mask_HW: np.ndarray, weight_HW: np.ndarray, x: float, y: float, area: float
) -> tuple[np.ndarray, np.ndarray]:
    """Resample a mask and its weights to the canonical grid, [P] each, by its centroid and area in pixels."""
    step = 2 * SPAN / GRID * math.sqrt(area / math.pi)
    offsets = (np.arange(GRID) - (GRID - 1) / 2) * step
    rows = _resampling_matrix(y + offsets, mask_HW.shape[0], step)
    columns = _resampling_matrix(x + offsets, mask_HW.shape[1], step)
    inside = (rows.sum(1)[:, None] * columns.sum(1)).ravel()
    weights = np.where(inside > 0.99, (rows @ weight_HW @ columns.T).ravel(), 0.0)
    return (rows @ (mask_HW * weight_HW) @ columns.T).ravel(), np.clip(weights, 0, 1)


def _resampling_matrix(positions: np.ndarray, size: int, step: float) -> np.ndarray:
    """Return an interpolation matrix, low-pass filtered if the canonical grid is coarser than the pixels."""
    if step <= 1:
        return bilinear_weights(positions, size)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(size)) / step).astype(np.float32) / step
