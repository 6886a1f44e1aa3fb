"""Estimate the camera motion by registering the frames' backgrounds (floor texture and walls) to each other.

The motion model is a shift and a scale; views are those of `eval.bounce_checker.background`.

Legend: T frames, H, W frame, N = T - 1 pairs of neighboring frames.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from eval.bounce_checker.background import Canvas, bilinear_weights
from eval.bounce_checker.config import CheckerConfig

IDENTITY = np.array([0.0, 0.0, 1.0])
BLURS = (0.06, 0.03, 0.015)  # of the frame's shorter side: coarse to fine
ITERATIONS = (5, 5, 3)
REFINEMENTS = 2
COARSE_SIDE = 32  # shorter side in pixels of the blurred levels
NOISE = 0.01  # of lightness
MAX_SHIFT = 0.1  # between two frames, of the frame's side
MAX_DRIFT = 0.08  # of the fit from its initial shift; below the textures' period
STATIC_RATIO = (
    1.2  # how many times better motion must fit than none; moves are at 1.9, static shots below 1.1
)
STEADY_RATIO = 1.25  # the same for free steps against one constant step
DEFAULTS = CheckerConfig()


@dataclass(frozen=True)
class _Level:
    """Frames on one grid of the pyramid, `stride` pixels apart; objects have weight 0 and are inpainted."""

    smooth: np.ndarray  # [T, H, W]
    weight: np.ndarray
    stride: int


def register_frames(luma_THW: np.ndarray, background_THW: np.ndarray) -> np.ndarray:
    """Return the views of all frames.

    First one constant step is fitted to all pairs of neighbors, as in pans and zooms; then each pair may
    deviate, with a prior where its pixels are uninformative. The simplest motion that explains the video is
    refined against all frames at once, so that errors do not accumulate.

    Args:
        luma_THW: lightness in [0, 1], float32.
        background_THW: bool, False where objects are (with a margin).

    Returns:
        float64 [T, 3]; the middle frame's view is (0, 0, 1).
    """
    if len(luma_THW) < 2:
        return np.tile(IDENTITY, (len(luma_THW), 1))
    weight = background_THW.astype(np.float32)
    side = min(luma_THW.shape[1:])
    coarse = max(1, side // COARSE_SIDE)
    levels = []
    for blur, stride in zip(BLURS, (coarse, coarse, 1), strict=True):
        smooth = _masked_blur(luma_THW, weight, blur * side)
        levels.append(_Level(smooth[:, ::stride, ::stride], weight[:, ::stride, ::stride], stride))
    still = np.tile(IDENTITY, (len(luma_THW) - 1, 1))
    floor = NOISE / 20  # smaller differences are insignificant
    if _costs(levels[-1], still).mean() + floor < STATIC_RATIO * floor:
        return np.tile(IDENTITY, (len(luma_THW), 1))
    steady = _fit(levels, still, IDENTITY, together=True)
    starts = (_search_shifts(levels[1], steady), steady)
    ends = np.stack([_fit(levels, begin, steady[0], together=False) for begin in starts])
    best = np.stack([_costs(levels[-1], end) for end in ends]).argmin(0)
    free = ends[best, np.arange(len(best))]
    # noise and soft edges always fit a little better with more parameters: require a clear gain
    costs = [_costs(levels[-1], steps).mean() + floor for steps in (still, steady, free)]
    if costs[0] < STATIC_RATIO * min(costs):
        return np.tile(IDENTITY, (len(luma_THW), 1))
    view = _compose_steps(steady if costs[1] < STEADY_RATIO * costs[2] else free, side)
    for _ in range(REFINEMENTS):
        view = _refine(view, levels[-1])
    return view


def _fit(levels: list[_Level], steps: np.ndarray, expected_3: np.ndarray, together: bool) -> np.ndarray:
    """Return the steps [N, 3] from each frame to the next, coarse to fine, within MAX_DRIFT of `steps`."""
    start, drift = steps, MAX_DRIFT * min(levels[-1].smooth.shape[1:])
    for level, iterations in zip(levels, ITERATIONS, strict=True):
        unit = np.array([level.stride, level.stride, 1.0])
        side = min(level.smooth.shape[1:])
        prior = np.array([0.015, 0.015, 0.03] if together else [0.03, 0.03, 0.006]) * (side, side, 1)
        for _ in range(iterations):
            target, visible = _warp(level, steps / unit)
            moving, weight = level.smooth[1:], level.weight[1:]
            steps = unit * _gauss_newton_step(
                steps / unit, target, visible, moving, weight, expected_3 / unit, prior, together
            )
            steps[:, :2] = np.clip(steps[:, :2], start[:, :2] - drift, start[:, :2] + drift)
    return steps


def _refine(view_T3: np.ndarray, level: _Level) -> np.ndarray:
    """Move every view one step towards the canvas of all frames, with a prior on linear changes of scale."""
    canvas = Canvas(view_T3, *level.smooth.shape[1:])
    layer, total = canvas.splat(level.smooth, level.weight)
    visible = canvas.sample(np.minimum(total, 1.0))
    side = min(level.smooth.shape[1:])
    prior = np.array([0.03 * side, 0.03 * side, 0.002])
    along = np.linspace(-1, 1, len(view_T3))
    expected = view_T3.copy()
    expected[:, 2] = np.polyval(np.polyfit(along, view_T3[:, 2], 1), along)
    view = _gauss_newton_step(
        view_T3, canvas.sample(layer), visible, level.smooth, level.weight, expected, prior, False
    )
    return _center_on_middle(view, side)


def _gauss_newton_step(
    view_N3: np.ndarray,
    target: np.ndarray,
    visible: np.ndarray,
    moving: np.ndarray,
    weight: np.ndarray,
    expected_3: np.ndarray,
    prior_3: np.ndarray,
    together: bool,
) -> np.ndarray:
    """Return N views after one Gauss-Newton step towards moving(p) = fixed(s * p + (x, y)).

    `target` is `fixed` warped by the views; images are [N, H, W]. A Gaussian prior of mean `expected_3` and
    width `prior_3` regularizes the views; `together` gives all of them the same step.
    """
    num, height, width = moving.shape
    grad_y, grad_x = np.gradient(0.5 * (target + moving), axis=(1, 2)) / view_N3[:, 2, None, None]
    py = (np.arange(height) - (height - 1) / 2)[:, None]
    px = np.arange(width) - (width - 1) / 2
    basis = np.stack([grad_x, grad_y, grad_x * px + grad_y * py], axis=1).reshape(num, 3, -1)
    error = (moving - target).reshape(num, -1)
    flat = np.where(visible > 0.99, weight, 0.0).reshape(num, -1)
    # robust weights: objects that the mask missed are outliers
    scale = 1.5 * np.median(np.abs(error[:, ::5]), axis=1, keepdims=True) + NOISE
    weighted = basis * (flat / np.maximum(1, np.abs(error) / scale))[:, None]
    prior = 30 * NOISE**2 / prior_3**2 / (num if together else 1)
    normal = weighted @ basis.transpose(0, 2, 1) + np.diag(prior)
    right = (weighted @ error[..., None])[..., 0] + prior * (expected_3 - view_N3)
    if together:
        normal, right = normal.sum(0, keepdims=True), right.sum(0, keepdims=True)
    change = np.linalg.solve(normal, right[..., None])[..., 0]
    return view_N3 + np.clip(change, -2 * prior_3, 2 * prior_3)


def _costs(level: _Level, steps: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of neighbors after their steps, over shared background; [N]."""
    target, visible = _warp(level, steps)
    both = np.where(visible > 0.99, level.weight[1:], 0.0)
    gaps = np.minimum(np.abs(level.smooth[1:] - target), 10 * NOISE)
    return (both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1)


