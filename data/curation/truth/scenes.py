"""Rendered scenes of textured planes at several depths, seen by a camera whose motion is known.

Units: the frame is 1 wide at depth 1 and focal length 1. Turning the camera or changing its focal length
moves all depths alike; moving it shifts near planes more than far ones.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from data.curation.truth.textures import make_texture

BACKGROUND, OBJECT = 560, 160  # pixels of textures


@dataclass(frozen=True)
class Camera:
    """Trajectory: position, turn (as a shift of the image at focal length 1), focal length; all [T]."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    pan: np.ndarray
    tilt: np.ndarray
    focal: np.ndarray

    @staticmethod
    def still(num_frames: int) -> "Camera":
        zero = np.zeros(num_frames)
        return Camera(zero, zero, zero, zero, zero, np.ones(num_frames))


@dataclass
class Plane:
    """A textured rectangle (or ellipse) that faces the camera: middle, size, and its own motion per frame."""

    image_HWC: np.ndarray
    x: np.ndarray
    y: np.ndarray
    depth: float
    width: float
    height: float
    is_ellipse: bool = False
    is_endless: bool = False  # mirrored beyond its edges, however far the camera turns
    levels: list[np.ndarray] = field(default_factory=list)  # RGBA, each half the size of the one before

    def __post_init__(self) -> None:
        height, width = self.image_HWC.shape[:2]
        mask = np.full((height, width), 0 if self.is_ellipse else 255, np.uint8)
        if self.is_ellipse:
            middle = (width // 2, height // 2)
            cv2.ellipse(mask, middle, (middle[0] - 2, middle[1] - 2), 0, 0, 360, 255, -1)
        self.levels.append(np.dstack([self.image_HWC, mask]))
        while min(self.levels[-1].shape[:2]) > 32:
            self.levels.append(cv2.pyrDown(self.levels[-1]))


def make_background(
    rng: np.random.Generator, num_frames: int, depth: float = 6.0, is_endless: bool = False
) -> Plane:
    """Return a plane that fills the view of a camera of usual speed, or of any (`is_endless`)."""
    zero = np.zeros(num_frames)
    extent = 2.6 * depth
    return Plane(make_texture(rng, BACKGROUND), zero, zero, depth, extent, extent, is_endless=is_endless)


def make_object(
    rng: np.random.Generator, num_frames: int, depth: float, size: float, speed: float = 0.0
) -> Plane:
    """Return a plane of `size` widths that moves `speed` widths per frame, turning back at the edges."""
    angle = rng.uniform(0, 2 * np.pi)
    t = np.arange(num_frames)
    start = rng.uniform(-0.3, 0.3, 2)
    path = [_bounce(start[k] + (np.cos, np.sin)[k](angle) * speed * t, 0.4) * depth for k in range(2)]
    image = make_texture(rng, OBJECT)
    ellipse = bool(rng.random() < 0.6)
    height = size * rng.uniform(0.7, 1.3)
    return Plane(image, path[0], path[1], depth, size * depth, height * depth, ellipse)


def _bounce(values: np.ndarray, limit: float) -> np.ndarray:
    """Fold values into [-limit, limit], as at walls."""
    return np.abs((values + limit) % (4 * limit) - 2 * limit) - limit


def render(planes: list[Plane], camera: Camera, height: int, width: int) -> np.ndarray:
    """Return the frames [T, H, W, C]; the first plane is the farthest."""
    frames = []
    for t in range(len(camera.x)):
        frame = np.zeros((height, width, 3), np.uint8)
        for plane in planes:
            _draw(frame, plane, camera, t)
        frames.append(frame)
    return np.stack(frames)


def _draw(frame_HWC: np.ndarray, plane: Plane, camera: Camera, t: int) -> None:
    height, width = frame_HWC.shape[:2]
    distance = plane.depth - camera.z[t]
    if distance <= 0.2:
        return
    scale = camera.focal[t] / distance * width  # pixels per unit
    u = (plane.x[t] - camera.x[t]) * scale + camera.pan[t] * camera.focal[t] * width + width / 2
    v = (plane.y[t] - camera.y[t]) * scale + camera.tilt[t] * camera.focal[t] * width + height / 2
    texels = plane.levels[0].shape[1] / (plane.width * scale)  # per pixel; above 1 a smaller copy is drawn
    level = plane.levels[min(max(round(np.log2(max(texels, 1.0))), 0), len(plane.levels) - 1)]
    sx, sy = plane.width * scale / level.shape[1], plane.height * scale / level.shape[0]
    left, top = u - plane.width * scale / 2, v - plane.height * scale / 2
    x0, y0 = max(int(left), 0), max(int(top), 0)
    x1, y1 = min(int(left + plane.width * scale) + 2, width), min(int(top + plane.height * scale) + 2, height)
    if plane.is_endless:
        x0, y0, x1, y1 = 0, 0, width, height
    if x1 <= x0 or y1 <= y0:
        return
    matrix = np.array([[sx, 0, left - x0], [0, sy, top - y0]])
    border = cv2.BORDER_REFLECT if plane.is_endless else cv2.BORDER_CONSTANT
    drawn = cv2.warpAffine(level, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=border)
    part = frame_HWC[y0:y1, x0:x1]
    if not plane.is_ellipse and (x1 - x0, y1 - y0) == (width, height):
        part[:] = drawn[..., :3]
        return
    np.copyto(part, drawn[..., :3], where=drawn[..., 3:] > 127)


def add_noise(frames_THWC: np.ndarray, rng: np.random.Generator, std: float) -> np.ndarray:
    """Return the frames with a sensor's noise, new in every frame."""
    height, width = frames_THWC.shape[1:3]
    noise = rng.standard_normal((height + 64, width + 64, 3), np.float32) * std
    out = np.empty_like(frames_THWC)
    for frame, target, (y, x) in zip(frames_THWC, out, rng.integers(0, 64, (len(out), 2)), strict=True):
        target[:] = np.clip(frame + noise[y : y + height, x : x + width] + 0.5, 0, 255)
    return out
