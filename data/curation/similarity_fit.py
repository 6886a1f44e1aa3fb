"""Robust similarities (shift, scale, turn) between two frames, fitted to dense optical flow.

Legend: N points, H height, W width; images are gray, uint8.
"""

import cv2
import numpy as np

STEP = 4  # pixels between the points that flow is read at
MIN_TEXTURE = 3.0  # standard deviation around a point, in gray levels; flow of flat areas is a guess
MIN_POINTS = 24
PATCH = (7, 7)  # pixels around a point that its texture is measured in
REACH = 2.5  # pixels: farther points have no weight when a fit is refined


def make_flow() -> cv2.DISOpticalFlow:
    """Return the optical flow that all fits start from."""
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def point_grid(shape: tuple[int, ...]) -> np.ndarray:
    """Return points [N, 2] (x, y), STEP apart."""
    height, width = shape
    y, x = np.mgrid[STEP : height - STEP : STEP, STEP : width - STEP : STEP]
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def match_points(
    flow: cv2.DISOpticalFlow, a_HW: np.ndarray, b_HW: np.ndarray, points_N2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return points with texture and where the flow carries them."""
    field = flow.calc(a_HW, b_HW, None)
    spread = local_spread(a_HW.astype(np.float32))
    x, y = points_N2.astype(int).T
    textured = spread[y, x] > MIN_TEXTURE
    start = points_N2[textured]
    return start, start + field[y, x][textured]


def local_spread(values_HW: np.ndarray) -> np.ndarray:
    """Return the standard deviation of float32 values in the patch around each point."""
    mean = cv2.blur(values_HW, PATCH)
    return np.sqrt(np.maximum(cv2.blur(values_HW * values_HW, PATCH) - mean * mean, 0))


def fit_similarity(a_N2: np.ndarray, b_N2: np.ndarray, inlier: float) -> np.ndarray:
    """Return the similarity [2, 3] that most points follow; the identity if there are too few points."""
    if len(a_N2) >= MIN_POINTS:
        matrix, _ = cv2.estimateAffinePartial2D(
            a_N2, b_N2, method=cv2.RANSAC, ransacReprojThreshold=inlier, maxIters=200, refineIters=5
        )
        if matrix is not None:
            return matrix
    return np.eye(2, 3)


def refine_similarity(matrix_23: np.ndarray, a_N2: np.ndarray, b_N2: np.ndarray) -> np.ndarray:
    """Return the similarity fitted again with Tukey's weights, which let points near to it take part.

    RANSAC's majority may stand close together; what is far away then seems to move.
    """
    for reach in (REACH, REACH, 0.75 * REACH, 0.5 * REACH):
        rest_N = np.linalg.norm(apply_matrix(matrix_23, a_N2) - b_N2, axis=1)
        weights_N = np.clip(1 - (rest_N / reach) ** 2, 0, None) ** 2
        if (weights_N > 0).sum() < MIN_POINTS:
            break
        matrix_23 = _weighted_similarity(a_N2, b_N2, weights_N)
    return matrix_23


def _weighted_similarity(a_N2: np.ndarray, b_N2: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
    w = (weights_N / weights_N.sum())[:, None]
    mean_a, mean_b = (w * a_N2).sum(0), (w * b_N2).sum(0)
    a, b = a_N2 - mean_a, b_N2 - mean_b
    size = max(float((w * a * a).sum()), 1e-6)
    cosine = float((w * a * b).sum()) / size
    sine = float((w[:, 0] * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])).sum()) / size
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, mean_b - linear @ mean_a])


def apply_matrix(matrix: np.ndarray, points_N2: np.ndarray) -> np.ndarray:
    """Return points moved by a similarity [2, 3] or [3, 3]."""
    return points_N2 @ matrix[:2, :2].T + matrix[:2, 2]


def step_of(matrix_23: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return shift of the middle (pixels), log scale and turn of a similarity."""
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    shift = matrix_23[:, :2] @ middle + matrix_23[:, 2] - middle
    scale = np.hypot(matrix_23[0, 0], matrix_23[1, 0])
    turn = np.arctan2(matrix_23[1, 0], matrix_23[0, 0])
    return shift[0], shift[1], float(np.log(max(scale, 1e-6))), float(turn)


def matrix_of(step: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the similarity [2, 3] of a step: the inverse of `step_of`."""
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    turn, scale = step[3], np.exp(step[2])
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, middle + step[:2] - linear @ middle])


def warp_back(image_HW: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return an image brought into register with the frame that the similarity starts from."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = image_HW.shape[::-1]
    return cv2.warpAffine(image_HW, matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