def _warp(level: _Level, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each frame but the last warped to the next one, and how much of it is background."""
    height, width = level.smooth.shape[1:]
    x, y, s = (steps[:, i, None] for i in range(3))
    rows = bilinear_weights(s * (np.arange(height) - (height - 1) / 2) + y + (height - 1) / 2, height)
    columns = bilinear_weights(
        s * (np.arange(width) - (width - 1) / 2) + x + (width - 1) / 2, width
    ).transpose(0, 2, 1)
    return rows @ level.smooth[:-1] @ columns, rows @ level.weight[:-1] @ columns


def _search_shifts(level: _Level, steady: np.ndarray) -> np.ndarray:
    """Return integer shifts between neighbors by exhaustive search; a shake may exceed a texture's period."""
    small, weight, stride = level.smooth, level.weight, level.stride
    reach = max(1, round(MAX_SHIFT * min(small.shape[1:])))
    offsets = [(dx, dy) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    costs = []
    for dx, dy in offsets:
        both = _shifted(weight, dy, dx)[:-1] * _shifted(weight, -dy, -dx)[1:]
        gaps = np.abs(_shifted(small, dy, dx)[:-1] - _shifted(small, -dy, -dx)[1:])
        penalty = 1 + 0.5 * np.hypot(dx, dy) / reach  # prefer the smaller of two equal fits
        costs.append(penalty * (both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1))
    table = np.stack(costs, axis=1)
    better = table.min(1) < 0.7 * table[:, offsets.index((0, 0))]
    steps = steady.copy()
    steps[better, :2] = stride * np.array(offsets, float)[table.argmin(1)][better]
    steps[better, 2] = 1.0
    return steps


def _shifted(images: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Crop each image from (dy, dx) where positive, and up to (dy, dx) from the end where negative."""
    height, width = images.shape[1:]
    return images[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]


def _masked_blur(luma_THW: np.ndarray, weight_THW: np.ndarray, sigma: float) -> np.ndarray:
    """Blur without the objects, and fill them from their surroundings."""
    blur = (0, sigma, sigma)
    total = gaussian_filter(weight_THW, blur, mode="nearest")
    return gaussian_filter(luma_THW * weight_THW, blur, mode="nearest") / np.maximum(total, 1e-3)


def _compose_steps(steps_N3: np.ndarray, side: int) -> np.ndarray:
    """Accumulate steps between neighbors into views relative to the middle frame."""
    views = [IDENTITY]
    for x, y, s in steps_N3:  # frame t+1 in frame t, frame t in frame 0
        px, py, ps = views[-1]
        views.append(np.array([px + ps * x, py + ps * y, ps * s]))
    return _center_on_middle(np.stack(views), side)


def _center_on_middle(view_T3: np.ndarray, side: int) -> np.ndarray:
    """Return the views with the middle frame as origin, clipped to bound the size of the canvas."""
    x, y, s = view_T3[len(view_T3) // 2]
    moved = (view_T3 - (x, y, 0)) / s
    return np.clip(moved, (-side, -side, 0.5), (side, side, 2.0))


def classify_camera(view_T3: np.ndarray, side: int, settings: CheckerConfig = DEFAULTS) -> str:
    """Return the camera label of a sequence of views; `side` is the frame's shorter side in pixels."""
    if len(view_T3) < 2:
        return "static shot"
    along = np.linspace(-0.5, 0.5, len(view_T3))
    path = np.column_stack([view_T3[:, :2] / side, np.log(view_T3[:, 2])])
    x, y, zoom = along @ (path - path.mean(0)) / (along @ along)  # linear change over the video
    shake = np.sqrt(((path[:, :2] - path[:, :2].mean(0)) ** 2).sum(1).mean())
    if abs(zoom) > settings.min_zoom:
        return "zoom in" if zoom < 0 else "zoom out"
    if abs(x) > max(settings.min_pan, abs(y)):
        return "pan right" if x > 0 else "pan left"
    if abs(y) > settings.min_pan:
        return "tilt down" if y > 0 else "tilt up"
    return "handheld shot" if shake > settings.min_shake else "static shot"
