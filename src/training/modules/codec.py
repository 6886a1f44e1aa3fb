"""Training and validation of the audio codec (Movie Gen, sec. 6).

Legend: B batch, C channels, S samples, L latent frames, N signals (channels folded into the batch).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from src.core.rng import numpy_generator
from src.flow.noise import randn_samples
from src.losses import audio as distances
from src.losses.adversarial import discriminator_lsgan_loss, feature_matching, generator_lsgan_loss
from src.losses.audio import fold_channels
from src.models.codec.config import AudioDiscriminatorConfig, CodecConfig
from src.models.codec.descript import from_descript, is_descript
from src.models.codec.discriminators import AudioDiscriminator
from src.models.codec.model import Codec, CodecOutput
from src.streaming.batch import AudioBatch
from src.training.config import TrainConfig
from src.training.modules.autoencoder import AutoencoderModule
from src.training.modules.codec_config import CodecLossConfig
from src.training.modules.optimization import BatchSize

Terms = dict[str, Tensor]


class CodecModule(AutoencoderModule):
    """Trains a codec against spectral distances and optional discriminators, and keeps the codec's EMA.

    Weights of the terms are constants, so the terms add up and one backward pass suffices. Discriminators see
    each channel as a signal of its own.
    """

    ema_networks = ("codec",)
    codec: Codec
    discriminator: AudioDiscriminator

    def __init__(
        self,
        codec: CodecConfig,
        losses: CodecLossConfig,
        train: TrainConfig,
        discriminator: AudioDiscriminatorConfig | None = None,
    ) -> None:
        super().__init__(train, codec.latent_channels, has_discriminator=bool(losses.gan_weight))
        self.codec_config, self.losses = codec, losses
        self.discriminator_config = discriminator or AudioDiscriminatorConfig()

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        found: dict[str, Callable[[], nn.Module]] = {"codec": lambda: Codec(self.codec_config)}
        if self.has_discriminator:
            found["discriminator"] = lambda: AudioDiscriminator(self.discriminator_config)
        return found

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert weights in the published layout of DAC; others are returned as they are."""
        if not is_descript(source):
            return source
        return from_descript(source, self.state_dict(keep_vars=True))

    def batch_size(self, batch: AudioBatch) -> BatchSize:
        num_samples = batch.audio_BCS.shape[-1]
        return BatchSize(len(batch), len(batch) * self.codec_config.num_latent_frames(num_samples))

    # ---- training

    def training_step(self, batch: AudioBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        optimizer, discriminator_optimizer = self.split_optimizers()
        adversarial = discriminator_optimizer is not None and self.step >= self.losses.gan_start
        terms: Terms = {}
        fakes: list[tuple[tuple[Tensor, Tensor], float]] = []
        moments_2C = torch.zeros(2, self.codec_config.latent_channels, device=self.device)
        for part, weight in self.micro_batches(batch, self.codec):
            audio = part.audio()
            out = self._reconstruct(part, audio)
            part_terms = self._terms(out, audio, adversarial)
            (part_terms["loss"] * weight).backward()
            fakes.append(((audio, out.audio_BCS.detach()), weight))
            detached = {name: value.detach() for name, value in part_terms.items()}
            terms = {name: terms.get(name, 0) + value * weight for name, value in detached.items()}
            latent = out.latent_BCL.detach().float()
            moments_2C += torch.stack([latent.mean((0, 2)), latent.square().mean((0, 2))]) * weight
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

    def _reconstruct(self, batch: AudioBatch, audio_BCS: Tensor) -> CodecOutput:
        shape = (self.codec_config.latent_channels, self.codec_config.num_latent_frames(audio_BCS.shape[-1]))
        noise = randn_samples(
            shape, self.train_config.seed, "train/posterior", batch.step, batch.global_indices, self.device
        )
        with self.autocast():
            return cast(CodecOutput, self.codec(audio_BCS, noise))

    def _terms(self, out: CodecOutput, audio_BCS: Tensor, adversarial: bool) -> Terms:
        """Return every term without its weight, and their weighted sum as `loss`."""
        c = self.losses
        x_NS, target_NS = fold_channels(out.audio_BCS), fold_channels(audio_BCS)
        terms: Terms = {"kl": out.posterior.kl_frames().mean()}
        weights = {"kl": c.kl_weight}
        rate = self.codec_config.sample_rate
        mel = partial(distances.mel_distance, sample_rate=rate, floor=c.mel_floor, square=c.mel_square)
        root_mel = partial(distances.root_mel_distance, sample_rate=rate)
        calls: dict[str, tuple[float, Callable[..., Tensor], tuple[Sequence[int], ...]]] = {
            "mel": (c.mel_weight, mel, (c.mel_windows, c.mel_bands)),
            "root_mel": (c.root_mel_weight, root_mel, (c.root_mel_windows, c.root_mel_bands)),
            "stft": (c.stft_weight, distances.stft_distance, (c.stft_windows,)),
            "complex": (c.complex_weight, distances.complex_distance, (c.stft_windows,)),
        }
        for name, (weight, distance, windows) in calls.items():
            if weight:
                drawn, scale = self._draw_windows(name, windows)
                sizes = dict(zip(("windows", "bands"), drawn, strict=False))
                terms[name], weights[name] = scale * distance(x_NS, target_NS, **sizes).mean(), weight
        if c.waveform_weight:
            terms["waveform"] = distances.relative_error(x_NS, target_NS).mean()
            weights["waveform"] = c.waveform_weight
        if c.ratio_weight:
            terms["ratio"] = distances.log_error_ratio(x_NS, target_NS).mean()
            weights["ratio"] = c.ratio_weight
        if adversarial:
            terms["generator"], terms["features"] = self._generator_terms(out.audio_BCS, audio_BCS)
            weights |= {"generator": c.gan_weight, "features": c.feature_weight}
        terms["loss"] = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        return terms

    def _draw_windows(
        self, name: str, windows: tuple[Sequence[int], ...]
    ) -> tuple[tuple[Sequence[int], ...], float]:
        """Return the windows (and bands) of a distance in this step, and the factor that scales to all."""
        total = len(windows[0])
        num = min(self.losses.num_windows or total, total)
        chosen = numpy_generator(self.train_config.seed, f"train/{name}_windows", self.step).permutation(
            total
        )[:num]
        return tuple([each[i] for i in chosen] for each in windows), total / num

    def _generator_terms(self, fake_BCS: Tensor, real_BCS: Tensor) -> tuple[Tensor, Tensor]:
        # the discriminator's own gradients come from its own loss, in `_discriminator_loss`
        self.discriminator.requires_grad_(False)
        with self.autocast():
            fake = self.discriminator(fake_BCS)
            with torch.no_grad():
                real = self.discriminator(real_BCS)
        self.discriminator.requires_grad_(True)
        generator = generator_lsgan_loss([outputs[-1].float() for outputs in fake])
        return generator, feature_matching([o[:-1] for o in real], [o[:-1] for o in fake]).float()

    def _discriminator_loss(self, part: tuple[Tensor, Tensor]) -> Tensor:
        """Return the discriminators' loss on real audio and its reconstruction."""
        with self.autocast():
            real, fake = (self.discriminator(audio_BCS) for audio_BCS in part)
        return discriminator_lsgan_loss([o[-1].float() for o in real], [o[-1].float() for o in fake])

    # ---- validation

    def validation_step(self, batch: AudioBatch, batch_idx: int) -> Tensor:
        """Add distances and SI-SDR of the EMA's reconstructions, which are returned, to the validation means.

        Reconstructions are those of the posterior's mean. `val/loss` is the mel distance over all windows.
        SI-SDR of silence is not defined; `val/silent` is the fraction of channels that its mean leaves out.
        """
        c, audio, real_B = self.losses, batch.audio(), batch.real_B.bool()
        with self.autocast():
            out = cast(CodecOutput, self.network("codec", ema=True)(audio))
        x_NS, target_NS = fold_channels(out.audio_BCS[real_B]), fold_channels(audio[real_B])
        rate = self.codec_config.sample_rate
        mel = distances.mel_distance(x_NS, target_NS, rate, c.mel_windows, c.mel_bands)
        self.update_val_mean("val/loss", mel)
        self.update_val_mean("val/stft", distances.stft_distance(x_NS, target_NS, c.stft_windows))
        ratio = distances.si_sdr(out.audio_BCS[real_B].flatten(0, 1), audio[real_B].flatten(0, 1))
        self.update_val_mean("val/si_sdr", ratio[~ratio.isnan()])
        self.update_val_mean("val/silent", ratio.isnan().float())
        return out.audio_BCS
