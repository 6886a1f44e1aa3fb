"""Generate videos and images from prompts with a trained model and its decoder.

Legend: B batch, C channels, T frames, H height, W width (of the latent or of the frames).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from src.core.errors import UserError
from src.core.launch import global_rank, world_size
from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.video_writer import write_video
from src.flow.config import SamplerConfig
from src.flow.solvers import OnStep
from src.inference import run_defaults
from src.inference.config import GenerateConfig
from src.inference.device import resolve_attention, resolve_device
from src.inference.prompts import PromptRequest, read_requests
from src.inference.run_defaults import VideoFormat
from src.inference.sample import sample_latents
from src.models.nn.config import AttentionBackend
from src.models.tae.model import TAE
from src.models.tae.tiling import decode_stream
from src.parallel.fsdp import ParallelContext, compile_groups
from src.parallel.mesh import ProcessMesh, build_mesh
from src.parallel.token_shards import SharedTokens
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.collate import with_fps
from src.streaming.pixels import from_uint8, to_frames
from src.streaming.schema.bucket import Bucket
from src.training.config import Precision
from src.training.modules.video_model import VideoModel
from src.training.precision import resolve


class VideoPipeline:
    """A video model and the autoencoder that decodes its latents, checked against the config.

    `format` and `sampler` are the config's, completed from the run. `warnings` holds a line for each setting
    that works but is unlike training.

    Raises:
        UserError: no such run, a model and a TAE that do not belong together, or an impossible size.
    """

    def __init__(self, config: GenerateConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.mesh = build_inference_mesh(config, self.device)
        precision_name = resolve(config.precision, self.device.type)
        attention, note = choose_attention(config, self.device)
        context = parallel_context(config, self.mesh, precision_name, self.device)
        self.model, self.tae, stage = load_models(config, attention, context)
        self.format = run_defaults.video_format(config, stage, self.tae.config)
        self.sampler = config.sampler.apply(stage.flow.sampler)
        buckets = run_defaults.trained_buckets(stage, loading.find_export(Path(config.run)))
        self.warnings = [*([note] if note else []), *format_warnings(self.format, buckets)]
        check_format(self.format, self.model, self.tae)
        check_tiling(config, self.tae)
        self._check_steps()
        self.model.to(self.device)
        self.tae.to(self.device)
        self.model.precision_name = precision_name
        if config.compile_blocks and self.mesh is None:
            compile_groups(self.model.transformer, ParallelContext(compile_backend=config.compile_backend))
        self.first_BC1HW = first_frame_latent(config, self.format, self.model, self.tae)

    @property
    def num_groups(self) -> int:
        """Number of groups of processes that sample different batches."""
        return max(1, world_size() // self.config.mesh.num_peers)

    @property
    def group(self) -> int:
        """Number of this process's group."""
        return global_rank() // self.config.mesh.num_peers if world_size() > 1 else 0

    @property
    def is_writer(self) -> bool:
        """True if this process decodes and writes what its group samples."""
        return world_size() == 1 or global_rank() % self.config.mesh.num_peers == 0

    @property
    def writes_alone(self) -> bool:
        """True if this is the only process."""
        return world_size() == 1

    @property
    def samples_together(self) -> bool:
        """True if all groups have to sample at the same time, because weights are sharded over them."""
        return self.config.mesh.shard_weights and self.num_groups > 1

    def _check_steps(self) -> None:
        if self.samples_together and self.sampler.solver == "adaptive":
            raise UserError(
                "mesh.shard_weights=true: the adaptive solver takes other numbers of steps on every "
                "process; use sampler.solver=midpoint"
            )

    def _with_fps(self, text: str) -> str:
        """Return the text as the model was trained to read it: videos state their frame rate."""
        return text if self.format.is_image or not text else with_fps(text, self.format.fps)

    def check_requests(self, requests: list[PromptRequest]) -> None:
        """Raise UserError for a negative prompt without guidance, which would have no effect."""
        for request in requests:
            if request.negative_prompt and not self.sampler.uses_guidance:
                negative = request.negative_prompt
                raise UserError(f"negative prompt {negative!r} needs guidance: sampler.guidance_scale is 1")

    def truncated_ids(self, requests: list[PromptRequest]) -> list[str]:
        """Return the ids of the prompts that are longer than the text encoder's `max_tokens`."""
        truncated = self.model.truncated([self._with_fps(request.text) for request in requests])
        return [request.id for request, is_cut in zip(requests, truncated, strict=True) if is_cut]

    def sample(
        self,
        batch: list[PromptRequest],
        sampler: SamplerConfig | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return latents [B, C, T, H, W] for the TAE's decoder; noise depends on the seeds alone."""
        first_BC1HW = self.first_BC1HW
        with torch.inference_mode(self.mesh is None):  # shards do not bear it; nothing needs gradients
            return sample_latents(
                self.model,
                [self._with_fps(request.text) for request in batch],
                self.tae.latent_shape(self.format.num_frames, self.format.height, self.format.width),
                [request.seed for request in batch],
                sampler or self.sampler,
                negative_prompt=self._with_fps(batch[0].negative_prompt),
                first_BC1HW=None if first_BC1HW is None else first_BC1HW.expand(len(batch), -1, -1, -1, -1),
                on_step=on_step,
            )

    @torch.inference_mode()
    def decode(self, latents_BCTHW: Tensor) -> NDArray[np.uint8]:
        """Return frames, uint8 [B, T, H, W, 3]; decoded tile by tile, so that only 8-bit frames are kept."""
        latents_BCTHW = latents_BCTHW.to(self.device)
        if not isinstance(self.tae, TAE):  # a published autoencoder
            return to_frames(self.tae.decode(latents_BCTHW, self.format.num_frames))
        tiles = decode_stream(self.tae, [latents_BCTHW], self.config.tiling)
        frames_BTHWC = np.concatenate([to_frames(tile) for tile in tiles], 1)
        return frames_BTHWC[:, : self.format.num_frames]

    def generate(self, prompts: list[str], seed: int = 0, negative_prompt: str = "") -> NDArray[np.uint8]:
        """Return frames, uint8 [B, T, H, W, 3], of one video for each prompt; seeds count up from `seed`."""
        requests = read_requests(prompts, "", seed, 1, negative_prompt)
        self.check_requests(requests)
        return self.decode(self.sample(requests))

    def write(
        self, batch: list[PromptRequest], videos_BTHWC: NDArray[np.uint8], out: Path
    ) -> Iterator[dict[str, Any]]:
        """Write videos or images into a folder; yield each one's manifest entry once its file is complete."""
        system = loading.run_folder(Path(self.config.run)).name
        kind = "image" if self.format.is_image else "video"
        for request, video_THWC in zip(batch, videos_BTHWC, strict=True):
            path = output_path(request, self.format.is_image)
            if self.format.is_image:
                write_image(out / path, video_THWC[0])
            else:
                write_video(out / path, video_THWC, self.format.fps, self.config.crf)
            yield {**request.manifest_entry(), "system": system, kind: str(path)}


def output_path(request: PromptRequest, is_image: bool) -> Path:
    """Return the file of a request, relative to the output directory."""
    folder, suffix = ("images", "png") if is_image else ("videos", "mp4")
    return Path(folder) / f"{request.file_stem}.{suffix}"


def build_inference_mesh(config: GenerateConfig, device: torch.device) -> ProcessMesh | None:
    """Return the mesh of the launcher's processes; None where each has a full model for itself.

    Raises:
        UserError: its sizes do not suit the number of processes.
    """
    try:
        parallel = config.mesh.parallel(world_size())
    except ValueError as error:
        raise UserError(f"mesh: {error}") from error
    return None if parallel is None else build_mesh(parallel, device)


def parallel_context(
    config: GenerateConfig, mesh: ProcessMesh | None, precision_name: Precision, device: torch.device
) -> ParallelContext:
    """Return a network's place in the mesh."""
    if mesh is None:
        return ParallelContext()
    return ParallelContext(
        mesh=mesh.fsdp,
        tensor_mesh=mesh.tensor,
        cut_tokens=SharedTokens(mesh) if mesh.num_peers > 1 else None,
        param_dtype=torch.bfloat16 if precision_name == "bf16" else None,
        compile_backend=config.compile_backend if config.compile_blocks else None,
        device=device,
    )


def choose_attention(config: GenerateConfig, device: torch.device) -> tuple[AttentionBackend, str]:
    """Return the attention kernel, and one line where it replaces the one asked for."""
    run_defaults.refuse_recipe(config.run)
    stage = loading.load_run_config(VideoRunConfig, Path(config.run))
    return resolve_attention(config.attention or stage.transformer.attention, device)


def load_models(
    config: GenerateConfig, attention: AttentionBackend, context: ParallelContext
) -> tuple[VideoModel, TAE, VideoRunConfig]:
    """Load the model and its decoder, and check that they belong together.

    Raises:
        UserError: no such run, or a TAE that did not encode the run's latents.
    """
    model, stage = loading.load_video(Path(config.run), config.use, attention=attention, context=context)
    tae_run = config.tae or run_defaults.tae_of_latents(config.run, stage)
    tae, key = loading.load_autoencoder(Path(tae_run))
    channels = model.config.latent_channels
    if tae.config.latent_channels != channels:
        raise UserError(
            f"tae={tae_run} has {tae.config.latent_channels} latent channels, the model {channels}"
        )
    run_defaults.refuse_other_tae(config.run, stage, tae_run, key)
    return model, tae, stage


def format_warnings(format: VideoFormat, buckets: list[Bucket]) -> list[str]:
    """Return a warning if videos of this format are in none of the buckets of training."""
    if not buckets or format.bucket in buckets:
        return []
    names = ", ".join(bucket.name for bucket in buckets[:8]) + (", ..." if len(buckets) > 8 else "")
    return [f"{format.bucket.name} is none of the buckets that the model was trained on: {names}"]


def check_format(format: VideoFormat, model: VideoModel, tae: TAE) -> None:
    """Raise UserError for sizes that the TAE cannot divide or the position tables do not cover."""
    transformer = model.config
    largest = run_defaults.largest_possible_bucket(transformer, tae.config)
    for name, patch in zip(("height", "width"), transformer.patch[1:], strict=True):
        size, step, limit = getattr(format, name), tae.config.spatial_factor * patch, getattr(largest, name)
        if size % step or size > limit:
            raise UserError(f"{name}={size}: must be a multiple of {step} up to {limit} for this model")
    if format.num_frames > largest.num_frames:
        limit = largest.num_frames
        raise UserError(f"num_frames={format.num_frames}: must be at most {limit} for this model")


def check_tiling(config: GenerateConfig, tae: TAE) -> None:
    """Raise UserError for tiles that are no multiple of the TAE's factors."""
    try:
        config.tiling.check(tae.config)
    except ValueError as error:
        raise UserError(f"tiling.{error}") from error


def first_frame_latent(
    config: GenerateConfig, format: VideoFormat, model: VideoModel, tae: TAE
) -> Tensor | None:
    """Return the latent [1, C, 1, H, W] of the first frame, or None if `image` is empty.

    Raises:
        UserError: an unreadable image, a model without image conditioning, or images instead of videos.
    """
    if not config.image:
        return None
    if model.config.cond_channels != tae.config.latent_channels + 1:
        raise UserError(
            f"image={config.image}: run={config.run} is not an image-to-video model; train one with "
            "configs/video/tiny_i2v.yaml start_from=RUN on latents from configs/tae/tiny_latents_first.yaml"
        )
    if format.is_image:
        raise UserError(f"image={config.image}: needs videos, but num_frames is 1; give num_frames above 1")
    try:
        image = Image.fromarray(read_image(config.image))
    except MediaError as error:
        raise UserError(f"image={config.image}: cannot be read as an image ({error})") from error
    fitted = ImageOps.fit(image, (format.width, format.height), Image.Resampling.LANCZOS)
    pixels_CHW = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    with torch.inference_mode():
        pixels_BCTHW = from_uint8(pixels_CHW[None, :, None]).to(next(tae.parameters()).device)
        return tae.encode(pixels_BCTHW).mean_BCTHW
