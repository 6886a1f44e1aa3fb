"""How the camera moved: frames are registered to each other by what does not move by itself.

That is the floor's texture and the walls. The motion model is a shift and a scale; views are those of
`bounce_room`.

Legend: T frames, H, W frame, N = T - 1 pairs of neighbours, P = H * W.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from eval.bounce_checker.background import Canvas, tents

IDENTITY = np.array([0.0, 0.0, 1.0])
BLURS = (0.06, 0.03, 0.015)  # of the frame's shorter side: coarse to fine
ITERATIONS = (5, 5, 3)
REFINEMENTS = 2
COARSE_SIDE = 32  # pixels of the shorter side on which the blurred levels are worked out
NOISE = 0.01  # of lightness
REACH = 0.1  # largest shift between two frames that is looked for, of the frame's side
STRAY = 0.08  # how far the fit may leave the shift that it starts from; a texture's period is farther off
LEAVE_STILL = 1.2  # how many times better a move must fit than none; moves are at 1.9, still films under 1.1
LEAVE_STEADY = 1.25  # the same for a step of its own for every frame against one steady step
ZOOMS, PANS, SHAKES = 0.12, 0.1, 0.006  # least change of scale, shift, and shake (root mean square)


@dataclass(frozen=True)
class _Level:
    """Frames on one grid, `stride` frame pixels apart; objects have weight 0 and are painted over."""

    smooth: np.ndarray  # [T, H, W]
    weight: np.ndarray
    stride: int


def register(luma_THW: np.ndarray, room_THW: np.ndarray) -> np.ndarray:
    """Views of all frames.

    First one steady step is fitted to all pairs of neighbours together, as pans and zooms have it; then
    each pair may leave it, held back where its pixels say little. The simplest move that explains the
    film is taken, and refined against all frames at once, so that errors do not add up.

    Args:
        luma_THW: lightness in [0, 1], float32.
        room_THW: bool, False where objects are (with a margin).

    Returns:
        float64 [T, 3]; the middle frame's view is (0, 0, 1).
    """
    if len(luma_THW) < 2:
        return np.tile(IDENTITY, (len(luma_THW), 1))
    weight = room_THW.astype(np.float32)
    side = min(luma_THW.shape[1:])
    coarse = max(1, side // COARSE_SIDE)
    levels = []
    for blur, stride in zip(BLURS, (coarse, coarse, 1), strict=True):
        smooth = _masked_blur(luma_THW, weight, blur * side)
        levels.append(_Level(smooth[:, ::stride, ::stride], weight[:, ::stride, ::stride], stride))
    still = np.tile(IDENTITY, (len(luma_THW) - 1, 1))
    floor = NOISE / 20  # differences below this mean nothing
    if _costs(levels[-1], still).mean() + floor < LEAVE_STILL * floor:
        return np.tile(IDENTITY, (len(luma_THW), 1))
    steady = _fit(levels, still, IDENTITY, together=True)
    starts = (_search(levels[1], steady), steady)
    ends = np.stack([_fit(levels, begin, steady[0], together=False) for begin in starts])
    best = np.stack([_costs(levels[-1], end) for end in ends]).argmin(0)
    free = ends[best, np.arange(len(best))]
    # noise and soft edges always leave something to be fitted: a more complex move must earn it
    costs = [_costs(levels[-1], steps).mean() + floor for steps in (still, steady, free)]
    if costs[0] < LEAVE_STILL * min(costs):
        return np.tile(IDENTITY, (len(luma_THW), 1))
    view = _chain(steady if costs[1] < LEAVE_STEADY * costs[2] else free, side)
    for _ in range(REFINEMENTS):
        view = _refine(view, levels[-1])
    return view


def _fit(levels: list[_Level], steps: np.ndarray, expected_3: np.ndarray, together: bool) -> np.ndarray:
    """Steps [N, 3] from each frame to the next, coarse to fine, not far from where they start."""
    start, stray = steps, STRAY * min(levels[-1].smooth.shape[1:])
    for level, iterations in zip(levels, ITERATIONS, strict=True):
        unit = np.array([level.stride, level.stride, 1.0])
        side = min(level.smooth.shape[1:])
        reach = np.array([0.015, 0.015, 0.03] if together else [0.03, 0.03, 0.006]) * (side, side, 1)
        for _ in range(iterations):
            target, seen = _warp(level, steps / unit)
            moving, weight = level.smooth[1:], level.weight[1:]
            steps = unit * _improve(
                steps / unit, target, seen, moving, weight, expected_3 / unit, reach, together
            )
            steps[:, :2] = np.clip(steps[:, :2], start[:, :2] - stray, start[:, :2] + stray)
    return steps


def _refine(view_T3: np.ndarray, level: _Level) -> np.ndarray:
    """One step of every frame towards the canvas that all of them make; scale changes steadily if at all."""
    canvas = Canvas(view_T3, *level.smooth.shape[1:])
    layer, total = canvas.lay(level.smooth, level.weight)
    seen = canvas.look(np.minimum(total, 1.0))
    side = min(level.smooth.shape[1:])
    reach = np.array([0.03 * side, 0.03 * side, 0.002])
    along = np.linspace(-1, 1, len(view_T3))
    expected = view_T3.copy()
    expected[:, 2] = np.polyval(np.polyfit(along, view_T3[:, 2], 1), along)
    view = _improve(view_T3, canvas.look(layer), seen, level.smooth, level.weight, expected, reach, False)
    return _to_middle(view, side)


def _improve(
    view_N3: np.ndarray,
    target: np.ndarray,
    seen: np.ndarray,
    moving: np.ndarray,
    weight: np.ndarray,
    expected_3: np.ndarray,
    reach_3: np.ndarray,
    together: bool,
) -> np.ndarray:
    """One Gauss-Newton step of N registrations, so that moving(p) equals fixed(s * p + (x, y)).

    `target` is fixed as seen through the views, all images [N, H, W]. `expected_3` is where views are
    held back to, the less the larger `reach_3` is; `together` makes all take the same step.
    """
    num, height, width = moving.shape
    grad_y, grad_x = np.gradient(0.5 * (target + moving), axis=(1, 2)) / view_N3[:, 2, None, None]
    py = (np.arange(height) - (height - 1) / 2)[:, None]
    px = np.arange(width) - (width - 1) / 2
    basis = np.stack([grad_x, grad_y, grad_x * px + grad_y * py], axis=1).reshape(num, 3, -1)
    error = (moving - target).reshape(num, -1)
    flat = np.where(seen > 0.99, weight, 0.0).reshape(num, -1)
    # robust: what moves by itself or was missed by the mask must not pull
    spread = 1.5 * np.median(np.abs(error[:, ::5]), axis=1, keepdims=True) + NOISE
    pull = basis * (flat / np.maximum(1, np.abs(error) / spread))[:, None]
    prior = 30 * NOISE**2 / reach_3**2 / (num if together else 1)
    normal = pull @ basis.transpose(0, 2, 1) + np.diag(prior)
    right = (pull @ error[..., None])[..., 0] + prior * (expected_3 - view_N3)
    if together:
        normal, right = normal.sum(0, keepdims=True), right.sum(0, keepdims=True)
    change = np.linalg.solve(normal, right[..., None])[..., 0]
    return view_N3 + np.clip(change, -2 * reach_3, 2 * reach_3)


def _costs(level: _Level, steps: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbours after their steps, where both show the room; [N]."""
    target, seen = _warp(level, steps)
    both = np.where(seen > 0.99, level.weight[1:], 0.0)
    gaps = np.minimum(np.abs(level.smooth[1:] - target), 10 * NOISE)
    return (both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1)


