"""Constructed clips per filter: those that it must reject and those that it must keep.

Each maker takes a generator, whether the clip must be rejected, and a strength: 1 for the clips that
thresholds are set and scored on, below for borderline ones of the curves.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from collections.abc import Callable

import cv2
import numpy as np

from data.curation.truth.overlays import add_border, add_text
from data.curation.truth.scenes import Camera, Plane, add_noise, make_background, make_object, render
from data.curation.truth.textures import make_texture
from data.curation.truth.trajectories import make_camera, tremor

FPS, NUM_FRAMES = 16.0, 40
SIZES = ((224, 224), (176, 304), (304, 176), (192, 256))
SMOOTH = ("pan right", "pan left", "tilt up", "tilt down", "zoom in", "zoom out", "push in", "truck left")


def random_size(rng: np.random.Generator) -> tuple[int, int]:
    """Return height and width, landscape or portrait."""
    return SIZES[rng.integers(len(SIZES))]


def make_scene(
    rng: np.random.Generator,
    camera: Camera | None = None,
    speeds: tuple[float, float] = (0.003, 0.018),
    sizes: tuple[float, float] = (0.15, 0.4),
    num_objects: int | None = None,
    noise: float | None = None,
    is_endless: bool = False,
) -> np.ndarray:
    """Return a scene with objects that move: an ordinary good clip."""
    if camera is None:
        camera = make_camera(
            rng, str(rng.choice([*SMOOTH, "static shot", "static shot", "handheld shot"])), NUM_FRAMES, FPS
        )
    planes = [make_background(rng, NUM_FRAMES, is_endless=is_endless)]
    for _ in range(int(rng.integers(1, 5)) if num_objects is None else num_objects):
        speed = rng.uniform(*speeds)
        planes.append(make_object(rng, NUM_FRAMES, rng.uniform(1.5, 4), rng.uniform(*sizes), speed))
    planes[1:] = sorted(planes[1:], key=lambda plane: -plane.depth)
    frames = render(planes, camera, *random_size(rng))
    return add_noise(frames, rng, rng.uniform(0, 3) if noise is None else noise)


def text(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """Subtitles, titles and watermarks of 12 to 30 pixels (times strength) on scenes."""
    frames = make_scene(rng)
    return add_text(frames, rng, max(4, round(rng.uniform(14, 30) * strength))) if reject else frames


def borders(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """Bars of 5 to 20 % of the side (times strength); else scenes, at night and on plain backgrounds too.

    What stands on a plain background is round: a rectangle on it is a framed image.
    """
    if reject:
        return add_border(make_scene(rng), rng, rng.uniform(0.05, 0.2) * strength)
    kind = rng.integers(4)
    if kind == 0:  # a plain background with an object on it
        plain = Plane(
            np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8), *np.zeros((2, NUM_FRAMES)), 6, 20, 20
        )
        moving = make_object(rng, NUM_FRAMES, 2.0, rng.uniform(0.3, 0.6), 0.006)
        moving = Plane(moving.image_HWC, moving.x, moving.y, 2.0, moving.width, moving.height, True)
        return add_noise(render([plain, moving], Camera.still(NUM_FRAMES), *random_size(rng)), rng, 1.5)
    frames = make_scene(rng)
    if kind == 1:  # night
        return (frames * rng.uniform(0.15, 0.35)).astype(np.uint8)
    return frames


def scene_cuts(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """Hard cuts, dissolves and fades; else fast motion, flashes, changes of exposure.

    `strength` is the weight of the second scene: 1 replaces the first one, 0 is no cut.
    """
    if not reject:
        return _uncut(rng)
    size = SIZES[rng.integers(len(SIZES))]
    a, b = (_resized(make_scene(rng), size) for _ in range(2))
    b = (b * strength + a * (1 - strength)).astype(np.uint8)
    at = int(rng.integers(14, NUM_FRAMES - 14))
    kind = rng.integers(3)
    if kind == 0:
        return np.concatenate([a[:at], b[at:]])
    length = int(rng.integers(6, 16))
    ramp = np.clip((np.arange(NUM_FRAMES) - at + length / 2) / length, 0, 1)[:, None, None, None]
    if kind == 1:
        return (a * (1 - ramp) + b * ramp).astype(np.uint8)
    return (a * (1 - ramp * strength)).astype(np.uint8)  # to black


def _uncut(rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(4)
    if kind == 0:
        label = str(rng.choice(["pan right", "pan left", "tilt up", "handheld shot"]))
        return make_scene(rng, make_camera(rng, label, NUM_FRAMES, FPS, 2.0), is_endless=True)
    frames = make_scene(rng).astype(np.float32)
    if kind == 1:  # a flash
        at = int(rng.integers(8, NUM_FRAMES - 8))
        frames[at : at + int(rng.integers(1, 4))] += rng.uniform(60, 150)
    elif kind == 2:  # exposure
        frames *= np.linspace(1, rng.uniform(0.6, 1.4), NUM_FRAMES)[:, None, None, None]
    return np.clip(frames, 0, 255).astype(np.uint8)


def jitter(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """Violent shaking, dropped frames in a moving shot, cuts in quick succession; else smooth or handheld."""
    if not reject:
        return make_scene(rng)
    kind = rng.integers(3)
    t = np.arange(NUM_FRAMES) / FPS
    if kind == 0:
        zero, one = np.zeros(NUM_FRAMES), np.ones(NUM_FRAMES)
        fast = [tremor(rng, t * 2.5, strength * rng.uniform(0.03, 0.06)) for _ in range(2)]
        return make_scene(rng, Camera(zero, zero, zero, *fast, one))
    if kind == 1:
        label = str(rng.choice(["pan right", "pan left", "tilt up", "tilt down"]))
        frames = make_scene(rng, make_camera(rng, label, NUM_FRAMES, FPS, 3.0 * strength))
        held = np.arange(NUM_FRAMES) // 5 * 5  # about three frames a second
        return frames[held]
    size = SIZES[rng.integers(len(SIZES))]
    shots = [_resized(make_scene(rng), size) for _ in range(5)]
    length = NUM_FRAMES // len(shots)
    return np.concatenate([shot[:length] for shot in shots])


def static(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """A still with a sensor's noise or flicker; else an object (or the camera) that moves.

    For the curve, `strength` scales the speed of the object in a clip to keep.
    """
    if not reject:
        if rng.random() < 0.5:
            speeds = (0.006 * strength, 0.018 * strength)
            return make_scene(rng, Camera.still(NUM_FRAMES), speeds, (0.15, 0.4), int(rng.integers(1, 4)))
        return make_scene(rng, make_camera(rng, str(rng.choice(SMOOTH)), NUM_FRAMES, FPS, strength), (0, 0))
    still = np.repeat(make_scene(rng, Camera.still(NUM_FRAMES), (0, 0), noise=0)[:1], NUM_FRAMES, 0)
    frames = add_noise(still, rng, rng.uniform(0, 5)).astype(np.float32)
    if rng.random() < 0.4:
        frames *= 1 + 0.05 * np.sin(np.arange(NUM_FRAMES) * rng.uniform(0.1, 2))[:, None, None, None]
    return np.clip(frames, 0, 255).astype(np.uint8)


def slideshow(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """A still that is zoomed, panned or turned; else objects that move before a moving or still camera.

    For the curve, `strength` scales the speed of the objects in a clip to keep.
    """
    if not reject:
        label = str(rng.choice([*SMOOTH, "static shot", "handheld shot"]))
        camera = make_camera(rng, label, NUM_FRAMES, FPS)
        return make_scene(
            rng, camera, (0.006 * strength, 0.018 * strength), (0.2, 0.4), int(rng.integers(2, 5))
        )
    size = random_size(rng)
    still = (
        make_texture(rng, 700)
        if rng.random() < 0.5
        else _resized(make_scene(rng, Camera.still(NUM_FRAMES), (0, 0), noise=0)[:1], (700, 700))[0]
    )
    return add_noise(_ken_burns(still, rng, size), rng, rng.uniform(0, 1.5))


def _ken_burns(still_HWC: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a slow zoom, pan and turn over a still."""
    height, width = size
    phase = np.linspace(0, 1, NUM_FRAMES)
    phase = phase if rng.random() < 0.5 else 3 * phase**2 - 2 * phase**3
    zoom = 1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.3) * phase
    shift = rng.uniform(-0.15, 0.15, 2)
    turn = np.deg2rad(rng.uniform(-4, 4)) * (rng.random() < 0.3)
    scale = 2.2 * max(height, width) / still_HWC.shape[0]
    middle = np.array(still_HWC.shape[1::-1]) / 2
    frames = []
    for p, z in zip(phase, zoom, strict=True):
        s, a = scale * z, turn * p
        linear = s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        to = np.array([width / 2 + shift[0] * p * width, height / 2 + shift[1] * p * height])
        matrix = np.column_stack([linear, to - linear @ middle])
        small = cv2.warpAffine(
            still_HWC, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        frames.append(small)
    return np.stack(frames)


def camera_scene(rng: np.random.Generator, label: str, strength: float = 1.0) -> np.ndarray:
    """Return a scene with depth before a camera of a known label; in half of them one or two objects move."""
    camera = make_camera(rng, label, NUM_FRAMES, FPS, strength)
    planes = [make_background(rng, NUM_FRAMES)]
    num_moving = int(rng.integers(0, 3)) * int(rng.random() < 0.5)
    for number in range(int(rng.integers(4, 8))):
        speed = rng.uniform(0.004, 0.012) if number < num_moving else 0.0
        planes.append(make_object(rng, NUM_FRAMES, rng.uniform(1.5, 4), rng.uniform(0.15, 0.35), speed))
    planes[1:] = sorted(planes[1:], key=lambda plane: -plane.depth)
    return add_noise(render(planes, camera, *random_size(rng)), rng, rng.uniform(0, 2))


def motion(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """Hardly any motion, or far too much; else a reasonable amount."""
    if not reject:
        return make_scene(rng, speeds=(0.006, 0.018))
    if rng.random() < 0.5:
        speeds = (0.0, 0.0004 / max(strength, 1e-3))
        return make_scene(rng, Camera.still(NUM_FRAMES), speeds, (0.05, 0.12), 1, rng.uniform(0, 1.5))
    label = str(rng.choice(["pan right", "pan left", "tilt up", "tilt down"]))
    return make_scene(rng, make_camera(rng, label, NUM_FRAMES, FPS, 7.0 * strength), (0.05, 0.1))


def subject(rng: np.random.Generator, reject: bool, strength: float = 1.0) -> np.ndarray:
    """One object of 4 to 12 % of the width (over strength) that moves, too small; else one of 35 to 60 %."""
    sizes = (0.04 / strength, min(0.12 / strength, 0.6)) if reject else (0.35, 0.6)
    return make_scene(rng, Camera.still(NUM_FRAMES), (0.012, 0.03), sizes, 1)


def _resized(frames_THWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack([cv2.resize(f, size[::-1], interpolation=cv2.INTER_LINEAR) for f in frames_THWC])


MAKERS: dict[str, Callable[[np.random.Generator, bool, float], np.ndarray]] = {
    "text": text,
    "borders": borders,
    "scene_cuts": scene_cuts,
    "motion": motion,
    "jitter": jitter,
    "static": static,
    "slideshow": slideshow,
    "subject": subject,
}
