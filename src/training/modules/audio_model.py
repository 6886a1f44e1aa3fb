"""The audio model in plain torch: networks, conditions and latent statistics, for training and for sampling.

Legend: B batch, C channels, N latent frames ([B, C, N, 1, 1] in the transformer), D features.
"""

from dataclasses import replace

import torch
from torch import Tensor

from src.flow.loss import velocity_loss
from src.flow.masking import known_positions
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.text.projection import ProjectedText
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.models.vision.config import VideoConditionConfig
from src.models.vision.video_condition import VideoClips, VideoCondition
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext
from src.streaming.batch import AudioLatentBatch
from src.streaming.pixels import from_uint8
from src.training.config import Precision
from src.training.modules.audio_config import AudioFlowConfig, ModeConfig
from src.training.modules.conditioning import TextCondition, TextConditioning
from src.training.modules.flow_model import FlowModel, validation_noise


class AudioModel(FlowModel[AudioFlowConfig]):
    """A flow model of audio, conditioned on text, on video, and on known parts of the audio.

    Args:
        video: None for a model of text alone.
        latent_rate: latent frames per second, of the codec.
        modes: by name, what validation measures.
    """

    def __init__(
        self,
        text: ByteEncoder | ProjectedText,
        transformer: MediaTransformer,
        video: VideoCondition | None,
        conditioning: TextConditioning,
        flow: AudioFlowConfig,
        latent_mean_C: Tensor,
        latent_std_C: Tensor,
        latent_rate: float,
        modes: dict[str, ModeConfig] | None = None,
        precision_name: Precision = "fp32",
    ) -> None:
        super().__init__(text, transformer, conditioning, flow, latent_mean_C, latent_std_C, precision_name)
        self.video, self.latent_rate, self.modes = video, latent_rate, modes or {}

    def clips(self, batch: AudioLatentBatch) -> VideoClips | None:
        """Return the videos of a batch as its video network reads them; None if there are none."""
        if self.video is None or batch.times_BT is None:
            return None
        frames, features = batch.frames_BTCHW, batch.features_BTD
        return VideoClips(None if frames is None else from_uint8(frames), features, batch.times_BT)

    def velocity_loss(
        self,
        x_BCN11: Tensor,
        noise_BCN11: Tensor,
        t_B: Tensor,
        condition: TextCondition,
        known_BN: Tensor,
        video_BND: Tensor | None,
    ) -> Tensor:
        """Return the mean squared velocity error of each sample where audio is generated, float32 [B].

        Args:
            x_BCN11: normalized latents.
            known_BN: bool, where the audio is known.
            video_BND: features of the videos (`VideoCondition`).
        """
        mask = ~known_BN[:, None, :, None, None] if self.flow.loss_region == "masked" else None
        with self.autocast():
            context = self.text.encode(condition)  # type: ignore[arg-type]  # its own kind of condition
            cond = context_channels(x_BCN11, known_BN)

            def velocity(x: Tensor, t: Tensor) -> Tensor:
                out: Tensor = self.transformer(x, t, context.tokens_BLD, context.mask_BL, cond, video_BND)
                return out

            return velocity_loss(velocity, x_BCN11, noise_BCN11, t_B, self.flow.objective, mask)

    # ---- validation

    def validation_losses(self, batch: AudioLatentBatch) -> dict[str, Tensor]:
        """Return losses of a batch's real samples by name, float32 [B]: of each mode, and of each fixed flow
        time.

        Modes that need a video are left out of audio without one, and modes that need another clip's of a
        batch of one. Losses of flow times and `val/loss` are means over the modes that are no controls. Noise
        is keyed by the sample's id and the index of the time.
        """
        assert isinstance(batch.mean_BCTHW, Tensor)
        x, real_B = self.normalize(batch.mean_BCTHW), batch.real_B.bool()
        features = self._features(batch)
        by_mode: dict[str, Tensor] = {}
        counted: list[Tensor] = []  # [times, B] of each mode
        for name, mode in self.modes.items():
            if mode.video != "none" and features is None:
                continue
            if mode.video in ("other", "cut") and len(batch) < 2:
                continue
            loss_TB = self._mode_losses(x, batch, mode, features)[:, real_B]
            by_mode[f"val/loss_{name}"] = loss_TB.mean(0)
            if not mode.is_control:
                counted.append(loss_TB)
        losses = dict(by_mode)
        if counted:
            mean_TB = torch.stack(counted).mean(0)
            times = self.validation_times().tolist()
            losses |= {f"val/loss_t{time:.2f}": mean_TB[i] for i, time in enumerate(times)}
            losses["val/loss"] = mean_TB.mean(0)
        return losses

    def _features(self, batch: AudioLatentBatch) -> Tensor | None:
        """Return features of the batch's own videos and, in the second half, of the others'."""
        clips = self.clips(batch)
        if clips is None or self.video is None:
            return None
        num_latents = batch.mean_BCTHW[0].shape[1]
        with self.autocast():
            return torch.stack(
                [self.video(each, num_latents, self.latent_rate)[0] for each in (clips, clips.rolled())]
            )

    def _mode_losses(
        self, x: Tensor, batch: AudioLatentBatch, mode: ModeConfig, features_2BND: Tensor | None
    ) -> Tensor:
        """Return the losses at each fixed flow time, [times, B]."""
        num_samples, num_latents = x.shape[0], x.shape[2]
        known_N = known_latents(mode, num_latents, self.latent_rate).to(x.device)
        video_BND = None
        if mode.video != "none":
            assert features_2BND is not None
            own, other = features_2BND
            video_BND = other if mode.video == "other" else own
            if mode.video == "cut":
                video_BND = torch.where(known_N[None, :, None], other, own)
        condition = self.conditioning.from_batch(batch)
        if not mode.text:
            condition = self.conditioning.without(condition)
        known_BN = known_N.expand(num_samples, -1)
        losses = []
        for index, time in enumerate(self.validation_times().tolist()):
            noise = validation_noise(x, batch.ids, index)
            t_B = torch.full((num_samples,), time, device=x.device)
            losses.append(self.velocity_loss(x, noise, t_B, condition, known_BN, video_BND))
        return torch.stack(losses)


