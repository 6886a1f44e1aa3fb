"""Configs of `src.generate`, `src.reconstruct` and `src.export`; importable without torch."""

from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeVar

from src.core.fields import Config, opt
from src.flow.config import GuidanceSchedule, QuadraticStart, SamplerConfig, Schedule, Solver
from src.models.nn.config import AttentionBackend
from src.models.tae.config import TilingConfig
from src.parallel.config import InferenceMesh
from src.training.config import Precision, Use

AnySampler = TypeVar("AnySampler", bound=SamplerConfig)


@dataclass(frozen=True, kw_only=True)
class RewriteConfig(Config):
    """Settings of prompt rewriting."""

    backend: Literal["none", "model", "bounce"] = opt(
        "none", "none; model: a causal language model; bounce: the rules of the Bounce world"
    )
    path: str = opt("", "model: directory of checkpoint and tokenizer, as save_pretrained writes them")
    instruction: str = opt("", "model: file with another instruction than the built-in one")
    max_tokens: int = opt(160, "model: maximum number of tokens of a caption", ge=1)
    wording: Literal["plain", "short", "long"] = opt("plain", "bounce: wording of its captions")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.backend == "model") != bool(self.path):
            raise ValueError(
                f"path={self.path!r} and backend={self.backend}: "
                "backend=model needs path, and path needs backend=model"
            )


