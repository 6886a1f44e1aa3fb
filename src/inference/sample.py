"""Sample latents of videos from prompts (Movie Gen, sec. 3.4).

Legend: B batch, C channels, T frames, H height, W width (of the latent); L text tokens, D feature size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from src.core import rng
from src.flow.config import SamplerConfig
from src.flow.noise import normal
from src.flow.sampling import sample
from src.flow.solvers import OnStep
from src.models.text.context import join_batches
from src.training.modules.video_model import VideoModel


@torch.no_grad()
def sample_latents(
    model: VideoModel,
    prompts: list[str],
    shape_CTHW: tuple[int, int, int, int],
    seeds: list[int],
    sampler: SamplerConfig | None = None,
    *,
    negative_prompt: str = "",
    first_BC1HW: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return latents [B, C, T, H, W] for the TAE's decoder, one per prompt.

    Args:
        prompts: as the model was trained to read them, FPS prefix included.
        seeds: one per prompt; the noise of a sample depends on nothing else.
        sampler: solver, schedule and guidance; by default those of the model's training.
        negative_prompt: replaces the null condition of guidance.
        first_BC1HW: latents of first frames, encoded as images, for an image-to-video model.
        on_step: called with the step's index and the normalized latents after it.
    """
    sampler = sampler or model.flow.sampler
    noise = normal([rng.key(seed, "generate/noise") for seed in seeds], shape_CTHW, model.device)
    cond: Tensor | None = None
    if first_BC1HW is not None:
        has_frame_B = torch.ones(len(noise), dtype=torch.bool, device=model.device)
        cond = model.frame_condition(first_BC1HW.to(model.device), noise.shape, has_frame_B)
        # guidance evaluates prompts and null condition in one batch of 2B; both keep the first frame
        cond = torch.cat([cond, cond]) if sampler.uses_guidance else cond
    read: Any = model.conditioning.from_prompts
    with model.autocast():
        context = model.text.encode(read(prompts))
        if sampler.uses_guidance:
            null = model.text.encode(read([negative_prompt] * len(prompts)))
            context = join_batches(context, null)

        # Keys and values of the text are the same at every step. Sharded blocks recompute them: their weights
        # are gathered only while a block runs.
        keys_values: Any = context.tokens_BLD
        if not isinstance(model.transformer, FSDPModule):
            keys_values = model.transformer.cache_context(context.tokens_BLD, context.mask_BL)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            out: Tensor = model.transformer(x, t, keys_values, context.mask_BL, cond)
            return out.float()

        return model.denormalize(sample(velocity, noise, sampler, on_step, model.flow.objective))
