"""Camera-motion labels with a confidence, from measured camera motion (Movie Gen, sec. 3.2.1).

14 of Movie Gen's 16 classes: an arc shot and a tracking shot cannot be distinguished from a truck and from a
still camera by the motion of the content alone. A confidence of 1 means that each value is a factor of two or
more away from the threshold that decides on it.
"""

import numpy as np

from data.curation.camera import CameraMotion

LABELS = (
    "zoom in",
    "zoom out",
    "push in",
    "pull out",
    "pan right",
    "pan left",
    "truck right",
    "truck left",
    "tilt up",
    "tilt down",
    "pedestal up",
    "pedestal down",
    "static shot",
    "handheld shot",
)
STILL = 0.02  # widths per second of the content
SHAKY = 0.45  # percent of the width: see CameraMotion.shake
PARALLAX = 0.09  # above: the camera moves; below: it turns, or its focal length changes
PURE = 0.6  # fraction of the fastest kind of motion in all of it
ZOOM_LENGTH = 0.35  # widths that the content moves per unit of log scale, mean over the frame


def label_camera(motion: CameraMotion) -> tuple[str, float]:
    """Return the label and its confidence, 0 to 1."""
    if not len(motion.steps_P4):
        return "static shot", 0.0
    x, y, zoom = (float(v) for v in motion.steps_P4[:, :3].mean(0) * motion.fps)
    speeds = {"x": abs(x), "y": abs(y), "zoom": abs(zoom) * ZOOM_LENGTH}
    kind = max(speeds, key=lambda name: speeds[name])
    speed, shake = speeds[kind], motion.shake
    steady = _sureness(shake, SHAKY)
    if shake > SHAKY and motion.net_path < 0.5 * motion.path:
        return "handheld shot", min(steady, _sureness(motion.net_path / motion.path, 0.5))
    if speed < STILL:
        return "static shot", min(steady, _sureness(speed, STILL))
    pure = speed / sum(speeds.values())
    confidence = min(steady, _sureness(speed, STILL), _sureness(1 - pure, 1 - PURE) if pure > PURE else 0.0)
    confidence = min(confidence, _sureness(motion.parallax, PARALLAX))
    return _name(kind, x, y, zoom, motion.parallax > PARALLAX), confidence


def _name(kind: str, x: float, y: float, zoom: float, moves: bool) -> str:
    """Return the label of the fastest motion; content that moves left means a camera that turns right."""
    if kind == "zoom":
        return ("push in" if zoom > 0 else "pull out") if moves else ("zoom in" if zoom > 0 else "zoom out")
    if kind == "x":
        return ("truck " if moves else "pan ") + ("right" if x < 0 else "left")
    return ("pedestal " if moves else "tilt ") + ("down" if y < 0 else "up")


def _sureness(value: float, threshold: float) -> float:
    """Return 0 at the threshold, 1 from a factor of two away on."""
    return float(np.clip(abs(np.log2(max(value, 1e-6) / threshold)), 0, 1))
