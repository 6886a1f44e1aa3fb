"""Sample audio latents from text, videos and known audio (Movie Gen, sec. 6.1).

Legend: B batch, C channels, N latent frames ([B, C, N, 1, 1] in the transformer), D features, R evaluations
    for guidance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from src.core import rng
from src.flow.config import SamplerConfig
from src.flow.guidance import classifier_free_guidance, nested_guidance
from src.flow.noise import normal
from src.flow.sampling import sample
from src.flow.solvers import OnStep, Velocity
from src.models.text.context import TextContext, join_batches
from src.models.transformer.model import ContextCache
from src.models.vision.video_condition import VideoClips
from src.training.modules.audio_config import AudioSamplerConfig
from src.training.modules.audio_model import AudioModel, context_channels


@dataclass(frozen=True)
class KnownAudio:
    """Latents [B, C, N] as the codec encodes them, and bool [B, N] where they are known; the rest is not
    read.
    """

    latent_BCN: Tensor
    known_BN: Tensor


@dataclass(frozen=True)
class AudioCondition:
    """Everything that a batch is conditioned on, once for each evaluation that guidance needs.

    `known_BCN11` are normalized latents, `cond` and `video` rows of all evaluations [R * B, ...], the null
    condition's last.
    """

    text: TextContext | ContextCache
    cond_RCN11: Tensor
    video_RND: Tensor | None
    known_BCN11: Tensor
    known_BN: Tensor
    has_null: bool

    @property
    def num_latents(self) -> int:
        return self.known_BN.shape[1]

    def window(self, start: int, stop: int) -> "AudioCondition":
        """Return the condition of latent frames start to stop."""
        return AudioCondition(
            self.text,
            self.cond_RCN11[:, :, start:stop],
            None if self.video_RND is None else self.video_RND[:, start:stop],
            self.known_BCN11[:, :, start:stop],
            self.known_BN[:, start:stop],
            self.has_null,
        )

    def with_known(self, latent_BCN11: Tensor, known_BN: Tensor) -> "AudioCondition":
        """Return the condition with other known audio: normalized latents, and bool where they are known.

        Evaluations that saw known audio before see this, the null condition still sees none.
        """
        latent = torch.where(known_BN[:, None, :, None, None], latent_BCN11, torch.zeros_like(latent_BCN11))
        cond = context_channels(latent, known_BN)
        num_null = 1 if self.has_null else 0
        rows = self.cond_RCN11.shape[0] // len(known_BN)
        cond_RCN11 = torch.cat([*[cond] * (rows - num_null), *[torch.zeros_like(cond)] * num_null])
        return replace(self, cond_RCN11=cond_RCN11, known_BCN11=latent, known_BN=known_BN)


@torch.no_grad()
def encode_condition(
    model: AudioModel,
    prompts: list[str],
    num_latents: int,
    sampler: AudioSamplerConfig,
    *,
    clips: VideoClips | None = None,
    known: KnownAudio | None = None,
    negative_prompt: str = "",
) -> AudioCondition:
    """Return the condition of a batch, with the null condition of guidance.

    The null condition has neither text nor video nor known audio, as where training drops all together. With
    `video_guidance_scale` there is a second evaluation without text.

    Args:
        prompts: one for each sample; empty for none.
        clips: the videos; None for none.
        negative_prompt: replaces the null condition's text.
    """
    num_samples, channels = len(prompts), model.config.latent_channels
    shape = (num_samples, channels, num_latents, 1, 1)
    known_BN = torch.zeros(num_samples, num_latents, dtype=torch.bool, device=model.device)
    latent = torch.zeros(shape, device=model.device)
    if known is not None:
        known_BN = known.known_BN.to(model.device)
        latent = model.normalize(known.latent_BCN.to(model.device)[..., None, None])
        latent = torch.where(known_BN[:, None, :, None, None], latent, torch.zeros_like(latent))
    cond, null_cond = context_channels(latent, known_BN), torch.zeros_like(context_channels(latent, known_BN))
    with model.autocast():
        video_BND = None
        if clips is not None:
            assert model.video is not None, "a model of text alone has no video network"
            video_BND = model.video(clips, num_latents, model.latent_rate)[0]
        context = _encode_text(model, prompts)
        rows, videos = [cond], [video_BND]
        if sampler.uses_guidance and sampler.video_guidance_scale is not None:
            context = join_batches(context, _encode_text(model, [""] * num_samples))
            rows, videos = [*rows, cond], [*videos, video_BND]
        if uses_guidance(sampler):
            context = join_batches(context, _encode_text(model, [negative_prompt] * num_samples))
            zeros = None if video_BND is None else torch.zeros_like(video_BND)
            rows, videos = [*rows, null_cond], [*videos, zeros]
        text: TextContext | ContextCache = context
        # Keys and values of the text are the same at every step; sharded blocks recompute them.
        if not isinstance(model.transformer, FSDPModule):
            text = model.transformer.cache_context(context.tokens_BLD, context.mask_BL)
    video_RND = None if video_BND is None else torch.cat([each for each in videos if each is not None])
    return AudioCondition(text, torch.cat(rows), video_RND, latent, known_BN, uses_guidance(sampler))


def uses_guidance(sampler: AudioSamplerConfig) -> bool:
    """Return whether a sampler also evaluates the null condition."""
    return sampler.uses_guidance or sampler.video_guidance_scale not in (None, 1.0)


def guided_velocity(model: AudioModel, condition: AudioCondition, sampler: AudioSamplerConfig) -> Velocity:
    """Return the velocity of normalized latents [B, C, N, 1, 1], guidance included."""
    text = condition.text

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        tokens, mask = (text, None) if isinstance(text, ContextCache) else (text.tokens_BLD, text.mask_BL)
        with model.autocast():
            out: Tensor = model.transformer(x, t, tokens, mask, condition.cond_RCN11, condition.video_RND)
        return out.float()

    if not uses_guidance(sampler):
        return velocity
    if sampler.video_guidance_scale is not None:
        scales = [sampler.guidance_scale, sampler.video_guidance_scale]
        return nested_guidance(velocity, scales if sampler.uses_guidance else scales[1:])
    return classifier_free_guidance(velocity, sampler.guidance_scale_at)


def audio_noise(seeds: Sequence[int], channels: int, num_latents: int, device: torch.device) -> Tensor:
    """Return standard normal noise [B, C, N, 1, 1]; that of a sample depends on its seed alone."""
    keys = [rng.key(seed, "generate/audio/noise") for seed in seeds]
    return normal(keys, (channels, num_latents, 1, 1), device)


@torch.no_grad()
def sample_audio(
    model: AudioModel,
    condition: AudioCondition,
    seeds: Sequence[int],
    sampler: AudioSamplerConfig,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return latents [B, C, N] for the codec's decoder; what is known is returned as it was given."""
    noise = audio_noise(seeds, model.config.latent_channels, condition.num_latents, model.device)
    return to_latents(model, sample_normalized(model, condition, noise, sampler, on_step))


