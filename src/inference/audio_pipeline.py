"""Generate audio with a trained model and its codec.

Legend: B batch, C channels, N latent frames, T frames, H height, W width, S samples.
"""

from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.flow.solvers import OnStep
from src.inference.audio_requests import AudioRequest, Video
from src.inference.audio_sample import encode_condition, sample_audio
from src.inference.device import resolve_device
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.run_defaults import refuse_recipe
from src.models.codec.model import Codec
from src.models.vision.config import FrozenVisionConfig
from src.models.vision.frozen_tower import FrozenTower
from src.models.vision.video_condition import VideoClips
from src.runs import latents, loading
from src.runs.audio_config import AudioRunConfig
from src.streaming.pixels import from_uint8
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import read_info
from src.streaming.schema.framing import Framing
from src.training.precision import resolve

EXPORTED_CODEC = "codec.safetensors"


class AudioPipeline:
    """An audio model and the codec that decodes its latents, checked against each other.

    Raises:
        UserError: no such run, or a model and a codec that do not belong together.
    """

    def __init__(self, config: GenerateAudioConfig) -> None:
        self.config, self.device = config, resolve_device(config.device)
        refuse_recipe(config.run)
        self.model, self.stage = loading.load_audio(Path(config.run), config.use)
        self.codec = load_codec_of(config, self.stage)
        self.sampler = config.sampler.apply(self.stage.flow.sampler)
        check_codec(self.stage, self.codec, config.codec)
        self.tower = load_tower(config, self.stage) if self.stage.video.source == "features" else None
        self.model.to(self.device)
        self.codec.to(self.device)
        self.model.precision_name = resolve(config.precision, self.device.type)

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    def check_requests(self, requests: list[AudioRequest]) -> None:
        """Raise UserError for videos that the model cannot see, and for a negative prompt without effect."""
        if self.model.video is None and any(request.read_video for request in requests):
            raise UserError(
                f"run={self.config.run}: a model of text alone (video.source=none) cannot follow videos"
            )
        if self.config.negative_prompt and not self.sampler.uses_guidance:
            raise UserError(
                f"negative prompt {self.config.negative_prompt!r} needs guidance: sampler.guidance_scale is 1"
            )

    def num_latents(self, seconds: float) -> int:
        """Return the latent frames of audio of some length, at least one."""
        return max(self.codec.config.num_latent_frames(round(seconds * self.sample_rate)), 1)

    def default_seconds(self) -> float:
        """Return the length of audio in training: of the streams' crops, else of the position table."""
        lengths = [n for stream in self.stage.data.streams.values() for n in stream.lengths]
        return max(lengths, default=self.stage.transformer.max_positions[0]) / self.stage.latent_rate

    def default_prompt(self) -> str:
        """Return what the model reads without a prompt: quality and music, or nothing."""
        if not self.stage.flags_captions:
            return ""
        c = self.config
        return AudioCaption(
            description="", music_description="", quality=c.quality, music_likelihood=c.music_likelihood
        ).text()

    def clips(self, videos: list[Video]) -> VideoClips:
        """Return videos of equally many frames as the model reads them."""
        times_BT = torch.tensor(np.stack([video.times_T for video in videos]), dtype=torch.float32)
        if self.tower is not None:
            features = [self.tower.encode(_to_TCHW(video)) for video in videos]
            return VideoClips(None, torch.stack(features).to(self.device), times_BT.to(self.device))
        size = self.stage.video
        frames = torch.stack([fit_frames(video.frames_THWC, size.height, size.width) for video in videos])
        return VideoClips(from_uint8(frames).to(self.device), None, times_BT.to(self.device))

    @torch.inference_mode()
    def sample(
        self,
        batch: list[AudioRequest],
        videos: list[Video] | None,
        seconds: float,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return latents [B, C, N] of requests of one length; noise depends on the seeds alone."""
        prompts = [request.prompt.text or self.default_prompt() for request in batch]
        condition = encode_condition(
            self.model,
            prompts,
            self.num_latents(seconds),
            self.sampler,
            clips=None if videos is None else self.clips(videos),
            negative_prompt=self.config.negative_prompt,
        )
        return sample_audio(
            self.model, condition, [request.prompt.seed for request in batch], self.sampler, on_step
        )

    @torch.inference_mode()
    def decode(self, latent_BCN: Tensor, seconds: float) -> NDArray[np.float32]:
        """Return audio [B, C, S], cropped to its length and to [-1, 1]."""
        audio_BCS = self.codec.decode(latent_BCN.to(self.device), round(seconds * self.sample_rate))
        samples: NDArray[np.float32] = audio_BCS.float().clamp(-1, 1).cpu().numpy()
        return samples


def _to_TCHW(video: Video) -> Tensor:
    return torch.from_numpy(video.frames_THWC).permute(0, 3, 1, 2)


def fit_frames(frames_THWC: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """Return frames uint8 [T, C, height, width]: resized to cover this size, cropped around the center."""
    old_height, old_width = frames_THWC.shape[1:3]
    scale = max(height / old_height, width / old_width)
    resized = (max(round(old_height * scale), height), max(round(old_width * scale), width))
    return Framing(height, width, *resized, "crop").apply(frames_THWC)


def batches(requests: list[AudioRequest], size: int) -> list[list[AudioRequest]]:
    """Return consecutive requests in batches of at most `size`, with and without videos apart."""
    groups = [list(group) for _, group in groupby(requests, key=lambda r: r.read_video is not None)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]


def load_codec_of(config: GenerateAudioConfig, stage: AudioRunConfig) -> Codec:
    """Load the codec that the config names, or the one that encoded the run's latents.

    Raises:
        UserError: it is unknown or not on this machine, or it is another than that of the run's latents.
    """
    run = Path(config.run)
    sibling = run.with_name(EXPORTED_CODEC)
    path = config.codec
    if not path and loading.find_export(run) and sibling.is_file():
        path = str(sibling)
    if not path:
        try:
            path = str(read_info(next(iter(stage.data.streams.values())).path).provenance["codec"])
        except (DataError, KeyError, StopIteration) as error:
            raise UserError(
                f"run={run}: its latents are not on this machine, so its codec is unknown; give codec=... "
                f"({error})"
            ) from error
    codec, key = loading.load_codec(Path(path))
    stored = loading.stored_key(run, "codec")
    if stored and stored != key:
        raise UserError(
            f"codec={path}: key {key[:12]}, but the run's latents were encoded by a codec with key "
            f"{stored[:12]}; give "
            "that one as codec=..."
        )
    return codec


def check_codec(stage: AudioRunConfig, codec: Codec, path: str) -> None:
    """Raise UserError for a codec of another rate or of other channels than the model's."""
    if codec.config.latent_rate != stage.latent_rate:
        raise UserError(
            f"codec={path}: {codec.config.latent_rate:g} latent frames per second, the model has "
            f"{stage.latent_rate:g}"
        )
    if codec.config.latent_channels != stage.transformer.latent_channels:
        raise UserError(
            f"codec={path}: {codec.config.latent_channels} latent channels, the model has "
            f"{stage.transformer.latent_channels}"
        )


def load_tower(config: GenerateAudioConfig, stage: AudioRunConfig) -> FrozenTower:
    """Load the image tower of the run's latents, or the one that the config names."""
    path = config.vision
    if not path:
        try:
            stream = next(iter(stage.data.streams.values()))
            path = str(read_info(stream.path).provenance["vision"]["path"])
        except (DataError, KeyError, StopIteration) as error:
            raise UserError(
                f"run={config.run}: its image tower is unknown; give vision=... ({error})"
            ) from error
    return latents.load_vision(FrozenVisionConfig(path=path, dim=stage.video.feature_dim))
