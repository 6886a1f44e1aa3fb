"""Training and validation of the temporal autoencoder (Movie Gen, sec. 3.1.1).

Legend: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from src.flow.noise import randn_samples
from src.losses.adversarial import adaptive_weight, discriminator_hinge, generator_hinge
from src.losses.latent import outlier_fraction, outlier_penalty, per_pixel_value
from src.losses.perceptual import PerceptualLoss
from src.losses.reconstruction import gradient_loss, l1_loss, mse_loss
from src.losses.video_metrics import score_videos
from src.models.config import DiscriminatorConfig
from src.models.discriminator import Discriminator
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE, Reconstruction
from src.streaming.batch import ClipBatch
from src.training.config import TrainConfig
from src.training.modules import tae_init
from src.training.modules.autoencoder import AutoencoderModule
from src.training.modules.optimization import BatchSize
from src.training.modules.tae_config import TAELossConfig

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class OutputGradients:
    """Losses at a reconstruction; gradients there of the pixel terms and of the discriminator's term."""

    terms: Terms
    pixel_BCTHW: Tensor
    adversarial_BCTHW: Tensor | None

    def squared_norms(self) -> Tensor:
        """Return the squared norms of both gradients, [2]."""
        assert self.adversarial_BCTHW is not None
        return torch.stack([self.pixel_BCTHW.square().sum(), self.adversarial_BCTHW.square().sum()])


