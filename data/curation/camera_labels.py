"""Camera-motion labels with a confidence, from measured camera motion (Movie Gen, sec. 3.2.1).

14 of Movie Gen's 16 classes: an arc shot and a tracking shot cannot be distinguished from a truck and from a
still camera by the motion of the content alone. A confidence of 1 means that each value is a factor of two or
more away from the threshold that decides on it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.curation.config import CameraConfig

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
SHAKE_FPS = 12.0  # the score `shake` is per frame at this rate
ZOOM_LENGTH = 0.35  # widths that the content moves per unit of log scale, mean over the frame


def label_rows(rows: list[dict[str, Any]], config: CameraConfig) -> None:
    """Give clips with scores of the camera a label and its confidence."""
    for row in rows:
        if row.get("camera_x") is not None:
            row["camera_label"], row["camera_confidence"] = label_camera(row, config)


def label_camera(scores: Mapping[str, float], config: CameraConfig) -> tuple[str, float]:
    """Return the label and its confidence, 0 to 1, from the scores of the group `camera`."""
    x, y, zoom = scores["camera_x"], scores["camera_y"], scores["camera_zoom"]
    speeds = {"x": abs(x), "y": abs(y), "zoom": abs(zoom) * ZOOM_LENGTH}
    kind = max(speeds, key=lambda name: speeds[name])
    speed, shake, parallax = speeds[kind], scores["shake"], scores["parallax"]
    straight = scores["camera_net_path"] / max(scores["camera_path"], 1e-6)
    if shake > config.shake and straight < config.straight:
        return "handheld shot", min(_sureness(shake, config.shake), _sureness(straight, config.straight))
    moving = _sureness(speed, config.speed)
    if speed < config.speed:
        return "static shot", min(moving, _sureness_below(shake, config.shake))
    smooth = _sureness_below(shake / (100 * speed / SHAKE_FPS), config.roughness)
    purity = speed / sum(speeds.values())
    pure = _sureness(1 - purity, 1 - config.purity) if purity > config.purity else 0.0
    label = _name(kind, x, y, zoom, parallax > config.parallax)
    return label, min(smooth, moving, pure, _depth_sureness(scores, kind, speed, config))


def _depth_sureness(scores: Mapping[str, float], kind: str, speed: float, config: CameraConfig) -> float:
    """Return how sure it is that the camera moves, or that it turns: depth must be seen, or surely not."""
    parallax = scores["parallax"]
    if parallax > config.parallax:
        aligned = scores["parallax_alignment"]
        return min(
            _sureness(parallax, config.parallax),
            _sureness(aligned, config.alignment) if aligned > config.alignment else 0.0,
        )
    sure = min(
        _sureness_below(parallax, config.flat_parallax),
        _sureness_below(1 - scores["slideshow_score"], config.still_scene),
    )
    if kind == "zoom":
        sure = min(sure, _sureness(speed, config.zoom_speed) if speed > config.zoom_speed else 0.0)
    return sure


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


def _sureness_below(value: float, threshold: float) -> float:
    """Return 0 at the threshold and above, 1 from half of it on."""
    return _sureness(value, threshold) if value < threshold else 0.0
