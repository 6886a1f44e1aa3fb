"""The straight (optimal transport) path from noise to data (Movie Gen, sec. 3.1.2).

Shapes: ... is any shape after the batch dimension B.
"""

from dataclasses import dataclass

from torch import Tensor

SIGMA_MIN = 1e-5


@dataclass(frozen=True)
class PathSample:
    """A point of the path and its velocity."""

    x_t: Tensor
    velocity: Tensor


def sample_path(data: Tensor, noise: Tensor, t_B: Tensor, sigma_min: float = SIGMA_MIN) -> PathSample:
    """Return x_t = t x_1 + (1 - (1 - sigma_min) t) x_0 and v = x_1 - (1 - sigma_min) x_0.

    Args:
        data: x_1 [B, ...]
        noise: x_0 [B, ...], standard normal
        t_B: flow times in [0, 1]; at 0 the point is the noise, at 1 the data plus sigma_min times the noise.
    """
    t = t_B.reshape(-1, *[1] * (data.dim() - 1)).to(data.dtype)
    x_t = t * data + (1 - (1 - sigma_min) * t) * noise
    return PathSample(x_t, data - (1 - sigma_min) * noise)


def predict_data(x_t: Tensor, velocity: Tensor, t_B: Tensor, sigma_min: float = SIGMA_MIN) -> Tensor:
    """Return the data x_1 that a velocity at x_t points to: the equations of the path solved for x_1."""
    t = t_B.reshape(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)
    return (1 - sigma_min) * x_t + (1 - (1 - sigma_min) * t) * velocity
