"""Films and pictures from requests: a trained model and its decoder, ready to sample, decode and write.

Legend: B batch, C channels, T frames, H height, W width (of the latent or of the frames).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from src.core import media_writer
from src.core.errors import UserError
from src.core.fields import opt
from src.core.media_reader import MediaError, read_image
from src.flow.config import SamplerConfig
from src.flow.solvers import OnStep
from src.inference.prompt_rewriting import RewriteConfig
from src.inference.prompts import Request
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import decode_stream
from src.parallel.fsdp import ParallelContext, compile_groups
from src.runs import loading
from src.streaming.collate import with_fps
from src.streaming.pixels import from_uint8, to_frames
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import read_info
from src.training.config import Use
from src.training.modules.video import VideoModule


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What to make, with which model."""

    run: str = opt("???", "run directory, checkpoint or exported file of a video model")
    tae: str = opt("", "run or exported file of the TAE; empty: the one that made the run's latents")
    use: Use = opt("ema", "weights: ema or raw")
    prompts: str = opt("", "file of prompts: .txt, one a line, or .jsonl")
    image: str = opt("", "picture that every film starts with, for an image-to-video model; cut to the size")
    negative: str = opt("", "what guidance leads away from; empty: the null condition of training")
    out: str = opt("", "where to write; empty: RUN/generated")
    frames: int = opt(16, "frames of each film; 1 makes pictures")
    height: int = opt(32, "height in pixels")
    width: int = opt(32, "width in pixels")
    fps: float = opt(16.0, "frames in a second, told to the model and written into the file")
    seed: int = opt(0, "seed of the first prompt; each further prompt takes the next")
    seeds_per_prompt: int = opt(1, "films of each prompt, with different seeds")
    batch_size: int = opt(32, "films made together")
    precision: str = opt("bf16", "fp32 or bf16 (where the device has it)")
    compile_blocks: bool = opt(False, "torch.compile each block: a slow start, then faster steps")
    compile_backend: str = opt("inductor", "backend of torch.compile; aot_eager needs no compiler")
    tiling: TilingConfig = opt(TilingConfig(), "tiles in which long films and large frames are decoded")
    crf: int = opt(8, "H.264 quality of the films, 0 (lossless) to 51")
    sampler: SamplerConfig = opt(SamplerConfig(guidance=3.0), "solver, schedule and guidance")
    rewrite: RewriteConfig = opt(RewriteConfig(), "prompts rewritten in the manner of training captions")

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width", "seeds_per_prompt", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.fps > 0:
            raise ValueError(f"fps must be above 0, got {self.fps}")
        if self.negative and not self.sampler.uses_guidance:
            raise ValueError(f"negative={self.negative!r} needs guidance: sampler.guidance above 1, got 1")


