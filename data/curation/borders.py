"""Borders: letterbox and pillarbox bars of any color, plain or blurred (Movie Gen, app. J).

A border is a band along a side whose lines are equal to each other and constant over time, and that ends at
a straight edge: there the first derivative is large along most of the line. Sky and plain backgrounds are
uniform too, but end along the outline of something.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import cv2
import numpy as np

MAX_FRACTION = 0.45  # of the side; bars are not wider
EDGE = 10.0  # gray levels that count as an edge
MIN_SUPPORT = 0.5  # fraction of the line that must be an edge
FLAT = 4.0  # gray levels that lines of a bar may differ by
FLAT_CONTRAST = 0.15  # and this part of the clip's contrast: at night everything is nearly plain
SIDE = 256  # frames are reduced to about this many lines, which is also faster


def border_fraction(frames_THWC: np.ndarray) -> float:
    """Return the width of the widest border over the extent of its side, 0 to MAX_FRACTION."""
    scale = min(1.0, SIDE / min(frames_THWC.shape[1:3]))
    small = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames_THWC]
    video_THWC = np.stack(small).astype(np.float32)
    sides = [
        video_THWC,
        video_THWC[:, ::-1],
        video_THWC.transpose(0, 2, 1, 3),
        video_THWC[:, :, ::-1].transpose(0, 2, 1, 3),
    ]
    return max(_top_border(side) / side.shape[1] for side in sides)


def _top_border(video_THWC: np.ndarray) -> int:
    """Return the lines of the border at the top, 0 if there is none."""
    height = video_THWC.shape[1]
    reach = int(height * MAX_FRACTION)
    edges = _edge_support(video_THWC, reach + 2)
    flat = min(FLAT, FLAT_CONTRAST * float(video_THWC.mean(3).std()))
    for line in range(1, reach + 1):
        if edges[line - 1] >= MIN_SUPPORT and _is_bar(video_THWC[:, :line], flat):
            return line
    return 0


def _edge_support(video_THWC: np.ndarray, lines: int) -> np.ndarray:
    """Return for each line the fraction of columns with an edge below it in half of the frames or more.

    The edge of a bar stays where it is, that of an object moves on. The content next to a bar may be as dark
    as the bar for some columns and frames. An edge blurred by the codec spreads over two lines.
    """
    part = video_THWC[:, : lines + 2].mean(3)
    step = np.abs(part[:, 2:] - part[:, :-2])
    support = (np.median(step, axis=0) > EDGE).mean(1)
    return np.concatenate([support, [0.0]])


def _is_bar(band_TLWC: np.ndarray, flat: float) -> bool:
    """Return whether a band is plain: the same color along and across its lines.

    The two lines at the edge are mixed with the content (chroma has half the resolution), so they do not
    enter if there are others.
    """
    inner = band_TLWC[:, : max(1, band_TLWC.shape[1] - 2)]
    spread = np.abs(inner - np.median(inner, axis=(1, 2), keepdims=True))
    return bool(np.quantile(spread, 0.95) < 3 * flat and spread.mean() < flat)
