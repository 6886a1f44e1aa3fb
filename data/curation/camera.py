"""Camera motion from optical flow: path, shake, what moves against it, and labels.

The camera is a similarity (shift, scale, turn) per pair of frames, fitted robustly to dense flow, so it is
the motion of most of the area. Positions are in units of the frame's width, the origin in its middle.

Legend: T frames, P pairs of frames, N points, H height, W width.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

STEP = 4  # pixels between the points that flow is read at
MIN_TEXTURE = 3.0  # standard deviation around a point, in gray levels; flow of flat areas is a guess
MIN_POINTS = 24
INLIER = 0.6  # pixels, of RANSAC
GAP_S = 0.5  # between the frames that independent motion is measured on
MOVED = 1.0  # pixels by which a point must leave the camera's motion within GAP_S
STILL_PATH = 0.012  # camera path in widths below which the camera counts as still


@dataclass(frozen=True)
class CameraMotion:
    """Motion of the content per pair of frames, and what moves independently of it.

    `steps_P4`: shift in x and y (widths), log of the scale, turn (radians).
    `independent_fraction`: fraction of the textured area that leaves the camera's motion within GAP_S.
    `parallax`: spread of the camera's flow over depth, relative to the flow, within GAP_S.
    """

    steps_P4: np.ndarray
    fps: float
    independent_fraction: float
    parallax: float

    @property
    def path(self) -> float:
        """Displacement that the camera gives the content in all, in widths; zoom and turn at the edges."""
        return float(self._lengths(self.steps_P4).sum()) if len(self.steps_P4) else 0.0

    @property
    def net_path(self) -> float:
        """Length of the sum of all steps: shaking does not add up, moving does."""
        return float(self._lengths(self.steps_P4.sum(0, keepdims=True))[0]) if len(self.steps_P4) else 0.0

    @staticmethod
    def _lengths(steps_P4: np.ndarray) -> np.ndarray:
        shift = np.hypot(steps_P4[:, 0], steps_P4[:, 1])
        return shift + 0.35 * np.hypot(steps_P4[:, 2], steps_P4[:, 3])  # mean distance from the middle

    @property
    def shake(self) -> float:
        """RMS of the second difference of the camera's shift, percent of the width per frame at 12 fps."""
        if len(self.steps_P4) < 2:
            return 0.0
        acceleration = np.diff(self.steps_P4[:, :2], axis=0) * (self.fps / 12.0) ** 2
        return float(100 * np.sqrt((acceleration**2).sum(1).mean()))

    @property
    def slideshow_score(self) -> float:
        """Fraction of the motion that a still under a moving camera explains: 1 if nothing else moves.

        0 where the camera does not move: such a clip is static or has moving objects.
        """
        return 1.0 - self.independent_fraction if self.net_path > STILL_PATH else 0.0

    def scores(self) -> dict[str, float]:
        """Return the scores of the group `camera`."""
        x, y, zoom = (
            (float(v) for v in self.steps_P4[:, :3].mean(0) * self.fps) if len(self.steps_P4) else (0, 0, 0)
        )
        return {
            "camera_x": x,
            "camera_y": y,
            "camera_zoom": zoom,
            "camera_speed": self.path * self.fps / max(len(self.steps_P4), 1),
            "parallax": self.parallax,
            "shake": self.shake,
            "camera_path": self.path,
            "camera_net_path": self.net_path,
            "independent_motion": self.independent_fraction,
            "slideshow_score": self.slideshow_score,
        }


