"""Configs of training runs; importing them needs neither torch nor Lightning."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.models.codec.config import AudioDiscriminatorConfig, CodecConfig
from src.models.config import DiscriminatorConfig, PerceptualFeaturesConfig
from src.models.tae.config import TAEConfig
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.streaming.config import DataConfig
from src.training.config import PositionGrowth, TrainConfig, Use
from src.training.modules.codec_config import CodecLossConfig
from src.training.modules.tae_config import TAELossConfig
from src.training.modules.video_config import VideoFlowConfig


@dataclass(frozen=True, kw_only=True)
class TAERunConfig(Config):
    """One training run of a temporal autoencoder."""

    experiment: str = opt("tae", "kind of run")
    name: str = opt("???", "name of the run")
    run_dir: str = opt("runs/${name}", "directory for checkpoints and metrics")
    start_from: str = opt(
        "",
        "run, checkpoint, exported file, or .safetensors of a diffusers AutoencoderKL (its config.json in the"
        " same folder) whose weights initialize this run; empty: random initialization",
    )
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    dataset: str = opt("", "prepared data set, for ${dataset} in the paths of streams")
    model: TAEConfig = opt(TAEConfig(), "the autoencoder")
    losses: TAELossConfig = opt(TAELossConfig(), "terms of the loss")
    discriminator: DiscriminatorConfig = opt(DiscriminatorConfig(), "used where losses.gan_weight is not 0")
    features: PerceptualFeaturesConfig = opt(
        PerceptualFeaturesConfig(), "used where losses.perceptual_weight is not 0"
    )
    data: DataConfig = opt(DataConfig(), "streams of pixels")
    train: TrainConfig = opt(TrainConfig(), "steps and optimizer")


@dataclass(frozen=True, kw_only=True)
class CodecRunConfig(Config):
    """One training run of an audio codec."""

    experiment: str = opt("codec", "kind of run")
    name: str = opt("???", "name of the run")
    run_dir: str = opt("runs/${name}", "directory for checkpoints and metrics")
    start_from: str = opt(
        "",
        "run, checkpoint, exported file, or .pth of the Descript Audio Codec whose weights initialize this "
        "run (of the .pth those whose shapes agree); empty: random initialization",
    )
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    dataset: str = opt("", "prepared data set with audio, for ${dataset} in the paths of streams")
    model: CodecConfig = opt(CodecConfig(), "the codec")
    losses: CodecLossConfig = opt(CodecLossConfig(), "terms of the loss")
    discriminator: AudioDiscriminatorConfig = opt(
        AudioDiscriminatorConfig(), "used where losses.gan_weight is not 0"
    )
    data: DataConfig = opt(DataConfig(), "streams of audio; lengths are multiples of the codec's hop")
    train: TrainConfig = opt(TrainConfig(), "steps and optimizer")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, stream in self.data.streams.items():
            for length in stream.lengths:
                if length % self.model.hop:
                    raise ValueError(
                        f"data.streams.{name}.lengths must be multiples of the codec's hop of "
                        f"{self.model.hop} samples, got {length}"
                    )


@dataclass(frozen=True, kw_only=True)
class SampleVideosConfig(Config):
    """Videos generated during training and shown in TensorBoard."""

    prompts: tuple[str, ...] = opt((), "prompts with their FPS prefix; empty: captions of validation videos")
    number: int = opt(4, "number of videos where no prompts are given", ge=0)
    device: str = opt(
        "cpu",
        "where the first process decodes them: cpu leaves the GPU to training, auto uses it",
        resumable=True,
    )


@dataclass(frozen=True, kw_only=True)
class VideoRunConfig(Config):
    """One stage of the video model: text-to-image, joint, or finetuning; stages differ in values only."""

    experiment: str = opt("video", "kind of run")
    name: str = opt("???", "name of the run")
    run_dir: str = opt("runs/${name}", "directory for checkpoints and metrics")
    latents: str = opt("???", "run directory of the encoded data set")
    tae: str = opt("", "run directory of the TAE that decodes sample videos; empty: the one of the latents")
    start_from: str = opt("", "run, checkpoint or exported file whose weights initialize this stage")
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    start_optimizer: bool = opt(
        False, "also start from the optimizer's moments: a change of batch size within a stage; needs raw"
    )
    position_growth: PositionGrowth | None = opt(
        None,
        "spatial position tables longer than those of start_from: pad (larger frames of the same resolution) "
        "or interpolate (a higher resolution); null refuses longer ones",
    )
    allow_other_tae: bool = opt(False, "start from a model of another TAE's latents")
    transformer: TransformerConfig = opt(TransformerConfig(), "the transformer")
    text: ByteEncoderConfig = opt(ByteEncoderConfig(), "the text encoder, trained with the transformer")
    encoders: dict[str, FrozenTextConfig] = opt(
        {}, "frozen text encoders by name, as the latents were encoded with; any replaces `text`"
    )
    flow: VideoFlowConfig = opt(VideoFlowConfig(), "objective and sampling")
    data: DataConfig = opt(DataConfig(), "streams of latents")
    train: TrainConfig = opt(TrainConfig(), "steps and optimizer")
    samples: SampleVideosConfig = opt(SampleVideosConfig(), "sample videos in TensorBoard")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_optimizer and not (self.start_from and self.start_use == "raw"):
            raise ValueError("start_optimizer=true needs start_from and start_use=raw")
        for name, stream in self.data.streams.items():
            if stream.pack:
                self._check_packed(f"data.streams.{name}", stream.batch_size)

    def _check_packed(self, key: str, batch_size: int) -> None:
        parts = self.train.num_micro_batches * self.train.parallel.num_data_ranks
        if batch_size < parts:
            raise ValueError(
                f"{key}.batch_size must be at least {parts} with pack=true, one video for each of "
                f"train.num_micro_batches on each process, got {batch_size}"
            )
        if self.flow.first_frame_prob:
            raise ValueError(
                f"{key}.pack=true cannot be combined with flow.first_frame_prob={self.flow.first_frame_prob}"
            )
        if self.train.parallel.compile_blocks:
            raise ValueError(
                f"{key}.pack=true changes shapes at every step and cannot be combined with "
                "train.parallel.compile_blocks=true"
            )
