"""Losses of discriminator and autoencoder (as generator), and the adaptive weight of the latter.

Hinge losses are those of the temporal autoencoder: logits may have any shape, every loss is a mean over all
of them. Least-squares losses and feature matching are those of audio codecs: each of several discriminators
counts by its own mean, and these are summed.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the discriminator's loss, which pushes real logits above 1 and fake ones below -1; a scalar."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """Return the autoencoder's loss against the discriminator; a scalar."""
    return -fake_logits.mean()


def discriminator_lsgan_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the loss of discriminators that pushes real logits to 1 and fake ones to 0; a scalar.

    Args:
        real, fake: logits of each discriminator.
    """
    both = zip(real, fake, strict=True)
    return torch.stack([(1 - r).square().mean() + f.square().mean() for r, f in both]).sum()


def generator_lsgan_loss(fake: Sequence[Tensor]) -> Tensor:
    """Return the autoencoder's loss against several discriminators; a scalar."""
    return torch.stack([(1 - f).square().mean() for f in fake]).sum()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the absolute differences of feature maps, summed over layers and discriminators; a scalar.

    Args:
        real, fake: feature maps of each discriminator; those of real audio are constants.
    """
    pairs = [(r, f) for a, b in zip(real, fake, strict=True) for r, f in zip(a, b, strict=True)]
    return torch.stack([(r.detach() - f).abs().mean() for r, f in pairs]).sum()


def squared_gradient_norms(losses: list[Tensor], at: Tensor) -> Tensor:
    """Return the squared norm of each loss's gradient at one tensor; [len(losses)], detached.

    `at` is the decoder's output, where Latent Diffusion takes its last weight: no parameter is involved, so
    weights may be sharded. Data-parallel processes sum these before they take the ratio, which gives the
    weight of one process with the full batch.
    """
    gradients = [torch.autograd.grad(loss, at, retain_graph=True)[0] for loss in losses]
    return torch.stack([g.detach().float().square().sum() for g in gradients])


def adaptive_weight(reconstruction_norm2: Tensor, adversarial_norm2: Tensor, limit: float = 1e4) -> Tensor:
    """Return the weight that equalizes the gradient norms of both losses (VQGAN); a detached scalar.

    Args:
        reconstruction_norm2, adversarial_norm2: squared gradient norms, summed over all processes.
        limit: maximum weight.
    """
    weight = reconstruction_norm2.sqrt() / (adversarial_norm2.sqrt() + 1e-8)
    return weight.detach().clamp(0.0, limit)