def sample_normalized(
    model: AudioModel,
    condition: AudioCondition,
    noise_BCN11: Tensor,
    sampler: AudioSamplerConfig,
    on_step: OnStep | None = None,
    velocity: Velocity | None = None,
) -> Tensor:
    """Return normalized latents [B, C, N, 1, 1], of the model's guided velocity unless another is given."""
    velocity = velocity or guided_velocity(model, condition, sampler)
    x = sample(velocity, noise_BCN11, without_guidance(sampler), on_step, model.flow.objective)
    return torch.where(condition.known_BN[:, None, :, None, None], condition.known_BCN11, x)


def to_latents(model: AudioModel, x_BCN11: Tensor) -> Tensor:
    """Return latents [B, C, N] for the codec's decoder."""
    return model.denormalize(x_BCN11)[..., 0, 0]


def without_guidance(sampler: AudioSamplerConfig) -> SamplerConfig:
    """Return solver and schedule of a sampler whose guidance is in the velocity already."""
    return replace(sampler, guidance_scale=1.0, guidance_schedule="constant", video_guidance_scale=None)


def _encode_text(model: AudioModel, prompts: list[str]) -> TextContext:
    found: TextContext = model.text.encode(model.conditioning.from_prompts(prompts))  # type: ignore[arg-type]
    return found
