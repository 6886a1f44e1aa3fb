"""Config of training runs of the audio model; importing it needs neither torch nor Lightning."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.vision.config import VideoConditionConfig
from src.streaming.config import DataConfig
from src.training.config import TrainConfig, Use
from src.training.modules.audio_config import AudioFlowConfig, ModeConfig


@dataclass(frozen=True, kw_only=True)
class AudioRunConfig(Config):
    """One stage of the audio model: pretraining or finetuning; stages differ in values only."""

    experiment: str = opt("audio", "kind of run")
    name: str = opt("???", "name of the run")
    run_dir: str = opt("runs/${name}", "directory for checkpoints and metrics")
    latents: str = opt("???", "run directory of the encoded data set")
    latent_rate: float = opt(25.0, "latent frames per second of the codec", gt=0)
    flags_captions: bool = opt(
        False,
        "latents have captions without descriptions (encode_latents flags_captions=true): generation without"
        " a prompt states quality and music by one",
    )
    start_from: str = opt("", "run, checkpoint or exported file whose weights initialize this stage")
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    start_optimizer: bool = opt(False, "also start from the optimizer's moments; needs raw")
    allow_other_codec: bool = opt(False, "start from a model of another codec's latents")
    transformer: TransformerConfig = opt(TransformerConfig(), "the transformer; patch is [1, 1, 1]")
    text: ByteEncoderConfig = opt(ByteEncoderConfig(), "the text encoder, trained with the transformer")
    encoders: dict[str, FrozenTextConfig] = opt(
        {}, "frozen text encoders by name, as the latents were encoded with; any replaces `text`"
    )
    video: VideoConditionConfig = opt(VideoConditionConfig(), "the encoder of videos")
    flow: AudioFlowConfig = opt(AudioFlowConfig(), "objective, masks, dropout and sampling")
    modes: dict[str, ModeConfig] = opt(
        {}, "uses of the model by name, each with a validation loss of its own"
    )
    data: DataConfig = opt(DataConfig(), "streams of audio latents; lengths are in latent frames")
    train: TrainConfig = opt(TrainConfig(), "steps and optimizer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_optimizer and not (self.start_from and self.start_use == "raw"):
            raise ValueError("start_optimizer=true needs start_from and start_use=raw")
        t = self.transformer
        if t.patch != (1, 1, 1):
            raise ValueError(f"transformer.patch must be [1, 1, 1] for audio, got {list(t.patch)}")
        if t.cond_channels != t.latent_channels + 1:
            raise ValueError(
                "transformer.cond_channels must be latent_channels + 1 (known audio and its mask): "
                f"{t.latent_channels + 1}, got {t.cond_channels}"
            )
        if self.train.sample_every:
            raise ValueError(
                f"train.sample_every={self.train.sample_every}: audio is not sampled while training"
            )
        if self.video.source == "none":
            needy = [name for name, mode in self.modes.items() if mode.video != "none"]
            if needy:
                raise ValueError(f"modes.{needy[0]} needs a video, and video.source=none")
