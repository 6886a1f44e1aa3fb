"""Configs of the remaining kinds of run; importing them needs neither torch nor Lightning."""

from dataclasses import dataclass
from typing import Any, Literal

from src.core.fields import Config, opt
from src.models.nn.config import AttentionBackend
from src.models.tae.config import TilingConfig
from src.models.text.config import FrozenTextConfig
from src.models.vision.config import FrozenVisionConfig
from src.runs.steps import Command
from src.training.config import Precision, Use


@dataclass(frozen=True, kw_only=True)
class EncodeLatentsConfig(Config):
    """Settings of encoding: the TAE or the audio codec, the frozen encoders, and the data set."""

    experiment: str = opt("encode_latents", "kind of run")
    name: str = opt("latents", "name of the run")
    run_dir: str = opt("runs/${name}", "directory of the latents: RUN_DIR/train, RUN_DIR/val")
    tae: str = opt(
        "",
        "for latents of videos and images: run, checkpoint or exported file of the TAE, or directory of a "
        "published autoencoder in diffusers' format (Wan, HunyuanVideo, CogVideoX, LTX; AutoencoderKL: frame "
        "by frame)",
    )
    codec: str = opt("", "run directory (or checkpoint) of the codec, for latents of audio; instead of tae")
    vision: FrozenVisionConfig = opt(
        FrozenVisionConfig(),
        "codec: frozen image tower whose features of each frame are stored; without a path the frames "
        "themselves are",
    )
    data: str = opt("???", "prepared data set: the directory that holds train/ and val/")
    encoders: dict[str, FrozenTextConfig] = opt(
        {}, "frozen text encoders by name; their embeddings of every caption are stored with the latents"
    )
    flags_captions: bool = opt(
        False,
        "codec: store one more caption of each clip without descriptions: quality, speech, singing, music "
        "only",
    )
    first_frames: bool = opt(False, "also store the latent of each video's first frame, for image-to-video")
    batch_size: int = opt(32, "clips encoded at a time", ge=1)
    precision: Precision = opt("fp32", "fp32 or bf16")
    device: str = opt(
        "auto",
        "auto (CUDA if available), cpu, cuda or cuda:N; of several processes each its own GPU",
        resumable=True,
    )
    tiling: TilingConfig = opt(
        TilingConfig(), "tae: tiles of long clips and large frames, as reconstruction cuts them"
    )
    overwrite: bool = opt(False, "replace latents that another encoder or other data produced")
    engine: Literal["local", "ray"] = opt(
        "local",
        "local: the processes that torchrun or srun started, or this one; ray: tasks of a Ray cluster "
        "(docs/cluster.md)",
        resumable=True,
    )
    ray_address: str = opt(
        "", "engine=ray: the cluster; empty takes RAY_ADDRESS, or starts one here", resumable=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.tae) == bool(self.codec):
            raise ValueError(
                f"give either tae=RUN (videos) or codec=RUN (audio), got {self.tae!r}, {self.codec!r}"
            )
        if self.codec and self.first_frames:
            raise ValueError("first_frames=true is for latents of videos: it needs tae instead of codec")
        if self.flags_captions and not self.codec:
            raise ValueError("flags_captions=true is for captions of audio: it needs codec instead of tae")
        if self.vision.path and not self.codec:
            raise ValueError("vision is for the videos of audio: it needs codec instead of tae")


@dataclass(frozen=True, kw_only=True)
class AverageConfig(Config):
    """Settings of averaging: the runs and their selection."""

    experiment: str = opt("average", "kind of run")
    name: str = opt("???", "name of the average")
    run_dir: str = opt("runs/${name}", "directory of the average; usable like any finished run")
    inputs: tuple[str, ...] = opt((), "runs, checkpoints or exported files of one architecture")
    use: Use = opt("ema", "which weights of each: ema or raw")
    select: Literal["all", "greedy"] = opt(
        "all",
        "all: the uniform mean; greedy: from the best run on, add those that do not raise the loss",
    )
    device: str = opt("auto", "validate: auto (CUDA if available), cpu, cuda or cuda:N", resumable=True)
    precision: Precision | None = opt(None, "validate: fp32 or bf16; null: the run's", resumable=True)
    attention: AttentionBackend | None = opt(
        None, "validate: attention kernel; null: the run's, or auto where flash is not there", resumable=True
    )
    validate: bool = opt(
        False, "measure the validation loss of the average on the first input's validation data"
    )


@dataclass(frozen=True, kw_only=True)
class StageConfig(Config):
    """One command of a recipe."""

    command: Command = opt("train", "which command runs it")
    config: str = opt("", "the command's config file; empty for none")
    set: dict[str, Any] = opt({}, "overrides for the command (key: value, dotted or nested)")
    skip: bool = opt(False, "leave this stage out")


@dataclass(frozen=True, kw_only=True)
class RecipeConfig(Config):
    """A chain of stages."""

    experiment: str = opt("recipe", "kind of run")
    name: str = opt("???", "name of the recipe")
    run_dir: str = opt("runs/${name}", "directory of the stages' runs; a train stage gets run_dir/STAGE")
    hardware: str = opt("", "a configs/hardware file passed to every train stage")
    stages: dict[str, StageConfig] = opt({}, "the stages in order")
    show: dict[str, str] = opt({}, "what to point at at the end: label and path")
