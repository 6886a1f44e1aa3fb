"""Config of an ablation: variants over seeds, each a chain of stages; importable without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from src.core.errors import UserError
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(Config):
    """Measurements of the variants; what is left empty is not measured."""

    prompts: str = opt("", "prompts with facts; video variants generate them for the Bounce checker")
    generate: str = opt("", "config of src.generate for these videos")
    generate_overrides: dict[str, Any] = opt({}, "overrides of src.generate, such as batch_size")
    videos: str = opt("", "prepared Bounce videos; audio variants generate audio for them, which is checked")
    data: dict[str, str] = opt({}, "pixel data sets that autoencoder variants reconstruct, by name")
    num_clips: int = opt(0, "clips of each bucket of them; 0: all", ge=0)
    backbones: tuple[str, ...] = opt(
        ("efflite0",), "backbones of eval.run for distances of reconstructed from real videos; empty: none"
    )
    num_outlier_videos: int = opt(
        64, "videos of each data set whose latents are checked for outliers; 0: none", ge=0
    )

    def check(self) -> None:
        """Raise UserError for missing files, before anything is trained."""
        if self.prompts and not Path(self.prompts).is_file():
            raise UserError(
                f"measure.prompts={self.prompts}: no such file; create it with python -m data.bounce.prompts"
            )
        sets = {f"data.{name}": path for name, path in self.data.items()}
        for name, path in (sets | {"videos": self.videos} if self.videos else sets).items():
            if not (Path(path) / "dataset.json").is_file():
                raise UserError(f"measure.{name}={path}: no data set; create it with python -m data.prepare")


@dataclass(frozen=True, kw_only=True)
class VariantConfig(Config):
    """One variant of a comparison."""

    after: str = opt(
        "", "variant whose last stage initializes the first stage, at the same seed; empty: none"
    )
    stages: tuple[str, ...] = opt((), "configs of its stages in order, relative to the working directory")
    set: dict[str, Any] = opt({}, "overrides for all its stages (dotted keys)")
    matched_time: str = opt(
        "",
        "variant whose training time this one matches by the steps of its last stage; empty: as configured",
    )
    measured: Literal["last", "all"] = opt(
        "last", "checkpoints of its last stage to measure: the last one, or all that are kept"
    )
    generate_overrides: dict[str, Any] = opt(
        {}, "overrides of src.generate for this variant, such as sampler.schedule"
    )


@dataclass(frozen=True, kw_only=True)
class AblationConfig(Config):
    """Settings of an ablation: variants, seeds and measurements."""

    experiment: str = opt("ablation", "kind of run")
    name: str = opt("ablation", "name of the run")
    run_dir: str = opt("runs/${name}", "directory of the variants: RUN_DIR/VARIANT/seed-N/STAGE")
    variants: dict[str, VariantConfig] = opt({}, "the variants by name")
    only: tuple[str, ...] = opt((), "names of the variants to run; empty: all")
    seeds: tuple[int, ...] = opt((0,), "seeds of weights, order and noise")
    set: dict[str, Any] = opt({}, "overrides for every stage of every variant (dotted keys)")
    probe_steps: int = opt(40, "steps to time a variant with matched_time before it runs", ge=2)
    measure: MeasureConfig = opt(MeasureConfig(), "measurements after training")
    paper: dict[str, dict[str, Any]] = opt({}, "the paper's rows, shown below ours")
    notes: tuple[str, ...] = opt((), "footnotes of the table")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, variant in self.variants.items():
            for key in ("after", "matched_time"):
                other = getattr(variant, key)
                if other and other not in self.variants:
                    raise ValueError(f"variants.{name}.{key}: unknown variant {other!r}")
            self._check_order(name, ())

    def _check_order(self, name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"variants.{name}: dependency cycle ({' -> '.join((*path, name))})")
        for other in self.dependencies(name):
            if other in self.variants:
                self._check_order(other, (*path, name))

    def dependencies(self, name: str) -> list[str]:
        """Return the variants that must be trained before this one."""
        variant = self.variants[name]
        return [other for other in (variant.after, variant.matched_time) if other]

    def seed_dir(self, name: str, seed: int) -> Path:
        """Return the directory of one variant at one seed."""
        return Path(self.run_dir) / name / f"seed-{seed}"

    def stage_dirs(self, name: str, seed: int) -> list[Path]:
        """Return the run directories of a variant's own stages, existing or not."""
        root = self.seed_dir(name, seed)
        return [root / f"{i}_{Path(path).stem}" for i, path in enumerate(self.variants[name].stages)]

    def chain(self, name: str, seed: int) -> list[Path]:
        """Return the run directories of all stages that a variant's weights depend on, in order."""
        after = self.variants[name].after
        return [*(self.chain(after, seed) if after else []), *self.stage_dirs(name, seed)]
