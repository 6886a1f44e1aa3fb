"""The temporal autoencoder in training (paper section 3.1.1; spec 1.2, 1.3).

Legend: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.flow.noise import randn_slots
from src.losses.adversarial import adaptive_weight, discriminator_hinge, generator_hinge
from src.losses.latent import outlier_fraction, outlier_penalty, per_pixel_value
from src.losses.perceptual import PerceptualLoss
from src.losses.reconstruction import gradient_loss, l1_loss, mse_loss
from src.losses.video_metrics import film_scores
from src.models.config import DiscriminatorConfig
from src.models.discriminator import Discriminator
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE
from src.parallel.fsdp import set_gradient_sync
from src.streaming.batch import ClipBatch
from src.streaming.pixels import to_uint8
from src.training.config import TrainConfig
from src.training.modules import tae_init
from src.training.modules.base import BatchSize, TrainingModule
from src.training.modules.tae_config import TAELossConfig


class TAEModule(TrainingModule):
    """Autoencoder, its average, and an optional discriminator that starts late.

    Pictures and films come in batches of their own (one in four by the paper); to the model a picture
    is a film of one frame. The loss's gradient at the output film is taken apart from the rest: the
    adaptive weight compares gradients there, which works on sharded weights too and costs nothing,
    where Latent Diffusion compares them at the last layer's weight.

    Args:
        features: distance in some feature space for the perceptual term, which is logged under its name;
            not trained and not part of the checkpoint.

    The checkpoint holds `latent_mean_C` and `latent_std_C`: running statistics of the training latents over
    about the last hundred batches, for whoever trains on latents (whole data sets: the latents stage).
    """

    averaged = ("tae",)

    def __init__(
        self,
        tae: TAEConfig,
        losses: TAELossConfig,
        train: TrainConfig,
        discriminator: DiscriminatorConfig | None = None,
        features: PerceptualLoss | None = None,
    ) -> None:
        super().__init__(train)
        if losses.perceptual and features is None:
            raise ValueError(f"perceptual: {losses.perceptual} needs a feature network, and there is none")
        self.tae_config, self.losses = tae, losses
        self.discriminator_config = (discriminator or DiscriminatorConfig()) if losses.adversarial else None
        self._features = (features,)  # in a tuple, so that a module is not taken for a part of this one
        self._look: Tensor | None = None  # films of the first validation batch
        for name, start in (("latent_mean_C", 0.0), ("latent_std_C", 1.0)):
            self.register_buffer(name, torch.full((tae.latent_channels,), start))

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        found: dict[str, Callable[[], nn.Module]] = {"tae": lambda: TAE(self.tae_config)}
        config = self.discriminator_config
        if config is not None:
            found["discriminator"] = lambda: Discriminator(config)
        return found

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Inflates an image autoencoder's weights (ours or diffusers') where films are to be learned."""
        return tae_init.adapt(source, self.state_dict(keep_vars=True))

    def configure_optimizers(self) -> Any:
        optimizers = [self.make_optimizer("tae")]
        if self.discriminator_config is not None:
            optimizers.append(self.make_optimizer("discriminator"))
        return optimizers

    def batch_size(self, batch: ClipBatch) -> BatchSize:
        samples = len(batch.global_indices)
        _, T, H, W = self._latent_shape(batch.video_BCTHW)
        return BatchSize(samples, samples * T * H * W)

    def _latent_shape(self, video_BCTHW: Tensor) -> tuple[int, ...]:
        c, (T, H, W) = self.tae_config, video_BCTHW.shape[2:]
        return (c.latent_channels, c.num_latent_frames(T), H // c.spatial_factor, W // c.spatial_factor)

    # ---- training

    def training_step(self, batch: ClipBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        first, *others = self._optimizers()
        adversarial = bool(others) and self.step >= self.losses.adversarial_start
        parts: dict[str, Tensor] = {}
        fakes: list[tuple[ClipBatch, Tensor, float]] = []
        moments_2C = torch.zeros(2, self.tae_config.latent_channels, device=self.device)
        for part, weight in self.micro_batches(batch, self.tae):
            terms, fake, moments = self._backward(part, weight, adversarial)
            fakes.append((part, fake, weight))
            parts = {name: parts.get(name, 0) + value * weight for name, value in terms.items()}
            moments_2C = moments_2C + moments * weight
        parts["grad_norm"] = torch.tensor(self.apply_gradients(first, parts["loss"], batch.ids))
        if adversarial:
            # Not stepped through Lightning: its global_step would count two steps a batch.
            parts |= self._train_discriminator(others[0].optimizer, fakes, batch.ids)
        names = [name for name in parts if "grad_norm" not in name]
        means = self.across_processes(torch.stack([parts[name] for name in names])).tolist()
        self.metrics = dict(zip(names, means, strict=True))
        self.metrics |= {name: float(value) for name, value in parts.items() if "grad_norm" in name}
        self.metrics[f"loss/{batch.stream}"] = self.metrics["loss"]
        self._follow_latents(self.across_processes(moments_2C))
        self.batch_counter += 1

    def _follow_latents(self, moments_2C: Tensor) -> None:
        """Move the running statistics towards a batch's mean and mean square, by an equal share at first."""
        share = max(1 / (self.step + 1), 0.01)
        if self.step == 0:
            self.latent_std_C.zero_()
        square_C = self.latent_std_C**2 + self.latent_mean_C**2
        self.latent_mean_C.lerp_(moments_2C[0], share)
        square_C.lerp_(moments_2C[1], share)
        self.latent_std_C.copy_((square_C - self.latent_mean_C**2).clamp_min(0).sqrt())

    def _optimizers(self) -> list[Any]:
        found = self.optimizers()
        return found if isinstance(found, list) else [found]

    def _backward(
        self, batch: ClipBatch, weight: float, adversarial: bool
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Gradients of the autoencoder for one part of a batch.

        Returns:
            Its losses, the film it made, and each latent channel's mean and mean square, [2, C].
        """
        video = batch.pixels()
        noise = randn_slots(
            self._latent_shape(video),
            self.train_config.seed,
            "train/posterior",
            batch.step,
            batch.global_indices,
        ).to(self.device)
        with self.autocast():
            out = self.tae(video, noise)
        made = out.video_BCTHW.float()
        at_output = made.detach().requires_grad_()
        terms, gradient = self._output_terms(at_output, video, adversarial)
        latent_loss, latent_terms = self._latent_terms(out)
        torch.autograd.backward([made, latent_loss * weight], [gradient * weight, None])
        terms |= latent_terms
        terms["loss"] = terms["loss"] + latent_loss.detach()
        latent = out.latent_BCTHW.detach().float()
        moments_2C = torch.stack([latent.mean((0, 2, 3, 4)), latent.square().mean((0, 2, 3, 4))])
        return terms, made.detach(), moments_2C

    def _output_terms(
        self, made: Tensor, video: Tensor, adversarial: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Losses of the film that was made, and the gradient of their sum with respect to it."""
        c = self.losses
        distance = l1_loss if c.reconstruction == "l1" else mse_loss
        terms = {"reconstruction": distance(made, video)}
        total = terms["reconstruction"]
        if c.mse:
            terms["mse"] = mse_loss(made, video)
            total = total + c.mse * terms["mse"]
        if c.edges:
            terms["edges"] = gradient_loss(made, video)
            total = total + c.edges * terms["edges"]
        if c.perceptual:
            features = self._features[0].to(made.device)
            name = f"perceptual/{features.name}"
            terms[name] = features(made, video)
            total = total + c.perceptual * terms[name]
        gradient = torch.autograd.grad(total, made)[0]
        if adversarial:
            self.discriminator.requires_grad_(False)
            with self.autocast():
                logits = self.discriminator(made)
            terms["generator"] = generator_hinge(logits.float())
            push = torch.autograd.grad(terms["generator"], made)[0]
            self.discriminator.requires_grad_(True)
            scale = c.adversarial * (self._adaptive(gradient, push) if c.adaptive else torch.ones(()))
            gradient = gradient + scale * push
            total = total + scale * terms["generator"]
            terms["adversarial_weight"] = scale
        return {name: value.detach() for name, value in (terms | {"loss": total}).items()}, gradient

    def _adaptive(self, reconstruction: Tensor, push: Tensor) -> Tensor:
        """The weight for the global batch: squared norms are added up over processes first."""
        squares = torch.stack([reconstruction.square().sum(), push.square().sum()])
        return adaptive_weight(*self.across_processes(squares, "sum"))

    def _latent_terms(self, out: Any) -> tuple[Tensor, dict[str, Tensor]]:
        c, video = self.losses, out.video_BCTHW
        terms = {"kl": out.posterior.kl().mean()}
        total = c.kl * per_pixel_value(terms["kl"], video)
        if c.outlier:
            terms["outlier"] = outlier_penalty(out.latent_BCTHW, c.outlier_r)
            total = total + c.outlier * per_pixel_value(terms["outlier"], video)
        terms["outlier_fraction"] = outlier_fraction(out.latent_BCTHW)
        return total, {name: value.detach() for name, value in terms.items()}

    def _train_discriminator(
        self, optimizer: torch.optim.Optimizer, fakes: list[tuple[ClipBatch, Tensor, float]], ids: list[str]
    ) -> dict[str, Tensor]:
        total = torch.zeros((), device=self.device)
        for number, (part, fake, weight) in enumerate(fakes, 1):
            set_gradient_sync([self.discriminator], number == len(fakes))
            with self.autocast():
                real_logits, fake_logits = self.discriminator(part.pixels()), self.discriminator(fake)
            loss = discriminator_hinge(real_logits.float(), fake_logits.float()) * weight
            loss.backward()
            total += loss.detach()
        norm = self.apply_gradients(optimizer, total, ids)
        return {"discriminator": total, "discriminator/grad_norm": torch.tensor(norm)}

    # ---- validation

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """PSNR and SSIM of the averaged weights on the posterior's mean, frames weighing alike in a film."""
        video, real = batch.pixels(), batch.real_B.bool()
        with self.autocast():
            made = self.network("tae", averaged=True)(video).video_BCTHW.float().clamp(-1, 1)
        if batch_idx == 0:
            self._look = torch.stack([video[:4], made[:4]])
        kind = "videos" if video.shape[2] > 1 else "images"
        for name, values_B in film_scores(made, video).items():
            self.add_val(f"val/{name}", values_B[real])
            self.add_val(f"val/{name}_{kind}", values_B[real])

    def films(self) -> dict[str, Tensor]:
        """Originals (left) beside their reconstructions, from the latest validation."""
        if self._look is None:
            return {}
        pair_BCTHW = torch.cat(list(self._look), dim=4)
        pixels = to_uint8(pair_BCTHW).transpose(1, 2).cpu()
        return {f"sample {number}": film for number, film in enumerate(pixels)}
