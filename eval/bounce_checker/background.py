"""The canvas: a film's frames laid over each other as the camera moved, and what each then shows of it.

A view (x, y, s) says: the pixel offset p from the frame's centre shows the point c = s * p + (x, y) of
the canvas, whose unit is one pixel of the film's middle frame. Shifts and scales are separable, so laying
and looking are one small matrix for rows and one for columns.

Legend: T frames, H, W frame, Y, X canvas, C channels.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

FILL = 0.08  # of the frame's height: blur that fills what is never seen


def tents(place_NK: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation at places among `size` samples, as matrices float32 [N, K, size].

    Rows of places outside are zero beyond one pixel.
    """
    return np.maximum(0, 1 - np.abs(place_NK[..., None] - np.arange(size))).astype(np.float32)


class Canvas:
    """Interpolation matrices between frames of H x W pixels and the canvas that their views span."""

    def __init__(self, view_T3: np.ndarray, height: int, width: int) -> None:
        self._to_rows, self._from_rows = _matrices(view_T3[:, 1], view_T3[:, 2], height)
        self._to_columns, self._from_columns = (
            m.transpose(0, 2, 1) for m in _matrices(view_T3[:, 0], view_T3[:, 2], width)
        )

    def lay(self, values_THW: np.ndarray, seen_THW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of what is seen at each place and how often it is seen: float32 [Y, X] each."""
        total = (self._to_rows @ seen_THW @ self._to_columns).sum(0)
        layer = (self._to_rows @ (seen_THW * values_THW) @ self._to_columns).sum(0)
        return layer / np.maximum(total, 1e-3), total

    def look(self, canvas_YX: np.ndarray) -> np.ndarray:
        """What each frame shows of a canvas: float32 [T, H, W]."""
        return self._from_rows @ canvas_YX.astype(np.float32) @ self._from_columns


def _matrices(shift_T: np.ndarray, scale_T: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [T, Y, H] to the canvas and [T, H, Y] back, along one axis."""
    half = (size - 1) / 2
    first = (shift_T - scale_T * half).min()  # so that a still camera's pixels are the canvas's own
    span = np.arange(first, (shift_T + scale_T * half).max() + 0.999)
    to = (span - shift_T[:, None]) / scale_T[:, None] + half
    back = scale_T[:, None] * (np.arange(size) - half) + shift_T[:, None] - span[0]
    return tents(to, size), tents(back, len(span))


def empty_room(video_THWC: np.ndarray, room_THW: np.ndarray, view_T3: np.ndarray) -> np.ndarray:
    """What each frame would show without objects: float32 [T, H, W, 3].

    Args:
        room_THW: bool, False where objects are (with a margin).

    Places that are never seen are filled from around.
    """
    _, height, width, _ = video_THWC.shape
    canvas = Canvas(view_T3, height, width)
    seen = room_THW.astype(np.float32)
    frames = np.empty(video_THWC.shape, np.float32)
    for c in range(3):
        layer, total = canvas.lay(video_THWC[..., c].astype(np.float32), seen)
        known = (total > 0.5).astype(np.float32)
        spread = gaussian_filter(known, FILL * height) + 1e-6
        around = gaussian_filter(known * layer, FILL * height) / spread
        frames[..., c] = canvas.look(np.where(known > 0, layer, around))
    return frames
