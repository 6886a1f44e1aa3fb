"""Configs of `src.generate`, `src.reconstruct` and `src.export`; importable without torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.flow.config import SamplerConfig
from src.models.tae.config import TilingConfig
from src.training.config import Precision, Use


@dataclass(frozen=True, kw_only=True)
class RewriteConfig(Config):
    """Whether and how prompts are rewritten before the model reads them."""

    by: Literal["none", "model", "bounce"] = opt(
        "none", "none; model: a causal language model; bounce: the rules of the Bounce world"
    )
    path: str = opt("", "model: directory of checkpoint and tokenizer, as save_pretrained writes them")
    instruction: str = opt("", "model: file with another instruction than the built-in one")
    max_tokens: int = opt(160, "model: maximum number of tokens of a caption", ge=1)
    wording: Literal["plain", "short", "long"] = opt("plain", "bounce: wording of its captions")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.by == "model") != bool(self.path):
            raise ValueError(f"path={self.path!r} needs by=model, and by=model needs path; by is {self.by}")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """Which videos to generate, with which model."""

    run: str = opt("???", "run directory, checkpoint or exported file of a video model")
    tae: str = opt("", "run or exported file of the TAE; empty: the one that encoded the run's latents")
    use: Use = opt("ema", "weights: ema or raw")
    prompts: str = opt("", "file of prompts: .txt, one per line, or .jsonl")
    image: str = opt(
        "", "first frame of every video, for an image-to-video model; center-cropped to the video's size"
    )
    negative: str = opt("", "negative prompt of guidance; empty: the null condition of training")
    out: str = opt("", "output directory; empty: RUN/generated")
    frames: int = opt(16, "frames of each video; 1 generates images", ge=1)
    height: int = opt(32, "height in pixels", ge=1)
    width: int = opt(32, "width in pixels", ge=1)
    fps: float = opt(16.0, "frames per second, stated in the prompt and written into the file", gt=0)
    seed: int = opt(0, "seed of the first prompt; each further prompt takes the next")
    seeds_per_prompt: int = opt(1, "videos of each prompt, with different seeds", ge=1)
    batch_size: int = opt(32, "videos sampled together", ge=1)
    precision: Precision = opt("bf16", "fp32 or bf16 (where the device has it)")
    compile_blocks: bool = opt(False, "torch.compile each block: a slow start, then faster steps")
    compile_backend: str = opt("inductor", "backend of torch.compile; aot_eager needs no compiler")
    tiling: TilingConfig = opt(TilingConfig(), "tiles in which long videos and large frames are decoded")
    crf: int = opt(8, "H.264 quality of the videos, 0 (lossless) to 51", ge=0, le=51)
    sampler: SamplerConfig = opt(SamplerConfig(guidance=3.0), "solver, schedule and guidance")
    rewrite: RewriteConfig = opt(RewriteConfig(), "rewriting of prompts in the style of training captions")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negative and not self.sampler.guided:
            raise ValueError(f"negative={self.negative!r} needs guidance: sampler.guidance above 1, got 1")


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig(Config):
    """Which videos to reconstruct, with which autoencoder."""

    run: str = opt("???", "run directory or checkpoint of a TAE")
    use: Use = opt("ema", "weights: ema or raw")
    data: str = opt(
        "", "prepared data set (the directory that holds dataset.json), beside or instead of video="
    )
    clips: int = opt(8, "clips of each bucket of data; 0: all", ge=0)
    frames: int = opt(0, "maximum number of frames of each video; 0: all", ge=0)
    out: str = opt("", "output directory; empty: RUN/reconstructed")
    shown: int = opt(6, "frames in the overview image of each video", ge=1)
    crf: int = opt(8, "H.264 quality of the videos, 0 (lossless) to 51", ge=0, le=51)
    precision: Precision = opt("fp32", "fp32 or bf16 (where the device has it)")
    device: str = opt("cpu", "cpu, cuda or cuda:N")
    manifests: bool = opt(
        False, "for eval.run: also write the originals in the same encoding, and a manifest of each set"
    )
    tiling: TilingConfig = opt(TilingConfig(), "tiles of long videos and large frames")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Which weights to export."""

    run: str = opt("???", "run directory or checkpoint of a TAE or a video model")
    out: str = opt("", "file to write, ending in .safetensors; empty: RUN.safetensors beside the run")
    use: Use = opt("ema", "weights: ema or raw")
