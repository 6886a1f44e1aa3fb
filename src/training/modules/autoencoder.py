"""Shared parts of the training modules of all autoencoders: discriminator, statistics of the latent.

Legend: C latent channels.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from src.training.config import TrainConfig
from src.training.modules.base import TrainingModule
from src.training.skipped_steps import GradientStep

Part = TypeVar("Part")
STATISTICS = ("latent_mean_C", "latent_std_C")


class AutoencoderModule(TrainingModule):
    """Base of modules that train one autoencoder and an optional `discriminator`, and keep the former's EMA.

    The checkpoint contains `latent_mean_C` and `latent_std_C`: running statistics of the training latents
    over about the last hundred batches. Exact ones, over a data set, come from encoding it.

    Args:
        has_discriminator: whether `networks` has a "discriminator" next to the one of `ema_networks`.
    """

    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(self, train: TrainConfig, latent_channels: int, has_discriminator: bool) -> None:
        super().__init__(train)
        self.has_discriminator = has_discriminator
        for name, value in zip(STATISTICS, (0.0, 1.0), strict=True):
            self.register_buffer(name, torch.full((latent_channels,), value))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        names = (*self.ema_networks, "discriminator") if self.has_discriminator else self.ema_networks
        return [self.make_optimizer(name) for name in names]

    def split_optimizers(self) -> tuple[LightningOptimizer, torch.optim.Optimizer | None]:
        """Return the optimizers of the autoencoder and of the discriminator (None if there is none).

        The latter is not stepped through Lightning, whose global_step would count two steps per batch.
        """
        found: Any = self.optimizers()
        first, *others = found if isinstance(found, list) else [found]
        return first, others[0].optimizer if others else None

    def step_discriminator(
        self,
        optimizer: torch.optim.Optimizer,
        parts: Sequence[tuple[Part, float]],
        loss_of: Callable[[Part], Tensor],
        ids: list[str],
    ) -> GradientStep:
        """Take one step of the discriminator.

        Args:
            parts: micro-batches and their loss weights.
            loss_of: the discriminator's loss on a micro-batch.
            ids: as for `apply_gradients`.
        """
        total = torch.zeros((), device=self.device)
        for number, (part, weight) in enumerate(parts, 1):
            self.accumulate_gradients([self.network("discriminator")], is_last=number == len(parts))
            loss = loss_of(part) * weight
            loss.backward()
            total += loss.detach()
        return self.apply_gradients(optimizer, total, ids)

    def update_latent_statistics(self, moments_2C: Tensor) -> None:
        """Move the running statistics towards a batch's mean and mean square, unless these are not finite.

        The first hundred batches count equally, later ones with weight 1/100.
        """
        weight = max(1 / (self.step + 1), 0.01)
        if self.step == 0:
            self.latent_std_C.zero_()
        square_C = self.latent_std_C**2 + self.latent_mean_C**2
        moments_2C = torch.where(
            torch.isfinite(moments_2C).all(), moments_2C, torch.stack([self.latent_mean_C, square_C])
        )
        self.latent_mean_C.lerp_(moments_2C[0], weight)
        square_C.lerp_(moments_2C[1], weight)
        self.latent_std_C.copy_((square_C - self.latent_mean_C**2).clamp_min(0).sqrt())
