"""How the camera moved, and the empty room behind the objects.

Every frame is registered to the others by what does not move by itself: floor texture and walls. The
motion model is a shift and a scale, so a warp is one small matrix for rows and one for columns.

A view (x, y, s) says: the pixel offset p from the frame's centre shows the point c = s * p + (x, y) of
the canvas, whose unit is one pixel of the film's middle frame.

Legend: T frames, H, W frame, Y, X canvas, C = 3 channels.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

IDENTITY = np.array([0.0, 0.0, 1.0])
ITERATIONS, LAST_ITERATIONS = 5, 3
COARSE_SIDE = 32  # pixels of the shorter side on which the blurred levels are worked out
LEAVE_STILL = 1.2  # how many times better a move must fit than none; moves are at 1.9, still films under 1.1
LEAVE_STEADY = 1.25  # the same for a step of its own for every frame against one steady step
BLURS = (0.06, 0.03, 0.015)  # of the frame's shorter side: coarse to fine
NOISE = 0.01  # of lightness
FILL = 0.08  # of the frame's height: blur that fills what is never seen
REACH = 0.1  # largest shift between two frames that is looked for, of the frame's side


ZOOMS, PANS, SHAKES = 0.12, 0.1, 0.006  # least change of scale, shift, and shake (root mean square)


def register(luma_THW: np.ndarray, room_THW: np.ndarray) -> np.ndarray:
    """Views of all frames.

    First one steady step is fitted to all pairs of neighbours together, as pans and zooms have it; then
    each pair may leave it, held back where its pixels say little.

    Args:
        luma_THW: lightness, float32.
        room_THW: bool, False where objects are (with a margin).

    Returns:
        float64 [T, 3]; the middle frame's view is (0, 0, 1).
    """
    if len(luma_THW) < 2:
        return np.tile(IDENTITY, (len(luma_THW), 1))
    weight = room_THW.astype(np.float32)
    side = min(luma_THW.shape[1:])
    coarse = max(1, side // COARSE_SIDE)  # the blurred levels need no fine grid
    levels = []
    for blur, stride in zip(BLURS, (coarse, coarse, 1), strict=True):
        smooth = _masked_blur(luma_THW, weight, blur * side)
        levels.append(_Level(smooth[:, ::stride, ::stride], weight[:, ::stride, ::stride], stride))
    start = np.tile(IDENTITY, (len(luma_THW) - 1, 1))
    steady = _fit(levels, start, IDENTITY, together=True)
    free = _fit(levels, _search(levels[1], steady), steady[0], together=False)
    # the simplest move that explains the film: noise and soft edges always leave something to be fitted
    costs = [float(_cost(levels[-1], steps).mean()) + NOISE / 20 for steps in (start, steady, free)]
    if costs[0] < LEAVE_STILL * min(costs):
        return _chain(start)
    return _chain(steady if costs[1] < LEAVE_STEADY * costs[2] else free)


@dataclass(frozen=True)
class _Level:
    """Frames on one grid: `stride` frame pixels apart."""

    smooth: np.ndarray
    weight: np.ndarray
    stride: int


def _fit(levels: list[_Level], steps: np.ndarray, expected_3: np.ndarray, together: bool) -> np.ndarray:
    for level in levels:
        unit = np.array([level.stride, level.stride, 1.0])
        steps = steps / unit
        for _ in range(ITERATIONS if level.stride > 1 or level is not levels[-1] else LAST_ITERATIONS):
            steps = _improve(steps, level, expected_3 / unit, together)
        steps = steps * unit
    return steps


def _cost(level: _Level, steps: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each pair after its step, where both show the room."""
    target, seen = _warp(level, steps)
    both = np.where(seen > 0.99, level.weight[1:], 0.0)
    gaps = np.minimum(np.abs(level.smooth[1:] - target), 10 * NOISE)
    return (both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1)