def _warp(level: _Level, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each frame but the last as the next one should see it, and how much of that is room."""
    height, width = level.smooth.shape[1:]
    x, y, s = (steps[:, i, None] for i in range(3))
    rows = tents(s * (np.arange(height) - (height - 1) / 2) + y + (height - 1) / 2, height)
    columns = tents(s * (np.arange(width) - (width - 1) / 2) + x + (width - 1) / 2, width).transpose(0, 2, 1)
    return rows @ level.smooth[:-1] @ columns, rows @ level.weight[:-1] @ columns


def _search(level: _Level, steady: np.ndarray) -> np.ndarray:
    """Whole-pixel shifts between neighbours by trying all; a shake may exceed a texture's period."""
    small, known, stride = level.smooth, level.weight, level.stride
    reach = max(1, round(REACH * min(small.shape[1:])))
    offsets = [(dx, dy) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    costs = []
    for dx, dy in offsets:
        both = _shifted(known, dy, dx)[:-1] * _shifted(known, -dy, -dx)[1:]
        gaps = np.abs(_shifted(small, dy, dx)[:-1] - _shifted(small, -dy, -dx)[1:])
        doubt = 1 + 0.5 * np.hypot(dx, dy) / reach  # of two that fit alike, the smaller shift
        costs.append(doubt * (both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1))
    table = np.stack(costs, axis=1)
    better = table.min(1) < 0.7 * table[:, offsets.index((0, 0))]
    steps = steady.copy()
    steps[better, :2] = stride * np.array(offsets, float)[table.argmin(1)][better]
    steps[better, 2] = 1.0
    return steps


def _shifted(images: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The part of each image that begins at (dy, dx) where positive, and ends there where negative."""
    height, width = images.shape[1:]
    return images[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]


def _masked_blur(luma_THW: np.ndarray, weight_THW: np.ndarray, sigma: float) -> np.ndarray:
    """Blur that ignores objects, and fills them with what surrounds them."""
    blur = (0, sigma, sigma)
    total = gaussian_filter(weight_THW, blur, mode="nearest")
    return gaussian_filter(luma_THW * weight_THW, blur, mode="nearest") / np.maximum(total, 1e-3)


def _chain(steps_N3: np.ndarray, side: int) -> np.ndarray:
    """Views relative to the middle frame from steps between neighbours."""
    views = [IDENTITY]
    for x, y, s in steps_N3:  # frame t+1 in frame t, frame t in frame 0
        px, py, ps = views[-1]
        views.append(np.array([px + ps * x, py + ps * y, ps * s]))
    return _to_middle(np.stack(views), side)


def _to_middle(view_T3: np.ndarray, side: int) -> np.ndarray:
    """The same views with the middle frame as origin; wild ones are held within a sane canvas."""
    x, y, s = view_T3[len(view_T3) // 2]
    moved = (view_T3 - (x, y, 0)) / s
    return np.clip(moved, (-side, -side, 0.5), (side, side, 2.0))


def camera_name(view_T3: np.ndarray, side: int) -> str:
    """The camera label of a path of views; `side` is the frame's shorter side in pixels."""
    if len(view_T3) < 2:
        return "static shot"
    along = np.linspace(-0.5, 0.5, len(view_T3))
    path = np.column_stack([view_T3[:, :2] / side, np.log(view_T3[:, 2])])
    x, y, zoom = along @ (path - path.mean(0)) / (along @ along)  # change over the whole film
    shake = np.sqrt(((path[:, :2] - path[:, :2].mean(0)) ** 2).sum(1).mean())
    if abs(zoom) > ZOOMS:
        return "zoom in" if zoom < 0 else "zoom out"
    if abs(x) > max(PANS, abs(y)):
        return "pan right" if x > 0 else "pan left"
    if abs(y) > PANS:
        return "tilt down" if y > 0 else "tilt up"
    return "handheld shot" if shake > SHAKES else "static shot"
