"""Hinge losses of a discriminator and its adversary, and the adversary's adaptive weight.

Logits may have any shape; every loss is a mean over all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Loss of the discriminator: real above 1, fake below -1; a scalar."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """Loss of the autoencoder against the discriminator; a scalar."""
    return -fake_logits.mean()


def squared_gradient_norms(losses: list[Tensor], at: Tensor) -> Tensor:
    """Squared norm of each loss's gradient at one tensor; [len(losses)], without gradient.

    With `at` the decoder's output (and not its last weight, as Latent Diffusion takes) this works when the
    weights are sharded: no parameter is touched. Data-parallel processes add these up before the ratio is
    taken, and get the weight that one process with the whole batch gets.
    """
    gradients = [torch.autograd.grad(loss, at, retain_graph=True)[0] for loss in losses]
    return torch.stack([g.detach().float().square().sum() for g in gradients])


def adaptive_weight(reconstruction_norm2: Tensor, adversarial_norm2: Tensor, limit: float = 1e4) -> Tensor:
    """Weight that gives both losses' gradients the same norm (VQGAN's rule); a scalar without gradient.

    Args:
        reconstruction_norm2, adversarial_norm2: squared gradient norms, summed over all processes.
        limit: the largest weight.
    """
    weight = reconstruction_norm2.sqrt() / (adversarial_norm2.sqrt() + 1e-8)
    return weight.detach().clamp(0.0, limit)