class Generator:
    """A video model and the autoencoder that decodes its latents, checked to do what the settings ask.

    Raises:
        UserError: no such run, two that do not belong together, or sizes that they do not make.
    """

    def __init__(self, settings: GenerateConfig) -> None:
        self.settings = settings
        self.module, self.tae = load(settings)
        check_size(settings, self.module, self.tae)
        if settings.compile_blocks:
            compile_groups(self.module.transformer, ParallelContext(compile_backend=settings.compile_backend))
        self.first = first_frame(settings, self.module, self.tae)

    def _as_trained(self, text: str) -> str:
        plain = self.settings.frames == 1 or not text
        return text if plain else with_fps(text, self.settings.fps)

    @torch.inference_mode()
    def sample(
        self, batch: list[Request], sampler: SamplerConfig | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Latents [B, C, T, H, W] of requests, as the TAE decodes them; noise depends on the seeds alone."""
        s, first = self.settings, self.first
        return self.module.generate(
            [self._as_trained(r.text) for r in batch],
            self.tae.latent_shape(s.frames, s.height, s.width),
            [r.seed for r in batch],
            sampler or s.sampler,
            negative=self._as_trained(s.negative),
            first_BC1HW=None if first is None else first.expand(len(batch), -1, -1, -1, -1),
            averaged=False,
            on_step=on_step,
        )

    @torch.inference_mode()
    def decode(self, latents_BCTHW: Tensor) -> NDArray[np.uint8]:
        """Frames uint8 [B, T, H, W, 3], tile by tile: only frames of 8 bits are held whole."""
        pieces = decode_stream(self.tae, [latents_BCTHW], self.settings.tiling)
        return np.concatenate([to_frames(piece) for piece in pieces], 1)[:, : self.settings.frames]

    def write(self, batch: list[Request], films_BTHWC: NDArray[np.uint8], out: Path) -> list[dict[str, Any]]:
        """Write films, or pictures, into a folder; returns their lines of its manifest."""
        s = self.settings
        kind = "image" if s.frames == 1 else "video"
        system = loading.folder_of(Path(s.run)).name
        entries = []
        for request, film_THWC in zip(batch, films_BTHWC, strict=True):
            path = Path(f"{kind}s") / f"{request.id}.{'png' if kind == 'image' else 'mp4'}"
            if kind == "image":
                media_writer.write_image(out / path, film_THWC[0])
            else:
                media_writer.write_video(out / path, film_THWC, s.fps, s.crf)
            entries.append({**request.extra, **request.entry(), "system": system, kind: str(path)})
        return entries


def load(settings: GenerateConfig) -> tuple[VideoModule, TAE]:
    """The model and its decoder, checked to belong together."""
    module, run = loading.load_video(Path(settings.run), settings.use)
    module.precision_name = "bf16" if settings.precision == "bf16" else "fp32"
    tae_run = settings.tae or latents_encoder(settings.run, run)
    tae, _ = loading.load_tae(Path(tae_run))
    channels = module.transformer_config.latent_channels
    if tae.config.latent_channels != channels:
        raise UserError(
            f"tae={tae_run} has {tae.config.latent_channels} latent channels, the model {channels}"
        )
    return module, tae


def latents_encoder(name: str, run: Any) -> str:
    """The TAE that a run's training latents were made with."""
    stream = next(iter(run.data.streams.values()))
    try:
        return str(read_info(stream.path).provenance["tae"])
    except DataError as error:
        raise UserError(
            f"run={name}: its latents are not here to tell which TAE made them; give tae=... ({error})"
        ) from error


def check_size(settings: GenerateConfig, module: VideoModule, tae: TAE) -> None:
    """Refuse sizes and tiles that the autoencoder cannot divide or the position tables do not reach."""
    transformer = module.transformer_config
    unit = tae.config.spatial_factor
    for name, patch, most in zip(
        ("height", "width"), transformer.patch[1:], transformer.max_positions[1:], strict=True
    ):
        size, step = getattr(settings, name), unit * patch
        if size % step or not size <= most * step:
            raise UserError(f"{name}={size}: this model makes multiples of {step} up to {most * step}")
    most_frames = transformer.max_positions[0] * transformer.patch[0] * tae.config.temporal_factor
    if settings.frames > most_frames:
        raise UserError(f"frames={settings.frames}: this model makes at most {most_frames}")
    try:
        settings.tiling.check(tae.config)
    except ValueError as error:
        raise UserError(f"tiling.{error}") from error


def first_frame(settings: GenerateConfig, module: VideoModule, tae: TAE) -> Tensor | None:
    """The latent [1, C, 1, H, W] of the picture to start with; None where none is given.

    Raises:
        UserError: the file is no picture, the model does not take one, or it is not films that are made.
    """
    if not settings.image:
        return None
    if module.transformer_config.known_channels != tae.config.latent_channels + 1:
        raise UserError(f"image={settings.image}: run={settings.run} is no image-to-video model")
    if settings.frames == 1:
        raise UserError(f"image={settings.image}: frames=1 makes pictures; give frames above 1")
    try:
        picture = Image.fromarray(read_image(settings.image))
    except MediaError as error:
        raise UserError(f"image={settings.image}: cannot be read as a picture ({error})") from error
    fitted = ImageOps.fit(picture, (settings.width, settings.height), Image.Resampling.LANCZOS)
    pixels_CHW = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    with torch.inference_mode():
        return tae.encode(from_uint8(pixels_CHW[None, :, None])).mean_BCTHW
