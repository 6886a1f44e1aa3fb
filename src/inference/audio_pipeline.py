"""Generate audio with a trained model and its codec.

Legend: B batch, C channels, N latent frames, T frames, H height, W width, S samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.errors import MediaError
from src.flow.solvers import OnStep
from src.inference.audio_loading import check_codec, load_codec_of, load_tower
from src.inference.audio_requests import AudioRequest, Video
from src.inference.audio_sample import KnownAudio, encode_condition
from src.inference.device import resolve_device
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.long_audio import Layout, make_layout, sample_long
from src.inference.run_defaults import refuse_recipe
from src.models.codec.streaming import WINDOW_FRAMES, decode_stream
from src.models.vision.video_condition import VideoClips
from src.runs import loading
from src.streaming.pixels import from_uint8
from src.streaming.schema.framing import Framing
from src.training.precision import resolve

CHUNK = 64  # frames that are encoded at a time


@dataclass(frozen=True)
class SeenVideo:
    """A video as the model sees it: features of its frames, and the time at which each is shown."""

    video: Video
    features_TD: Tensor
    times_T: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """Time from the beginning until the last frame has been shown."""
        return float(self.times_T[-1]) + 1 / self.video.fps


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
        self._beginning: Tensor | None = None

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    @property
    def num_channels(self) -> int:
        """Channels of the output."""
        return self.config.channels or self.codec.config.num_channels

    def check_requests(self, requests: list[AudioRequest]) -> None:
        """Raise UserError for videos that the model cannot see, and for settings without effect."""
        if self.model.video is None and any(request.open_video for request in requests):
            raise UserError(
                f"run={self.config.run}: a model of text alone (video.source=none) cannot follow videos"
            )
        if self.config.negative_prompt and not self.sampler.uses_guidance:
            raise UserError(
                f"negative prompt {self.config.negative_prompt!r} needs guidance: sampler.guidance_scale is 1"
            )

    def truncated_ids(self, requests: list[AudioRequest]) -> list[str]:
        """Return the ids of the prompts that are longer than the text encoder reads."""
        cut = self.model.truncated([request.prompt.text for request in requests])
        return [request.prompt.id for request, is_cut in zip(requests, cut, strict=True) if is_cut]

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

    @torch.inference_mode()
    def watch(self, video: Video) -> SeenVideo:
        """Read a video once and encode its frames, a few at a time.

        Raises:
            UserError: it has no frames, or cannot be read.
        """
        times: list[float] = []
        frames = self._frames(video, times)
        if self.tower is not None:
            features = [self.tower.encode(torch.stack(part)) for part in chunks(frames, CHUNK)]
        else:
            features = self._encode_frames(frames)
        if not times:
            raise UserError(f"{video.name}: no frames")
        return SeenVideo(video, torch.cat(features).float().cpu(), np.array(times))

    def _frames(self, video: Video, times: list[float]) -> Iterator[Tensor]:
        """Yield frames uint8 [C, H, W] as the model sees them, and note when each is shown."""
        size = self.stage.video
        for frame_HWC, time_s in video.frames():
            times.append(time_s)
            if self.tower is not None:
                yield torch.from_numpy(frame_HWC).permute(2, 0, 1)
            else:
                yield fit_frames(frame_HWC[None], size.height, size.width)[0]

    def _encode_frames(self, frames: Iterator[Tensor]) -> list[Tensor]:
        assert self.model.video is not None
        assert self.model.video.encoder is not None
        parts = (from_uint8(torch.stack(part)[None]).to(self.device) for part in chunks(frames, CHUNK))
        with self.model.autocast():
            return [each[0] for each in self.model.video.encoder.encode_stream(parts)]

    def clips(self, videos: list[SeenVideo]) -> VideoClips:
        """Return videos of equally many frames as the model reads them."""
        times_BT = torch.tensor(np.stack([video.times_T for video in videos]), dtype=torch.float32)
        features_BTD = torch.stack([video.features_TD for video in videos])
        return VideoClips(None, features_BTD.to(self.device), times_BT.to(self.device))

    def layout(self, seconds: float) -> Layout:
        """Return how audio of some length is cut into windows or segments."""
        trained = round(self.default_seconds() * self.stage.latent_rate)
        return make_layout(self.config.long, self.num_latents(seconds), trained, self.stage.latent_rate)

    @torch.inference_mode()
    def known_audio(self, num_samples: int, num_latents: int) -> KnownAudio | None:
        """Return the beginning that `extend` names, for each sample; None if it names none.

        Raises:
            UserError: it cannot be read, has other channels than the codec, or leaves nothing to generate.
        """
        path = self.config.extend
        if not path:
            return None
        if self._beginning is None:
            channels = self.codec.config.num_channels
            try:
                audio = read_audio(Path(path), rate=self.sample_rate)
            except MediaError as error:
                raise UserError(f"extend={path}: {error}") from error
            if len(audio.samples_CS) != channels:
                raise UserError(
                    f"extend={path}: {len(audio.samples_CS)} channels, the codec has {channels}; "
                    "convert the file, for nothing is mixed silently"
                )
            samples_BCS = torch.from_numpy(audio.samples_CS)[None].to(self.device)
            self._beginning = self.codec.encode(samples_BCS).mode()
        num_known = self._beginning.shape[-1]
        if num_known >= num_latents:
            raise UserError(
                f"extend={path}: {num_known / self.stage.latent_rate:.2f} s, as long as what is asked for or "
                "longer; give a longer video or more seconds"
            )
        latent = self._beginning.new_zeros(num_samples, self._beginning.shape[1], num_latents)
        latent[:, :, :num_known] = self._beginning
        known_BN = (torch.arange(num_latents, device=self.device) < num_known).expand(num_samples, -1)
        return KnownAudio(latent, known_BN)

    @torch.inference_mode()
    def sample(
        self,
        batch: list[AudioRequest],
        videos: list[SeenVideo] | None,
        seconds: float,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return latents [B, C, N] of requests of one length; noise depends on the seeds alone."""
        prompts = [request.prompt.text or self.default_prompt() for request in batch]
        num_latents = self.num_latents(seconds)
        condition = encode_condition(
            self.model,
            prompts,
            num_latents,
            self.sampler,
            clips=None if videos is None else self.clips(videos),
            known=self.known_audio(len(batch), num_latents),
            negative_prompt=self.config.negative_prompt,
        )
        seeds = [request.prompt.seed for request in batch]
        layout = self.layout(seconds)
        return sample_long(self.model, condition, seeds, self.sampler, self.config.long, layout, on_step)

    @torch.inference_mode()
    def decode(self, latent_CN: Tensor, seconds: float) -> Iterator[NDArray[np.float32]]:
        """Yield audio [C, S] in pieces, cropped to its length and to [-1, 1]."""
        left = round(seconds * self.sample_rate)
        parts = (part[None].to(self.device) for part in latent_CN.split(WINDOW_FRAMES, -1))
        for piece_BCS in decode_stream(self.codec, parts):
            samples_CS: NDArray[np.float32] = piece_BCS[0, :, :left].float().cpu().numpy()
            left -= samples_CS.shape[1]
            yield samples_CS


def chunks(items: Iterator[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Yield lists of `size` items, the last one perhaps shorter."""
    while part := list(islice(items, size)):
        yield part


def fit_frames(frames_THWC: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """Return frames uint8 [T, C, height, width]: resized to cover this size, cropped around the center."""
    old_height, old_width = frames_THWC.shape[1:3]
    scale = max(height / old_height, width / old_width)
    resized = (max(round(old_height * scale), height), max(round(old_width * scale), width))
    return Framing(height, width, *resized, "crop").apply(frames_THWC)


def batches(requests: list[AudioRequest], size: int) -> list[list[AudioRequest]]:
    """Return consecutive requests in batches of at most `size`, with and without videos apart."""
    groups = [list(group) for _, group in groupby(requests, key=lambda r: r.open_video is not None)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]