def measure_camera(gray_THW: np.ndarray, times_T: np.ndarray) -> CameraMotion:
    """Fit the camera's motion between successive frames, and look for what does not follow it."""
    step_s = np.diff(times_T)
    fps = 1 / max(float(np.median(step_s)), 1e-6) if len(step_s) else 1.0
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    points_N2 = _grid(gray_THW.shape[1:])
    width = gray_THW.shape[2]
    steps = []
    for a, b in pairwise(gray_THW):
        matrix = _fit(*_matches(flow, a, b, points_N2), INLIER)
        steps.append(_step_of(matrix, gray_THW.shape[1:]))
    steps_P4 = np.array(steps).reshape(-1, 4)
    independent, parallax = _independent(flow, gray_THW, steps_P4, fps, points_N2)
    steps_P4[:, :2] /= width
    steps_P4 /= np.maximum(step_s * fps, 0.25)[:, None]  # where the rate varies: per 1 / fps
    return CameraMotion(steps_P4, fps, independent, parallax)


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape
    y, x = np.mgrid[STEP : height - STEP : STEP, STEP : width - STEP : STEP]
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def _matches(
    flow: cv2.DISOpticalFlow, a_HW: np.ndarray, b_HW: np.ndarray, points_N2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return points with texture and where the flow carries them."""
    field = flow.calc(a_HW, b_HW, None)
    values = a_HW.astype(np.float32)
    mean = cv2.blur(values, (7, 7))
    spread = np.sqrt(np.maximum(cv2.blur(values * values, (7, 7)) - mean * mean, 0))
    x, y = points_N2.astype(int).T
    textured = spread[y, x] > MIN_TEXTURE
    start = points_N2[textured]
    return start, start + field[y, x][textured]


def _fit(a_N2: np.ndarray, b_N2: np.ndarray, inlier: float) -> np.ndarray:
    """Return the similarity [2, 3] that most points follow; the identity if there are too few points."""
    if len(a_N2) >= MIN_POINTS:
        matrix, _ = cv2.estimateAffinePartial2D(
            a_N2, b_N2, method=cv2.RANSAC, ransacReprojThreshold=inlier, maxIters=200, refineIters=5
        )
        if matrix is not None:
            return matrix
    return np.eye(2, 3)


def _step_of(matrix: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return shift of the middle (pixels), log scale and turn of a similarity."""
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    shift = matrix[:, :2] @ middle + matrix[:, 2] - middle
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    return shift[0], shift[1], float(np.log(max(scale, 1e-6))), float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def _matrix_of(step: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    turn, scale = step[3], np.exp(step[2])
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, middle + step[:2] - linear @ middle])


def _independent(
    flow: cv2.DISOpticalFlow, gray_THW: np.ndarray, steps_P4: np.ndarray, fps: float, points_N2: np.ndarray
) -> tuple[float, float]:
    """Return the fraction of the area that leaves the camera's motion, and the parallax.

    The camera's own steps bring two frames GAP_S apart into register; the flow that is left is fitted once
    more, since small errors of the steps add up.
    """
    gap = max(1, min(round(GAP_S * fps), len(gray_THW) - 1))
    shape = gray_THW.shape[1:]
    moved, ratios = [], []
    for t in range(0, len(gray_THW) - gap, gap):
        chained = np.eye(3)
        for step in steps_P4[t : t + gap]:
            chained = np.vstack([_matrix_of(step, shape), [0, 0, 1]]) @ chained
        back = cv2.warpAffine(
            gray_THW[t + gap],
            chained[:2],
            shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        a, b = _matches(flow, gray_THW[t], back, _inside(points_N2, chained, shape))
        if len(a) < MIN_POINTS:
            continue
        matrix = _fit(a, b, MOVED)
        rest_N2 = b - (a @ matrix[:, :2].T + matrix[:, 2])
        camera_N2 = a @ chained[:2, :2].T + chained[:2, 2] - a
        moved.append(float((np.linalg.norm(rest_N2, axis=1) > MOVED).mean()))
        ratios.append(_aligned_ratio(rest_N2, camera_N2))
    return (float(np.mean(moved)), float(np.median(ratios))) if moved else (0.0, 0.0)


def _aligned_ratio(rest_N2: np.ndarray, camera_N2: np.ndarray) -> float:
    """Return how much of the rest lies along the camera's flow, more than across it, over that flow's length.

    Depth changes the length of the camera's flow but not its direction; objects move in any direction.
    """
    length = np.linalg.norm(camera_N2, axis=1)
    along = np.clip((rest_N2 * camera_N2).sum(1) / np.maximum(length, 1e-3), -8, 8)
    across = np.clip(
        (rest_N2[:, 0] * camera_N2[:, 1] - rest_N2[:, 1] * camera_N2[:, 0]) / np.maximum(length, 1e-3), -8, 8
    )
    excess = np.sqrt(max(float((along**2).mean() - (across**2).mean()), 0.0))
    return excess / max(float(np.sqrt((length**2).mean())), 0.5)


def _inside(points_N2: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the points that the camera's motion keeps inside the frame, away from its edge."""
    to = points_N2 @ matrix[:2, :2].T + matrix[:2, 2]
    margin = 10  # the flow of a point is read from patches around it
    inside = (to > margin).all(1) & (to[:, 0] < shape[1] - margin) & (to[:, 1] < shape[0] - margin)
    return points_N2[inside]
