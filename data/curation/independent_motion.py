"""Motion that does not follow the camera: objects that move, and depth, which makes near things move more.

Legend: T frames, P pairs of frames, N points, H height, W width; frames are gray, uint8.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from data.curation.similarity_fit import (
    MIN_POINTS,
    PATCH,
    apply_matrix,
    fit_similarity,
    local_spread,
    match_points,
    matrix_of,
    refine_similarity,
    warp_back,
)

GAP_S = 0.5  # between the frames that are compared
INLIER = 1.0  # pixels, of RANSAC
MOVED = 1.5  # pixels by which the flow of a point must leave the camera's motion within GAP_S
MISMATCH = 1.5  # pixels by which its patch must be out of register
MARGIN = 10  # pixels: the flow of a point is read from patches around it
SMOOTH = 1.0  # standard deviation in pixels; noise and blocking of codecs are no mismatch


def measure_independent_motion(
    flow: cv2.DISOpticalFlow, gray_THW: np.ndarray, steps_P4: np.ndarray, fps: float, points_N2: np.ndarray
) -> tuple[float, float, float, float]:
    """Return mean and largest fraction of the area that leaves the camera's motion, parallax and alignment.

    The camera's own steps bring two frames GAP_S apart into register; the flow that is left is fitted once
    more, since small errors of the steps add up.
    """
    moved, ratios, alignments = [], [], []
    for a_HW, b_HW, camera in _registered_pairs(gray_THW, steps_P4, fps):
        inside_N2 = _inside(points_N2, camera, a_HW.shape)
        a_N2, b_N2 = match_points(flow, a_HW, b_HW, inside_N2)
        if len(a_N2) < MIN_POINTS:
            continue
        matrix = refine_similarity(fit_similarity(a_N2, b_N2, INLIER), a_N2, b_N2)
        rest_N2 = b_N2 - apply_matrix(matrix, a_N2)
        mismatch_N = _mismatch(a_HW, warp_back(b_HW, matrix), a_N2)
        leaves_N = (np.linalg.norm(rest_N2, axis=1) > MOVED) & (mismatch_N > MISMATCH)
        moved.append(float(leaves_N.mean()))
        ratio, alignment = _parallax(rest_N2, apply_matrix(camera, a_N2) - a_N2)
        ratios.append(ratio)
        alignments.append(alignment)
    if not moved:
        return 0.0, 0.0, 0.0, 0.0
    return float(np.mean(moved)), max(moved), float(np.median(ratios)), float(np.median(alignments))


def _registered_pairs(
    gray_THW: np.ndarray, steps_P4: np.ndarray, fps: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield frames GAP_S apart, the later in register with the earlier, and the camera's motion [3, 3]."""
    gap = max(1, min(round(GAP_S * fps), len(gray_THW) - 1))
    for t in range(0, len(gray_THW) - gap, gap):
        camera = np.eye(3)
        for step in steps_P4[t : t + gap]:
            camera = np.vstack([matrix_of(step, gray_THW.shape[1:]), [0, 0, 1]]) @ camera
        yield gray_THW[t], warp_back(gray_THW[t + gap], camera), camera


def _mismatch(a_HW: np.ndarray, b_HW: np.ndarray, points_N2: np.ndarray) -> np.ndarray:
    """Return by about how many pixels the patches around points are out of register.

    Difference over gradient: the flow along an edge is arbitrary, but the edge itself lies where it is.
    """
    a, b = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), SMOOTH) for each in (a_HW, b_HW))
    dx, dy = cv2.Sobel(a, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(a, cv2.CV_32F, 0, 1, scale=1 / 8)
    gradient_HW = np.sqrt(np.maximum(cv2.blur(dx * dx + dy * dy, PATCH), 1e-3))
    x, y = points_N2.astype(int).T
    return local_spread(a - b)[y, x] / gradient_HW[y, x]


def _parallax(rest_N2: np.ndarray, camera_N2: np.ndarray) -> tuple[float, float]:
    """Return the part of the rest along the camera's flow, over that flow's length, and its alignment.

    Depth changes the length of the camera's flow but not its direction; objects move in any direction. What
    lies across the flow is taken off what lies along it; the alignment is their difference over their sum,
    1 for pure depth and about 0 for objects.
    """
    length = np.linalg.norm(camera_N2, axis=1)
    toward_N2 = camera_N2 / np.maximum(length, 1e-3)[:, None]
    along = np.clip((rest_N2 * toward_N2).sum(1), -8, 8)
    across = np.clip(rest_N2[:, 0] * toward_N2[:, 1] - rest_N2[:, 1] * toward_N2[:, 0], -8, 8)
    difference = float((along**2).mean() - (across**2).mean())
    alignment = difference / max(float((along**2).mean() + (across**2).mean()), 1e-6)
    ratio = np.sqrt(max(difference, 0.0)) / max(float(np.sqrt((length**2).mean())), 0.5)
    return float(ratio), max(alignment, 0.0)


def _inside(points_N2: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the points that the camera's motion keeps inside the frame, away from its edge."""
    to = apply_matrix(matrix, points_N2)
    inside = (to > MARGIN).all(1) & (to[:, 0] < shape[1] - MARGIN) & (to[:, 1] < shape[0] - MARGIN)
    return points_N2[inside]
