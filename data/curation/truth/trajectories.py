"""Camera trajectories with a known label: pan, tilt, zoom, push, truck, pedestal, static, handheld."""

import numpy as np

from data.curation.truth.scenes import Camera

LABELS = (
    "pan right",
    "pan left",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "push in",
    "pull out",
    "truck right",
    "truck left",
    "pedestal up",
    "pedestal down",
    "static shot",
    "handheld shot",
)


def make_camera(
    rng: np.random.Generator, label: str, num_frames: int, fps: float, strength: float = 1.0
) -> Camera:
    """Return a trajectory of a label; `strength` scales its speed.

    A camera that turns or moves to the right shifts the image to the left; y points down.
    """
    t = np.arange(num_frames) / fps
    zero, one = np.zeros(num_frames), np.ones(num_frames)
    speed = strength * rng.uniform(0.08, 0.35)  # widths per second
    rate = strength * rng.uniform(0.08, 0.3)  # of size per second
    path = _ease(t, rng) * speed
    sign = -1 if label.endswith(("right", "down")) else 1
    if label.startswith("pan"):
        return Camera(zero, zero, zero, sign * path, zero, one)
    if label.startswith("tilt"):
        return Camera(zero, zero, zero, zero, sign * path, one)
    if label.startswith("zoom"):
        grow = np.exp((1 if label.endswith("in") else -1) * _ease(t, rng) * rate)
        return Camera(zero, zero, zero, zero, zero, grow)
    if label in ("push in", "pull out"):
        way = _ease(t, rng) * strength * rng.uniform(0.25, 0.6)
        return Camera(zero, zero, way if label == "push in" else -way, zero, zero, one)
    if label.startswith("truck"):
        return Camera(-sign * 3 * path, zero, zero, zero, zero, one)
    if label.startswith("pedestal"):
        return Camera(zero, -sign * 3 * path, zero, zero, zero, one)
    if label == "handheld shot":
        size = strength * rng.uniform(0.004, 0.01)
        return Camera(zero, zero, zero, tremor(rng, t, size), tremor(rng, t, size), one)
    assert label == "static shot"
    return Camera.still(num_frames)


def _ease(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return seconds, of constant speed or with a soft start and end."""
    if rng.random() < 0.6:
        return t
    phase = t / max(t[-1], 1e-6)
    return t[-1] * (0.5 * phase + 0.5 * (3 * phase**2 - 2 * phase**3))


def tremor(rng: np.random.Generator, t: np.ndarray, size: float) -> np.ndarray:
    """Return a hand's tremor: sines of 0.7 to 5 Hz, of `size` widths RMS."""
    waves = sum(
        rng.uniform(0.5, 1.0) / hz**0.7 * np.sin(2 * np.pi * (hz * t + rng.random()))
        for hz in rng.uniform(0.7, 5.0, 6)
    )
    return size * (waves - waves.mean()) / max(float(waves.std()), 1e-6)
