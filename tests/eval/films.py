"""Small films for tests."""

import numpy as np


def waves(seed: int, num: int = 6, side: int = 32) -> np.ndarray:
    """uint8 [num, side, side, 3]: coloured gratings that drift."""
    rng = np.random.default_rng(seed)
    t, y, x = np.mgrid[:num, :side, :side]
    planes = []
    for _ in range(3):
        kx, ky, speed = rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.8), rng.uniform(0.5, 1.5)
        planes.append(rng.uniform(80, 170) + 60 * np.sin(kx * x + ky * y + speed * t))
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)
