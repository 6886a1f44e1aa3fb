"""v-prediction diffusion with zero terminal SNR, the objective of Emu Video: an ablation of flow matching.

Variance is preserved: x = cos(phi) x_1 + sin(phi) x_0 for data x_1, noise x_0 and the angle phi of the noise
schedule at a time. The prediction target v = dx/dphi = cos(phi) x_0 - sin(phi) x_1 (Salimans and Ho, 2022)
rotates x by any angle exactly, which is the DDIM step. Time runs as in the rest of the package: 0 is noise,
1 is data.

Shapes: ... is any shape after the batch dimension B.
"""

import math
from functools import cache

import torch
from torch import Tensor

from src.flow.path import PathSample
from src.flow.solvers import OnStep, Velocity, expand_time

NUM_BETAS = 1000
BETAS = (0.00085, 0.012)  # first and last; their square roots are equally spaced (Latent Diffusion)


@cache
def _angles() -> Tensor:
    """Return phi at NUM_BETAS equally spaced times from noise (exactly pi / 2) to data; float64.

    The square roots of the cumulative alphas are shifted and scaled so that the noisiest has zero SNR and the
    cleanest is unchanged (Lin et al., 2024, algorithm 1).
    """
    roots = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, NUM_BETAS, dtype=torch.float64)
    signal = (1 - roots.square()).cumprod(0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return signal.clamp(0, 1).acos().flip(0)


def angle(t: Tensor) -> Tensor:
    """Return the schedule's angle in (0, pi / 2] at times in [0, 1], interpolated linearly; float64."""
    angles = _angles().to(t.device)
    position = t.double().clamp(0, 1) * (NUM_BETAS - 1)
    low = position.floor().long().clamp(max=NUM_BETAS - 2)
    return torch.lerp(angles[low], angles[low + 1], position - low)


def sample_diffusion_path(data: Tensor, noise: Tensor, t_B: Tensor) -> PathSample:
    """Return x = cos(phi) data + sin(phi) noise and v = cos(phi) noise - sin(phi) data.

    Args:
        data, noise: [B, ...]
        t_B: times in [0, 1]; at 0 the point is pure noise.
    """
    phi = angle(t_B).reshape(-1, *[1] * (data.dim() - 1))
    cos, sin = phi.cos().to(data.dtype), phi.sin().to(data.dtype)
    return PathSample(cos * data + sin * noise, cos * noise - sin * data)


def ddim(velocity: Velocity, x: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Integrate with DDIM, deterministic and of first order: each step rotates x by its angle."""
    phi = angle(times).tolist()
    phi[-1] = 0.0  # the schedule leaves residual noise at t = 1: force exact data
    for i, t in enumerate(times.double().tolist()[:-1]):
        rotation = phi[i] - phi[i + 1]
        x = math.cos(rotation) * x - math.sin(rotation) * velocity(x, expand_time(t, x)).to(x.dtype)
        if on_step is not None:
            on_step(i, x)
    return x