class TAEModule(AutoencoderModule):
    """Trains an autoencoder and an optional discriminator that starts later, and keeps the autoencoder's EMA.

    Images and videos come in separate batches (Movie Gen: one in four has images); an image is a video of one
    frame. The pixel terms' gradient is taken at the output video, separately from the rest of the backward
    pass: the adaptive weight compares gradients there. Latent Diffusion compares them at the last layer's
    weight, which costs one more backward pass and does not work on sharded weights.

    Args:
        features: distance in some feature space for the perceptual term, logged under its name; not trained
            and not part of the checkpoint.
    """

    ema_networks = ("tae",)
    tae: TAE
    discriminator: Discriminator

    def __init__(
        self,
        tae: TAEConfig,
        losses: TAELossConfig,
        train: TrainConfig,
        discriminator: DiscriminatorConfig | None = None,
        features: PerceptualLoss | None = None,
    ) -> None:
        super().__init__(train, tae.latent_channels, has_discriminator=bool(losses.gan_weight))
        if losses.perceptual_weight and features is None:
            raise ValueError(
                f"perceptual_weight={losses.perceptual_weight} needs a feature network, got none"
            )
        self.tae_config, self.losses = tae, losses
        self.discriminator_config = (discriminator or DiscriminatorConfig()) if losses.gan_weight else None
        self._features = (features,)  # in a tuple, so that it is not registered as a submodule

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        found: dict[str, Callable[[], nn.Module]] = {"tae": lambda: TAE(self.tae_config)}
        config = self.discriminator_config
        if config is not None:
            found["discriminator"] = lambda: Discriminator(config)
        return found

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert weights in diffusers' layout, and inflate those of an image autoencoder."""
        return tae_init.adapt_weights(source, self.state_dict(keep_vars=True))

    def batch_size(self, batch: ClipBatch) -> BatchSize:
        _, T, H, W = self._latent_shape(batch.video_BCTHW)
        return BatchSize(len(batch), len(batch) * T * H * W)

    def _latent_shape(self, video_BCTHW: Tensor) -> tuple[int, ...]:
        c, (T, H, W) = self.tae_config, video_BCTHW.shape[2:]
        return (c.latent_channels, c.num_latent_frames(T), H // c.spatial_factor, W // c.spatial_factor)

    # ---- training

    def training_step(self, batch: ClipBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        optimizer, discriminator_optimizer = self.split_optimizers()
        adversarial = discriminator_optimizer is not None and self.step >= self.losses.gan_start
        terms: Terms = {}
        fakes: list[tuple[tuple[ClipBatch, Tensor], float]] = []
        moments_2C = torch.zeros(2, self.tae_config.latent_channels, device=self.device)
        adaptive = self._adaptive_weight_of_parts(batch) if adversarial else None
        for part, weight in self.micro_batches(batch, self.tae):
            part_terms, fake, part_moments_2C = self._backward(part, weight, adversarial, adaptive)
            fakes.append(((part, fake), weight))
            terms = {name: terms.get(name, 0) + value * weight for name, value in part_terms.items()}
            moments_2C = moments_2C + part_moments_2C * weight
        result = self.apply_gradients(optimizer, terms.pop("loss"), batch.ids)
        self.metrics = {
            "loss": result.loss,
            "grad_norm": result.grad_norm,
            f"loss_{batch.stream}": result.loss,
        }
        if adversarial and discriminator_optimizer is not None:
            result = self.step_discriminator(
                discriminator_optimizer, fakes, self._discriminator_loss, batch.ids
            )
            self.metrics |= {"discriminator": result.loss, "discriminator_grad_norm": result.grad_norm}
        self.device_metrics = terms
        self.update_latent_statistics(self.reduce_over_ranks(moments_2C))
        self.advance_step()

    def _adaptive_weight_of_parts(self, batch: ClipBatch) -> Tensor | None:
        """Return the adaptive weight of all micro-batches together, from a forward pass of their own.

        None where the only part's own gradients decide, in `_backward`, or where the weight is constant.
        """
        if self.train_config.num_micro_batches == 1 or not self.losses.adaptive_gan_weight:
            return None
        squares_2 = torch.zeros(2, device=self.device)
        for part, weight in self.micro_batches(batch):
            video = part.pixels()
            with torch.no_grad():
                reconstruction = self._reconstruct(part, video).video_BCTHW.float()
            output = self._output_gradients(reconstruction.requires_grad_(), video, adversarial=True)
            squares_2 += output.squared_norms() * weight**2
        return self._adaptive_weight(squares_2)

    def _reconstruct(self, batch: ClipBatch, video: Tensor) -> Reconstruction:
        noise = randn_samples(
            self._latent_shape(video),
            self.train_config.seed,
            "train/posterior",
            batch.step,
            batch.global_indices,
            self.device,
        )
        with self.autocast():
            return cast(Reconstruction, self.tae(video, noise))

    def _backward(
        self, batch: ClipBatch, weight: float, adversarial: bool, adaptive: Tensor | None = None
    ) -> tuple[Terms, Tensor, Tensor]:
        """Compute the autoencoder's gradients for one micro-batch.

        Args:
            adaptive: adaptive weight of the adversarial term; None: from this micro-batch's gradients.

        Returns:
            Its losses, its reconstruction, and mean and mean square of each latent channel, [2, C].
        """
        video = batch.pixels()
        out = self._reconstruct(batch, video)
        reconstruction = out.video_BCTHW.float()
        at_output = reconstruction.detach().requires_grad_()  # cuts the graph where gradients are compared
        output = self._output_gradients(at_output, video, adversarial)
        terms, gradient = output.terms, output.pixel_BCTHW
        if output.adversarial_BCTHW is not None:
            if not self.losses.adaptive_gan_weight:
                adaptive = torch.ones((), device=gradient.device)
            elif adaptive is None:
                adaptive = self._adaptive_weight(output.squared_norms() * weight**2)
            terms["gan_weight"] = self.losses.gan_weight * adaptive
            terms["loss"] = terms["loss"] + terms["gan_weight"] * terms["generator"]
            gradient = gradient + terms["gan_weight"] * output.adversarial_BCTHW
        latent_loss, latent_terms = self._latent_terms(out)
        torch.autograd.backward([reconstruction, latent_loss * weight], [gradient * weight, None])
        terms |= latent_terms
        terms["loss"] = terms["loss"] + latent_loss.detach()
        latent = out.latent_BCTHW.detach().float()
        moments_2C = torch.stack([latent.mean((0, 2, 3, 4)), latent.square().mean((0, 2, 3, 4))])
        return terms, reconstruction.detach(), moments_2C

    def _output_gradients(self, reconstruction: Tensor, video: Tensor, adversarial: bool) -> OutputGradients:
        """Return the losses at the output video and their gradients with respect to it."""
        c = self.losses
        distance = l1_loss if c.reconstruction == "l1" else mse_loss
        terms = {"reconstruction": distance(reconstruction, video)}
        total = terms["reconstruction"]
        if c.mse_weight:
            terms["mse"] = mse_loss(reconstruction, video)
            total = total + c.mse_weight * terms["mse"]
        if c.gradient_weight:
            terms["gradient"] = gradient_loss(reconstruction, video)
            total = total + c.gradient_weight * terms["gradient"]
        features = self._features[0]
        if c.perceptual_weight and features is not None:
            features.to(reconstruction.device)
            name = f"perceptual_{features.name}"
            terms[name] = features(reconstruction, video)
            total = total + c.perceptual_weight * terms[name]
        terms["loss"] = total
        pixel = torch.autograd.grad(total, reconstruction)[0]
        adversarial_gradient = None
        if adversarial:
            # the discriminator's own gradients come from its own loss, in `_discriminator_loss`
            self.discriminator.requires_grad_(False)
            with self.autocast():
                logits = self.discriminator(reconstruction)
            terms["generator"] = generator_hinge(logits.float())
            adversarial_gradient = torch.autograd.grad(terms["generator"], reconstruction)[0]
            self.discriminator.requires_grad_(True)
        detached = {name: value.detach() for name, value in terms.items()}
        return OutputGradients(detached, pixel, adversarial_gradient)

    def _adaptive_weight(self, squares_2: Tensor) -> Tensor:
        """Return the adaptive weight of the global batch: squared norms are summed over processes first."""
        return adaptive_weight(*self.reduce_over_ranks(squares_2, "sum"))

    def _latent_terms(self, out: Reconstruction) -> tuple[Tensor, Terms]:
        c, video = self.losses, out.video_BCTHW
        terms = {"kl": out.posterior.kl().mean()}
        total = c.kl_weight * per_pixel_value(terms["kl"], video[0])
        if c.opl_weight:
            terms["opl"] = outlier_penalty(out.latent_BCTHW, c.opl_r)
            total = total + c.opl_weight * per_pixel_value(terms["opl"], video[0, :, 0])
        terms["outlier_fraction"] = outlier_fraction(out.latent_BCTHW)
        return total, {name: value.detach() for name, value in terms.items()}

    def _discriminator_loss(self, part: tuple[ClipBatch, Tensor]) -> Tensor:
        """Return the discriminator's loss on real clips and their reconstructions."""
        batch, fake = part
        with self.autocast():
            real_logits, fake_logits = self.discriminator(batch.pixels()), self.discriminator(fake)
        return discriminator_hinge(real_logits.float(), fake_logits.float())

    # ---- validation

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Add PSNR and SSIM of the EMA's reconstructions, which are returned, to the validation means.

        Reconstructions are those of the posterior's mean; the scores of a video are means over its frames.
        """
        video, real_B = batch.pixels(), batch.real_B.bool()
        with self.autocast():
            out = cast(Reconstruction, self.network("tae", ema=True)(video))
        reconstruction = out.video_BCTHW.float().clamp(-1, 1)
        kind = "videos" if video.shape[2] > 1 else "images"
        for name, values_B in score_videos(reconstruction, video).items():
            self.update_val_mean(f"val/{name}", values_B[real_B])
            self.update_val_mean(f"val/{name}_{kind}", values_B[real_B])
        return reconstruction
