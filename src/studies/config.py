"""Configs of the single-run studies; importable without torch."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from src.core.fields import Config, opt
from src.flow.config import QuadraticStart, SamplerConfig, Schedule
from src.inference.config import GenerateConfig, SamplerOverrides
from src.models.tae.config import TilingConfig
from src.studies.word_substitution import WordSubstitution
from src.training.config import Precision, Use

REFERENCE = "reference"
EMPTY_CAPTION = "empty"  # row of the table in which captions are replaced by the empty one


@dataclass(frozen=True, kw_only=True)
class SamplerVariant(Config):
    """Sampler settings of one variant of a study; everything else is shared."""

    schedule: Schedule = opt("linear", "time schedule of the solver")
    num_steps: int = opt(50, "number of steps", ge=1)
    num_emulated_steps: int = opt(250, "linear steps that a linear-quadratic schedule emulates")
    quadratic_start: QuadraticStart = opt(
        "continuous", "start of the quadratic half of linear-quadratic: continuous step size, or zero_slope"
    )


@dataclass(frozen=True, kw_only=True)
class SamplerStepsConfig(Config):
    """Sampler settings to compare with a reference of many steps."""

    experiment: str = opt("sampler_steps", "kind of run")
    name: str = opt("sampler_steps", "name of the study")
    run_dir: str = opt("runs/${name}", "directory of its videos and results")
    generate: GenerateConfig = opt(GenerateConfig(run="???"), "model, prompts, sizes, as in src.generate")
    reference: SamplerVariant = opt(SamplerVariant(num_steps=1000), "what every variant is compared with")
    variants: dict[str, SamplerVariant] = opt({}, "the variants by name")
    score: bool = opt(True, "score the videos with the Bounce checker; needs prompts with facts")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.variants or REFERENCE in self.variants:
            raise ValueError(f"variants: needs at least one variant, none of them named {REFERENCE!r}")
        for name, variant in self.all_variants().items():
            try:
                self.sampler(variant).apply(SamplerConfig())
            except ValueError as error:
                raise ValueError(f"variants.{name}: {error}") from error

    def all_variants(self) -> dict[str, SamplerVariant]:
        """Return the reference and the variants in the order in which they run."""
        return {REFERENCE: self.reference} | self.variants

    def sampler(self, variant: SamplerVariant) -> SamplerOverrides:
        """Return the shared overrides of the sampler with a variant's schedule."""
        return replace(self.generate.sampler, **asdict(variant))


@dataclass(frozen=True, kw_only=True)
class CaptionSensitivityConfig(Config):
    """Settings of caption sensitivity: the model, the videos and the word substitutions."""

    experiment: str = opt("caption_sensitivity", "kind of run")
    name: str = opt("caption_sensitivity", "name of the measurement")
    run: str = opt("???", "run directory or checkpoint of a video model")
    use: Use = opt("ema", "weights: ema or raw")
    latents: str = opt("", "encoded data set to measure on; empty: the run's own validation data")
    out: str = opt("", "JSON file to write; empty: RUN/caption_sensitivity.json")
    words: dict[str, list[str]] = opt(
        {}, "mutually exclusive phrases by kind; the first one in a caption is replaced by another"
    )
    times: tuple[float, ...] = opt((0.1, 0.3, 0.5, 0.7), "flow times (0: noise, 1: data)", ge=0, lt=1)
    media: Literal["all", "videos", "images"] = opt("all", "videos, images or all of the data")
    num_samples: int = opt(256, "maximum number of samples; 0: all", ge=0)
    batch_size: int = opt(64, "samples per batch, where latents= names the data", ge=1)
    precision: Precision = opt("fp32", "fp32 or bf16 (where the device has it)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.times:
            raise ValueError("times: needs at least one flow time, got []")
        if EMPTY_CAPTION in self.words:
            raise ValueError(f"words.{EMPTY_CAPTION}: this name is reserved for the empty caption")
        for name, phrases in self.words.items():
            WordSubstitution(name, tuple(phrases))


@dataclass(frozen=True, kw_only=True)
class LatentOutliersConfig(Config):
    """Settings of latent outliers: the autoencoder, the videos and the thresholds."""

    experiment: str = opt("latent_outliers", "kind of run")
    name: str = opt("latent_outliers", "name of the measurement")
    tae: str = opt("???", "run directory or checkpoint of an autoencoder")
    use: Use = opt("ema", "weights: ema or raw")
    data: str = opt("???", "prepared data set of pixels (the directory that holds dataset.json)")
    out: str = opt("", "output directory; empty: RUN/latent_outliers")
    num_videos: int = opt(64, "videos of the data set, spread over its buckets; 0: all", ge=0)
    beyond: tuple[float, ...] = opt(
        (2.0, 3.0, 4.0, 5.0), "thresholds, in standard deviations, beyond which positions are counted", gt=0
    )
    num_plotted: int = opt(6, "videos in the plot, those with the largest distances", ge=1)
    tiling: TilingConfig = opt(TilingConfig(), "tiles of long videos and large frames")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beyond:
            raise ValueError("beyond: needs at least one threshold, got []")
