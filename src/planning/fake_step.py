"""One training step of a TAE or codec on tensors without values: its peak of live bytes and its FLOPs.

The step is that of training, with its losses, its discriminator and autocast; only the optimizer is left out.
Nothing is computed, so a batch of a large model takes seconds on any machine.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import flop_registry

from src.core.errors import UserError
from src.models.perceptual_features import PerceptualLoss, build_perceptual_loss
from src.planning.live_bytes import LiveBytes
from src.runs.config import CodecRunConfig, TAERunConfig
from src.streaming.batch import AudioBatch, Batch, ClipBatch
from src.training.modules.codec import CodecModule
from src.training.modules.tae import TAEModule
from src.training.skipped_steps import GradientStep

AutoencoderRunConfig = TAERunConfig | CodecRunConfig


@dataclass(frozen=True)
class FakeStep:
    """Costs of one step: bytes of activations and gradients at the peak, FLOPs, trained parameters."""

    num_samples: int
    peak_bytes: int  # without weights and batch
    flops: int
    params: int  # of the autoencoder
    discriminator_params: int


class StepCounter(LiveBytes):
    """Counts FLOPs as well; torch's own FlopCounterMode does not bear gradients of inner tensors."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        return out


class _Stepped:
    """Overrides of a module: weights without values, no trainer, no optimizer."""

    def configure_model(self: Any) -> None:
        for name, factory in self.networks().items():
            setattr(self, name, factory())
        self.ema = nn.ModuleDict()

    def split_optimizers(self: Any) -> tuple[Any, Any]:
        return None, object() if self.has_discriminator else None

    def apply_gradients(
        self: Any, optimizer: Any, loss: Tensor, ids: list[str], **kwargs: Any
    ) -> GradientStep:
        if optimizer is not None:  # the discriminator's; the autoencoder's gradients wait for the optimizer
            self.discriminator.zero_grad(set_to_none=True)
        else:
            self.network(self.ema_networks[0]).zero_grad(set_to_none=True)
        zero = torch.zeros(())
        return GradientStep(zero, zero, zero)


def fake_step(stage: AutoencoderRunConfig, size: tuple[int, ...], num_samples: int) -> FakeStep:
    """Take one step.

    Args:
        size: frames, height and width of the clips, or the number of audio samples.
    """
    features = _perceptual_loss(stage)
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = _module(stage, features)
        with _no_truncation():
            module.configure_model()
        module.precision_name = stage.train.precision  # also where this CPU only emulates bf16
        module._step = step = max(stage.losses.gan_start, 1)
        batch = _batch(stage, size, num_samples, step)
        own = [*module.parameters(), *module.buffers()]
        gc.collect()
        with StepCounter(own) as live:
            before = live.live()
            module.train()
            module.training_step(batch, step)
    name = module.ema_networks[0]
    counts = {n: sum(p.numel() for p in module.network(n).parameters()) for n in module.networks()}
    return FakeStep(
        num_samples,
        live.peak - before,
        live.flops,
        counts[name],
        counts.get("discriminator", 0),
    )


@contextmanager
def _no_truncation() -> Iterator[None]:
    """Leave out torch's truncated normal initialization, which looks at values."""
    real = nn.init._no_grad_trunc_normal_
    nn.init._no_grad_trunc_normal_ = lambda tensor, *args, **kwargs: tensor  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.init._no_grad_trunc_normal_ = real


def _module(stage: AutoencoderRunConfig, features: PerceptualLoss | None) -> Any:
    train = replace(stage.train, num_micro_batches=1, ema_decay=0.0)
    if isinstance(stage, CodecRunConfig):
        codec = type("SteppedCodec", (_Stepped, CodecModule), {})
        return codec(stage.model, stage.losses, train, stage.discriminator)
    losses = stage.losses if features else replace(stage.losses, perceptual_weight=0.0)
    tae = type("SteppedTAE", (_Stepped, TAEModule), {})
    return tae(stage.model, losses, train, stage.discriminator, features)


def _perceptual_loss(stage: AutoencoderRunConfig) -> PerceptualLoss | None:
    """Return the feature network of a TAE's loss; None where its weights are not on this machine."""
    if isinstance(stage, CodecRunConfig) or not stage.losses.perceptual_weight:
        return None
    try:
        return build_perceptual_loss(stage.features)
    except UserError:
        return None


def has_perceptual_loss(stage: AutoencoderRunConfig) -> bool:
    """Return whether the step has all its losses: the weights of a feature network may not be here."""
    has_term = isinstance(stage, TAERunConfig) and bool(stage.losses.perceptual_weight)
    return not has_term or _perceptual_loss(stage) is not None


def _batch(stage: AutoencoderRunConfig, size: tuple[int, ...], num_samples: int, step: int) -> Batch:
    common: dict[str, Any] = {
        "ids": [str(i) for i in range(num_samples)],
        "global_indices": list(range(num_samples)),
        "stream": "clips",
        "bucket": "x".join(map(str, size)),
        "step": step,
        "captions": [""] * num_samples,
        "real_B": torch.ones(num_samples, dtype=torch.bool),
    }
    if isinstance(stage, CodecRunConfig):
        shape = (num_samples, stage.model.num_channels, *size)
        audio = torch.zeros(shape, dtype=torch.int16)
        return AudioBatch(audio_BCS=audio, sample_rate=stage.model.sample_rate, **common)
    video = torch.zeros((num_samples, 3, *size), dtype=torch.uint8)
    return ClipBatch(video_BCTHW=video, fps=[16.0] * num_samples, **common)