@dataclass(frozen=True, kw_only=True)
class SamplerOverrides(Config):
    """Fields of `SamplerConfig` to change; null keeps the value of the run's own `flow.sampler`."""

    solver: Solver | None = opt(None, "ODE solver")
    schedule: Schedule | None = opt(None, "spacing of the solver's timesteps")
    num_steps: int | None = opt(None, "number of solver steps", ge=1)
    tolerance: float | None = opt(None, "error per step of the adaptive solver", gt=0)
    num_emulated_steps: int | None = opt(None, "linear steps that linear-quadratic emulates", ge=1)
    quadratic_start: QuadraticStart | None = opt(None, "start of the quadratic half of linear-quadratic")
    guidance_scale: float | None = opt(None, "scale of classifier-free guidance; 1 turns it off", ge=0)
    guidance_schedule: GuidanceSchedule | None = opt(None, "guidance scale over time")
    guidance_scale_end: float | None = opt(None, "guidance scale at the data end", ge=0)

    def apply(self, sampler: AnySampler) -> AnySampler:
        """Return a sampler with these overrides."""
        return replace(sampler, **{name: value for name, value in asdict(self).items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class VideoAudioConfig(Config):
    """Audio for the videos of one `src.generate` call; more settings: generate them, then videos=MANIFEST."""

    run: str = opt("", "run, checkpoint or exported file of an audio model; empty: videos without audio")
    codec: str = opt("", "its codec; empty: as `codec` of --help audio")
    text: Literal["none", "prompt"] = opt(
        "none", "text that the audio model reads: none, or the prompt of the video"
    )
    loudness_lufs: float | None = opt(
        None, "integrated loudness, as far as peaks allow; null: as generated", le=0
    )


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """Settings of `src.generate`."""

    run: str = opt("???", "run directory, checkpoint or exported file of a video model")
    tae: str = opt(
        "",
        "run or exported file of the TAE; empty: the one that encoded the run's latents, "
        "or tae.safetensors in the folder of an exported run",
    )
    use: Use = opt("ema", "weights: ema or raw")
    prompts: str = opt("", "file of prompts: .txt, one per line, or .jsonl")
    image: str = opt(
        "", "first frame of every video, for an image-to-video model; center-cropped to the video's size"
    )
    negative_prompt: str = opt("", "negative prompt of guidance; empty: the null condition of training")
    out: str = opt("", "output directory; empty: RUN/generated")
    overwrite: bool = opt(False, "replace the manifest and videos of an earlier command in `out`")
    num_frames: int | None = opt(
        None, "frames of each video, 1 generates images; null: as in the run's largest bucket", ge=1
    )
    height: int | None = opt(None, "height in pixels; null: as in the run's largest bucket", ge=1)
    width: int | None = opt(None, "width in pixels; null: as in the run's largest bucket", ge=1)
    fps: float | None = opt(
        None, "frames per second, stated in the prompt and written into the file; null: the run's", gt=0
    )
    seed: int = opt(0, "seed of the first prompt; each further prompt takes the next")
    seeds_per_prompt: int = opt(1, "videos of each prompt, with different seeds", ge=1)
    batch_size: int = opt(
        32, "videos sampled together; several processes take batches in round-robin order", ge=1
    )
    device: str = opt("auto", "auto (CUDA if available), cpu, cuda or cuda:N")
    precision: Precision = opt("bf16", "fp32 or bf16 (where the device has it)")
    attention: AttentionBackend | None = opt(
        None, "attention kernel; null: the run's, or auto where flash is not there"
    )
    mesh: InferenceMesh = opt(InferenceMesh(), "what the processes of torchrun or srun share")
    compile_blocks: bool = opt(False, "torch.compile each block: a slow start, then faster steps")
    compile_backend: str = opt("inductor", "backend of torch.compile; aot_eager needs no compiler")
    tiling: TilingConfig = opt(TilingConfig(), "tiles in which long videos and large frames are decoded")
    crf: int = opt(8, "H.264 quality of the videos, 0 (lossless) to 51", ge=0, le=51)
    sampler: SamplerOverrides = opt(SamplerOverrides(), "changes to the run's own sampler")
    rewrite: RewriteConfig = opt(RewriteConfig(), "rewriting of prompts in the style of training captions")
    audio: VideoAudioConfig = opt(VideoAudioConfig(), "audio for the videos, written to OUT/with_audio")


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig(Config):
    """Settings of `src.reconstruct`."""

    run: str = opt("???", "run directory, checkpoint or exported file of a TAE or of an audio codec")
    use: Use = opt("ema", "weights: ema or raw")
    data: str = opt(
        "",
        "prepared data set (the directory that holds dataset.json), in addition to video=, audio= or instead",
    )
    num_clips: int = opt(8, "clips of each bucket of data; 0: all", ge=0)
    max_frames: int = opt(0, "maximum number of frames of each video; 0: all", ge=0)
    out: str = opt("", "output directory; empty: RUN/reconstructed")
    num_overview_frames: int = opt(6, "frames in the overview image of each video", ge=1)
    num_spectrograms: int = opt(16, "audio: the first files of which spectrograms are drawn", ge=0)
    crf: int = opt(8, "H.264 quality of the videos, 0 (lossless) to 51", ge=0, le=51)
    precision: Precision = opt("fp32", "fp32 or bf16 (where the device has it)")
    device: str = opt("auto", "auto (CUDA if available), cpu, cuda or cuda:N")
    manifests: bool = opt(
        False, "for eval.run: also write the originals in the same encoding, and a manifest of each set"
    )
    tiling: TilingConfig = opt(TilingConfig(), "tiles of long videos and large frames")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Settings of `src.export`."""

    run: str = opt(
        "???", "run directory or checkpoint of a TAE, a codec, a video, an audio or a contrastive model"
    )
    out: str = opt(
        "",
        "file to write, ending in .safetensors; empty: RUN.safetensors. hub: folder, "
        "RUN-hub; contrastive: folder, RUN/programs",
    )
    use: Use = opt("ema", "weights: ema or raw")
    dtype: Literal["fp32", "bf16"] = opt(
        "fp32",
        "fp32: the checkpoint's values bit for bit; bf16: half the size, vectors and statistics stay fp32",
    )
    format: Literal["file", "hub"] = opt(
        "file", "file: one safetensors file; hub: a video model, its TAE and a model card in a folder"
    )
    tae: str = opt("", "hub: run or exported file of the TAE; empty: the one that encoded the run's latents")
    scores: str = opt("", "hub: output folder of eval.run, whose numbers go into the model card")
    license: str = opt("", "hub: license of the weights, in the hub's words, such as apache-2.0")
    data_license: str = opt("", "hub: license of the training data, where its records do not state it")
    codec: str = opt("", "contrastive: run of the codec; empty: the one that encoded the run's latents")
    seconds: float = opt(3.0, "contrastive: length of the audio and video that are compared", gt=0)
    fps: float = opt(16.0, "contrastive: frames per second", gt=0)
