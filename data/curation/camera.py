"""Camera motion from optical flow: path, shake, and what moves against it.

The camera is a similarity (shift, scale, turn) per pair of frames, fitted robustly to dense flow, so it is
the motion of most of the area. Positions are in units of the frame's width, the origin in its middle.

Legend: T frames, P pairs of frames, N points, H height, W width.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data.curation.independent_motion import measure_independent_motion
from data.curation.similarity_fit import fit_similarity, make_flow, match_points, point_grid, step_of

INLIER = 0.6  # pixels, of RANSAC
STILL_PATH = 0.012  # camera path in widths below which the camera counts as still


@dataclass(frozen=True)
class CameraMotion:
    """Motion of the content per pair of frames, and what moves independently of it.

    `steps_P4`: shift in x and y (widths), log of the scale, turn (radians).
    `independent_fraction`: fraction of the textured area that leaves the camera's motion in half a second.
    `largest_fraction`: the same of the half second in which it is largest.
    `parallax`: spread of the camera's flow over depth, relative to the flow, within half a second.
    `alignment`: fraction of what leaves the camera's motion that lies along it, as depth does, 0 to 1.
    """

    steps_P4: np.ndarray
    fps: float
    independent_fraction: float
    largest_fraction: float
    parallax: float
    alignment: float

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
        """Fraction of the area that a still under a moving camera explains at any time: 1 if nothing moves.

        0 where the camera does not move: such a clip is static or has moving objects.
        """
        return 1.0 - self.largest_fraction if self.net_path > STILL_PATH else 0.0

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
            "parallax_alignment": self.alignment,
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
    flow, shape = make_flow(), gray_THW.shape[1:]
    points_N2 = point_grid(shape)
    steps = [
        step_of(fit_similarity(*match_points(flow, a, b, points_N2), INLIER), shape)
        for a, b in pairwise(gray_THW)
    ]
    steps_P4 = np.array(steps).reshape(-1, 4)
    measured = measure_independent_motion(flow, gray_THW, steps_P4, fps, points_N2)
    steps_P4[:, :2] /= shape[1]
    steps_P4 /= np.maximum(step_s * fps, 0.25)[:, None]  # where the rate varies: per 1 / fps
    return CameraMotion(steps_P4, fps, *measured)