def _warp(level: _Level, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each frame but the last as the next one should see it, and how much of that is room."""
    rows, columns = _matrices(steps, *level.smooth.shape[1:])
    columns = columns.transpose(0, 2, 1)
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
        costs.append((both * gaps).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1))
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


def _improve(view_N3: np.ndarray, level: _Level, expected_3: np.ndarray, together: bool) -> np.ndarray:
    """One Gauss-Newton step of N = T-1 registrations: frame[t+1](p) should equal frame[t](s * p + (x, y)).

    `expected_3` is where a view is held back to; `together` makes all pairs take the same step.
    """
    moving = level.smooth[1:]
    num, height, width = moving.shape
    target, seen = _warp(level, view_N3)
    grad_y, grad_x = np.gradient(0.5 * (target + moving), axis=(1, 2)) / view_N3[:, 2, None, None]
    py = (np.arange(height) - (height - 1) / 2)[:, None]
    px = np.arange(width) - (width - 1) / 2
    basis = np.stack([grad_x, grad_y, grad_x * px + grad_y * py], axis=1).reshape(num, 3, -1)
    error = (moving - target).reshape(num, -1)
    flat = np.where(seen > 0.99, level.weight[1:], 0.0).reshape(num, -1)
    # robust: what moves by itself or was missed by the mask must not pull
    spread = 1.5 * np.median(np.abs(error), axis=1, keepdims=True) + NOISE
    pull = basis * (flat / np.maximum(1, np.abs(error) / spread))[:, None]
    side = min(height, width)
    reach = np.array([0.015 * side, 0.015 * side, 0.03] if together else [0.03 * side, 0.03 * side, 0.006])
    prior = 30 * NOISE**2 / reach**2
    normal = pull @ basis.transpose(0, 2, 1) + np.diag(prior)
    right = (pull @ error[..., None])[..., 0] + prior * (expected_3 - view_N3)
    if together:
        normal, right = normal.sum(0, keepdims=True), right.sum(0, keepdims=True)
    change = np.linalg.solve(normal, right[..., None])[..., 0]
    return view_N3 + np.clip(change, -2 * reach, 2 * reach)


def _matrices(view_N3: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolation matrices [N, H, H] and [N, W, W] of views onto a canvas of the frame's own size."""
    x, y, s = (view_N3[:, i, None] for i in range(3))
    row = s * (np.arange(height) - (height - 1) / 2) + y + (height - 1) / 2
    column = s * (np.arange(width) - (width - 1) / 2) + x + (width - 1) / 2
    return tents(row, height), tents(column, width)


def tents(place_NK: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation at places among `size` samples, as matrices float32 [N, K, size].

    Rows of places outside are zero beyond one pixel.
    """
    return np.maximum(0, 1 - np.abs(place_NK[..., None] - np.arange(size))).astype(np.float32)


def _chain(steps_N3: np.ndarray) -> np.ndarray:
    """Views relative to the middle frame from steps between neighbours."""
    views = [np.array([0.0, 0.0, 1.0])]
    for x, y, s in steps_N3:  # frame t+1 in frame t, frame t in frame 0
        px, py, ps = views[-1]
        views.append(np.array([px + ps * x, py + ps * y, ps * s]))
    path = np.stack(views)
    middle = path[len(path) // 2]
    shift = (path[:, :2] - middle[:2]) / middle[2]
    return np.concatenate([shift, path[:, 2:] / middle[2]], axis=1)


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
    if max(abs(x), abs(y)) > PANS:
        return (
            ("pan right" if x > 0 else "pan left") if abs(x) > abs(y) else "tilt down" if y > 0 else "tilt up"
        )
    return "handheld shot" if shake > SHAKES else "static shot"


def empty_room(video_THWC: np.ndarray, room_THW: np.ndarray, view_T3: np.ndarray) -> np.ndarray:
    """What each frame would show without objects: float32 [T, H, W, 3].

    All frames are laid on one canvas where they show the room; places that are never seen are filled
    from around.
    """
    _, height, width, _ = video_THWC.shape
    spans = []
    for axis, size in ((1, height), (0, width)):
        reach = view_T3[:, 2] * (size - 1) / 2
        low = np.floor((view_T3[:, axis] - reach).min())
        spans.append(np.arange(low, np.ceil((view_T3[:, axis] + reach).max()) + 1))
    y, x = (
        (span - view_T3[:, [axis]]) / view_T3[:, [2]] + (size - 1) / 2
        for span, axis, size in zip(spans, (1, 0), (height, width), strict=True)
    )
    rows, columns = tents(y, height), tents(x, width).transpose(0, 2, 1)
    seen = room_THW.astype(np.float32)
    total = (rows @ seen @ columns).sum(0)
    layers = [(rows @ (seen * video_THWC[..., c]) @ columns).sum(0) for c in range(3)]
    known = total > 0.5
    spread = gaussian_filter(known.astype(np.float32), FILL * height) + 1e-6
    back_y = view_T3[:, [2]] * (np.arange(height) - (height - 1) / 2) + view_T3[:, [1]] - spans[0][0]
    back_x = view_T3[:, [2]] * (np.arange(width) - (width - 1) / 2) + view_T3[:, [0]] - spans[1][0]
    rows, columns = tents(back_y, len(spans[0])), tents(back_x, len(spans[1])).transpose(0, 2, 1)
    frames = np.empty(video_THWC.shape, np.float32)
    for c, layer in enumerate(layers):
        canvas = np.where(known, layer / np.maximum(total, 0.5), 0.0).astype(np.float32)
        around = gaussian_filter(canvas, FILL * height) / spread
        frames[..., c] = rows @ np.where(known, canvas, around).astype(np.float32) @ columns
    return frames
