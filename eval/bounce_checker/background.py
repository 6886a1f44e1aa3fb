"""Estimate the background of a video: splat its registered frames onto a canvas and sample it back.

A view (x, y, s) maps the pixel offset p from the frame's center to the canvas point c = s * p + (x, y); the
canvas unit is one pixel of the video's middle frame. Shifts and scales are separable, so splatting and
sampling take one small matrix for rows and one for columns.

Legend: T frames, H, W frame, Y, X canvas, C channels.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

FILL_SIGMA = 0.08  # of the frame's height: blur that fills what is never visible


def bilinear_weights(position_NK: np.ndarray, size: int) -> np.ndarray:
    """Return linear interpolation at `position_NK` among `size` samples, as matrices float32 [N, K, size].

    Rows of positions more than one pixel outside are zero.
    """
    return np.maximum(0, 1 - np.abs(position_NK[..., None] - np.arange(size))).astype(np.float32)


class Canvas:
    """Interpolation matrices between frames of H x W pixels and the canvas spanned by their views."""

    def __init__(self, view_T3: np.ndarray, height: int, width: int) -> None:
        self._to_rows, self._from_rows = _matrices(view_T3[:, 1], view_T3[:, 2], height)
        self._to_columns, self._from_columns = (
            m.transpose(0, 2, 1) for m in _matrices(view_T3[:, 0], view_T3[:, 2], width)
        )

    def splat(self, values_THW: np.ndarray, weight_THW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted mean of all frames on the canvas and the summed weights, float32 [Y, X]."""
        total = (self._to_rows @ weight_THW @ self._to_columns).sum(0)
        layer = (self._to_rows @ (weight_THW * values_THW) @ self._to_columns).sum(0)
        return layer / np.maximum(total, 1e-3), total

    def sample(self, canvas_YX: np.ndarray) -> np.ndarray:
        """Return what each frame shows of a canvas, float32 [T, H, W]."""
        return self._from_rows @ canvas_YX.astype(np.float32) @ self._from_columns


def _matrices(shift_T: np.ndarray, scale_T: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices [T, Y, H] to the canvas and [T, H, Y] back, along one axis."""
    half = (size - 1) / 2
    first = (shift_T - scale_T * half).min()  # so that a still camera's pixels are the canvas's own
    span = np.arange(first, (shift_T + scale_T * half).max() + 0.999)
    to = (span - shift_T[:, None]) / scale_T[:, None] + half
    back = scale_T[:, None] * (np.arange(size) - half) + shift_T[:, None] - span[0]
    return bilinear_weights(to, size), bilinear_weights(back, len(span))


def estimate_background(
    video_THWC: np.ndarray, background_THW: np.ndarray, view_T3: np.ndarray
) -> np.ndarray:
    """Return each frame without its objects, float32 [T, H, W, 3].

    Points that are hidden in all frames are filled with a blur of their surroundings.

    Args:
        background_THW: bool, False where objects are (with a margin).
    """
    _, height, width, _ = video_THWC.shape
    canvas = Canvas(view_T3, height, width)
    weight = background_THW.astype(np.float32)
    frames = np.empty(video_THWC.shape, np.float32)
    for c in range(3):
        layer, total = canvas.splat(video_THWC[..., c].astype(np.float32), weight)
        visible = (total > 0.5).astype(np.float32)
        norm = gaussian_filter(visible, FILL_SIGMA * height) + 1e-6
        fill = gaussian_filter(visible * layer, FILL_SIGMA * height) / norm
        frames[..., c] = canvas.sample(np.where(visible > 0, layer, fill))
    return frames
