"""Camera moves: center and scale of the view in every frame.

With a static camera the view is exactly the room, so the walls are the edges of the frame. A moving
camera is a little farther away, so that the full room stays in view and the walls are visible.
"""

import math

import numpy as np

from data.bounce.portable_random import PortableRandom

_SHIFT = 0.12  # room units that a pan or tilt moves to either side
_ZOOM = 1.36  # view height at the wide end of a zoom
_SHAKE = 0.04
_SHAKE_HZ = ((1.3, 3.1), (1.7, 3.7))


def camera_path(
    camera: str, num_frames: int, fps: float, room: tuple[float, float], random: PortableRandom
) -> np.ndarray:
    """Return the views of one video.

    Returns:
        float64 [T, 3]: x, y of the center in room units and the view's scale, the length in room units
        that the frame's shorter side shows.
    """
    path = np.empty((num_frames, 3))
    path[:] = room[0] / 2, room[1] / 2, 1.0
    along = np.arange(num_frames) / max(num_frames - 1, 1)
    if camera.startswith(("pan", "tilt")):
        sign = 1.0 if camera in ("pan right", "tilt down") else -1.0
        path[:, 0 if camera.startswith("pan") else 1] += sign * _SHIFT * (2 * along - 1)
        path[:, 2] = 1 + 2 * _SHIFT
    elif camera.startswith("zoom"):
        path[:, 2] = 1 + (_ZOOM - 1) * (1 - along if camera == "zoom in" else along)
    elif camera == "handheld shot":
        for axis in (0, 1):
            for hertz, weight in zip(_SHAKE_HZ[axis], (0.6, 0.4), strict=True):
                phase, speed = random.uniform(0, math.tau), hertz * random.uniform(0.85, 1.15) * math.tau
                path[:, axis] += [
                    _SHAKE * weight * math.sin(phase + speed * t / fps) for t in range(num_frames)
                ]
        path[:, 2] = 1 + 2 * _SHAKE
    else:
        assert camera == "static shot", camera
    return path