def context_channels(x_BCN11: Tensor, known_BN: Tensor) -> Tensor:
    """Return the conditioning channels [B, C + 1, N, 1, 1]: the known audio, zeros elsewhere, and where it
    is.
    """
    known = known_BN[:, None, :, None, None].to(x_BCN11.dtype)
    return torch.cat([x_BCN11 * known, known], 1)


def known_latents(mode: ModeConfig, num_latents: int, latent_rate: float) -> Tensor:
    """Return bool [N], True where a mode knows the audio; at least one latent frame is generated."""
    if mode.context == "none":
        return known_positions("none", num_latents, 0)
    if mode.stop_s:
        known = torch.ones(num_latents, dtype=torch.bool)
        start = min(int(mode.start_s * latent_rate), num_latents - 1)
        known[start : max(start + 1, round(mode.stop_s * latent_rate))] = False
        return known
    num_known = min(max(round(mode.context_fraction * num_latents), 1), num_latents - 1)
    return known_positions(mode.context, num_latents, num_known)


def build_audio_model(
    transformer: TransformerConfig,
    text: ByteEncoderConfig,
    encoders: dict[str, FrozenTextConfig],
    video: VideoConditionConfig,
    flow: AudioFlowConfig,
    latent_rate: float,
    precision_name: Precision = "fp32",
) -> AudioModel:
    """Build a model on one process, with initial weights; `load_state_dict` sets weights and statistics."""
    conditioning = TextConditioning(text, encoders, transformer.context_dim)
    networks = {
        "text": conditioning.make_network,
        "transformer": lambda: MediaTransformer(transformer),
        "video": lambda: make_video_network(video, transformer, flow),
    }
    if video.source == "none":
        del networks["video"]
    built = {name: build_network(make, 0, ParallelContext()) for name, make in networks.items()}
    channels = transformer.latent_channels
    return AudioModel(
        **{"video": None} | built,  # type: ignore[arg-type]
        conditioning=conditioning,
        flow=flow,
        latent_mean_C=torch.zeros(channels),
        latent_std_C=torch.ones(channels),
        latent_rate=latent_rate,
        precision_name=precision_name,
    )


def make_video_network(
    video: VideoConditionConfig, transformer: TransformerConfig, flow: AudioFlowConfig
) -> VideoCondition:
    """Return the network of video features, with a head for the side loss where it has a weight."""
    channels = transformer.latent_channels if flow.video_latent_weight else 0
    return VideoCondition(video, transformer.hidden_size, channels)


def with_frames(clips: VideoClips, frames_BTCHW: Tensor) -> VideoClips:
    """Return the same videos with other frames."""
    return replace(clips, frames_BTCHW=frames_BTCHW)
