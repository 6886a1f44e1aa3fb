"""The flow-matching video transformer in training (paper section 3.1; spec 2, 4).

Legend: B batch, C channels, T frames, H height, W width (of the latent); L text tokens, D width.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from src.flow.config import SamplerConfig
from src.flow.loss import packed_velocity_loss, velocity_loss
from src.flow.noise import rand_slots, randn_slots, torch_generator
from src.flow.sampling import sample
from src.flow.timesteps import fixed_times, times_of
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.text.context import join_batches
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.streaming.batch import LatentBatch, LatentOrList
from src.streaming.pixels import to_uint8
from src.training.config import TrainConfig
from src.training.modules.base import BatchSize, TrainingModule
from src.training.modules.conditioning import Condition, TextCondition
from src.training.modules.first_frame import first_frames, known_channels
from src.training.modules.video_config import FlowConfig


class VideoModule(TrainingModule):
    """Text encoder and transformer, their averages, and the latent's statistics.

    Every random number is keyed by (seed, kind, step, slot in the global batch): nothing depends on
    the number of processes or workers, on where a run was interrupted, or on validation.

    Args:
        encoders: frozen text encoders by name, whose embeddings the batches carry; without any, a byte
            encoder is trained along.

    The latents' statistics are set before step 0 by `set_latent_statistics` and kept in the checkpoint.
    """

    averaged = ("text", "transformer")

    def __init__(
        self,
        transformer: TransformerConfig,
        text: ByteEncoderConfig,
        flow: FlowConfig,
        train: TrainConfig,
        encoders: dict[str, FrozenTextConfig] | None = None,
    ) -> None:
        super().__init__(train)
        known = transformer.latent_channels + 1
        if flow.first_frame and transformer.known_channels != known:
            given = transformer.known_channels
            raise ValueError(f"flow.first_frame needs transformer.known_channels={known}, got {given}")
        self.transformer_config, self.flow_config = transformer, flow
        self.condition = TextCondition(text, encoders or {}, transformer.context_dim)
        self.register_buffer("latent_mean_C", torch.zeros(transformer.latent_channels))
        self.register_buffer("latent_std_C", torch.ones(transformer.latent_channels))
        # What sample films need; set by whoever has a TAE. Not part of the module's state.
        self.decoder: Callable[[Tensor, int], Tensor] | None = None
        self.sample_prompts: list[str] = []
        self.sample_frames: int = 1
        self.sample_shape_CTHW: tuple[int, int, int, int] | None = None

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        return {
            "text": self.condition.network,
            "transformer": lambda: MediaTransformer(self.transformer_config),
        }

    def configure_optimizers(self) -> Any:
        return self.make_optimizer("text", "transformer")

    def set_latent_statistics(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Per-channel mean and standard deviation of the latents, from data.

        Raises:
            ValueError: wrong number of channels, or a deviation that is not positive and finite.
        """
        channels = self.transformer_config.latent_channels
        if mean_C.shape != (channels,) or std_C.shape != (channels,):
            raise ValueError(f"latent statistics have {len(mean_C)} channels, latent_channels is {channels}")
        if not bool((torch.isfinite(std_C) & (std_C > 0)).all()):
            raise ValueError(f"latent statistics: std must be positive and finite, got {std_C.tolist()}")
        self.latent_mean_C.copy_(mean_C)
        self.latent_std_C.copy_(std_C)

    def normalise(self, latent_BCTHW: Tensor) -> Tensor:
        """To zero mean and unit deviation per channel."""
        return (latent_BCTHW - self._channels(self.latent_mean_C)) / self._channels(self.latent_std_C)

    def denormalise(self, x_BCTHW: Tensor) -> Tensor:
        """Back to what the TAE decodes."""
        return x_BCTHW * self._channels(self.latent_std_C) + self._channels(self.latent_mean_C)

    @staticmethod
    def _channels(value_C: Tensor) -> Tensor:
        return value_C[None, :, None, None, None]

    def batch_size(self, batch: LatentBatch) -> BatchSize:
        patch = self.transformer_config.patch
        places = sum(film[0].numel() for film in batch.mean_BCTHW)
        return BatchSize(len(batch.global_indices), places // (patch[0] * patch[1] * patch[2]))

    # ---- training

    def training_step(self, batch: LatentBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        total = torch.zeros((), device=self.device)
        for part, weight in self.micro_batches(batch, self.text, self.transformer):
            loss = self.training_loss(part).mean() * weight
            self.manual_backward(loss)
            total += loss.detach()
        norm = self.apply_gradients(self.optimizers(), total, batch.ids)
        loss = self.across_processes(total)
        self.metrics = {"loss": float(loss), "grad_norm": norm, f"loss/{batch.stream}": float(loss)}
        self.batch_counter += 1

    def training_loss(self, batch: LatentBatch) -> Tensor:
        """Flow-matching loss of each sample; float32 [B]."""
        if batch.packed:  # each film as in a batch of its own, but for the transformer
            x, noise, t = zip(*(self._drawn(film) for film in batch.unpack()), strict=True)
            films = [[each[0] for each in many] for many in (x, noise)]
            return self.loss_at(*films, torch.cat(t), self._dropped(batch), None)
        c = self.flow_config
        known = None
        if c.first_frame:
            chance_B = rand_slots(
                self.train_config.seed, "train/first_frame", batch.step, batch.global_indices
            )
            known = self.known_of(batch, (chance_B < c.first_frame).to(self.device))
        return self.loss_at(*self._drawn(batch), self._dropped(batch), known)

    def _drawn(self, batch: LatentBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised latents, their noise and their times, of films of one size."""
        shape = tuple(batch.mean_BCTHW.shape[1:])

        def noise(kind: str, of: tuple[int, ...] = shape) -> Tensor:
            return randn_slots(of, self.train_config.seed, kind, batch.step, batch.global_indices).to(
                self.device
            )

        c = self.flow_config
        latent = batch.sample(noise("train/posterior")) if c.sample_posterior else batch.mean_BCTHW
        t_B = times_of(noise("train/time", ()), c.times, c.time_mean, c.time_std)
        return self.normalise(latent), noise("train/noise"), t_B

    def known_of(self, batch: LatentBatch, given_B: Tensor) -> Tensor:
        """What is known of a batch: first frames of some films (bool `given_B`), of pictures nothing."""
        return self.known(first_frames(batch), batch.mean_BCTHW.shape, given_B)

    def known(self, first_BC1HW: Tensor | None, shape: Sequence[int], given_B: Tensor) -> Tensor:
        """`known_channels` of first frames as the TAE encodes them."""
        normalised = None if first_BC1HW is None else self.normalise(first_BC1HW)
        return known_channels(normalised, shape, given_B)

    def _dropped(self, batch: LatentBatch) -> Condition:
        """The condition without what is dropped for guidance."""
        c = self.flow_config

        def uniform(kind: str) -> Tensor:
            return rand_slots(self.train_config.seed, f"train/{kind}", batch.step, batch.global_indices)

        return self.condition.dropped(batch, uniform, c.caption_drop, c.encoder_drop)

    def loss_at(
        self,
        x_BCTHW: LatentOrList,
        noise_BCTHW: LatentOrList,
        t_B: Tensor,
        condition: Condition,
        known_BCTHW: Tensor | None = None,
        *,
        averaged: bool = False,
    ) -> Tensor:
        """Squared velocity error of each sample, given everything random; float32 [B]."""
        text = self.network("text", averaged=averaged)
        transformer = self.network("transformer", averaged=averaged)
        with self.autocast():
            context = text.encode(condition)

            def velocity(x: LatentOrList, t: Tensor) -> LatentOrList:
                return transformer(x, t, context.tokens_BLD, context.mask_BL, known_BCTHW)

            loss = packed_velocity_loss if isinstance(x_BCTHW, list) else velocity_loss
            return loss(velocity, x_BCTHW, noise_BCTHW, t_B, self.flow_config.objective)

    # ---- validation

    def validation_times(self) -> Tensor:
        """Fixed times: the middles of equally likely parts of the training distribution."""
        c = self.flow_config
        quantiles = fixed_times(c.val_times).double()
        return times_of(torch.special.ndtri(quantiles), c.times, c.time_mean, c.time_std).float()

    def validation_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Loss of the averaged weights on fixed times and noise, keyed by the sample's id alone."""
        real = batch.real_B.bool()
        x = self.normalise(batch.mean_BCTHW)
        losses: list[Tensor] = []
        known = self.known_of(batch, torch.ones_like(real)) if self.flow_config.first_frame else None
        for number, time in enumerate(self.validation_times().tolist()):
            noise = validation_noise(x, batch.ids, number)
            t_B = torch.full((len(x),), time, device=x.device)
            loss_B = self.loss_at(x, noise, t_B, self.condition.of(batch), known, averaged=True)[real]
            self.add_val(f"val/loss_t{time:.2f}", loss_B)
            losses.append(loss_B)
        mean_B = torch.stack(losses).mean(0)
        self.add_val("val/loss", mean_B)
        self.add_val("val/loss_videos" if x.shape[2] > 1 else "val/loss_images", mean_B)

    # ---- sampling

    @torch.no_grad()
    def generate(
        self,
        prompts: list[str],
        shape_CTHW: tuple[int, int, int, int],
        seeds: list[int],
        sampler: SamplerConfig | None = None,
        *,
        negative: str = "",
        first_BC1HW: Tensor | None = None,
        averaged: bool = True,
        on_step: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Latents [B, C, T, H, W] for the TAE's decoder, one per prompt; the same for the same seeds.

        Args:
            prompts: as the model was trained to read them, FPS prefix included.
            seeds: one per prompt; noise depends on nothing else.
            negative: what guidance leads away from, instead of the null condition.
            first_BC1HW: latents of first frames, as the TAE encodes pictures, for a model that takes them.
        """
        sampler = sampler or self.flow_config.sampler
        text = self.network("text", averaged=averaged)
        transformer = self.network("transformer", averaged=averaged)
        noise = torch.stack(
            [torch.randn(shape_CTHW, generator=torch_generator(seed, "generate/noise")) for seed in seeds]
        ).to(self.device)
        extra: Tensor | None = None
        if first_BC1HW is not None:
            given_B = torch.ones(len(noise), dtype=torch.bool, device=self.device)
            extra = self.known(first_BC1HW.to(self.device), noise.shape, given_B)
            extra = torch.cat([extra, extra]) if sampler.uses_guidance else extra
        with self.autocast():
            context = text.encode(self.condition.read(prompts))
            if sampler.uses_guidance:
                context = join_batches(context, text.encode(self.condition.read([negative] * len(prompts))))

            # Keys and values of the text are the same at every step; sharded blocks have to make them anew.
            known: Any = context.tokens_BLD
            if not isinstance(transformer, FSDPModule):
                known = transformer.cache_context(context.tokens_BLD, context.mask_BL)

            def velocity(x: Tensor, t: Tensor) -> Tensor:
                return transformer(x, t, known, context.mask_BL, extra).float()

            objective = self.flow_config.objective
            return self.denormalise(sample(velocity, noise, sampler, on_step, objective))

    @torch.no_grad()
    def films(self) -> dict[str, Tensor]:
        """Films to look at, uint8 [T, 3, H, W] by title; empty without prompts or decoder."""
        if self.decoder is None or self.sample_shape_CTHW is None or not self.sample_prompts:
            return {}
        seeds = list(range(len(self.sample_prompts)))
        latents = self.generate(self.sample_prompts, self.sample_shape_CTHW, seeds)
        videos = self.decoder(latents, self.sample_frames)
        pixels = to_uint8(videos).transpose(1, 2).cpu()
        return dict(zip(self.sample_prompts, pixels, strict=True))


def validation_noise(x_BCTHW: Tensor, ids: list[str], number: int) -> Tensor:
    """Noise like x that depends on the samples' ids and the number of the time alone."""
    shape = x_BCTHW.shape[1:]
    each = [torch.randn(shape, generator=torch_generator(0, f"val/noise/{name}", number)) for name in ids]
    return torch.stack(each).to(x_BCTHW)
