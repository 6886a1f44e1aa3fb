"""Ablations over seeds: each variant is a chain of stages; finished work is kept.

    python -m src.train configs/ablations/video.yaml ['only=[diffusion,dit_block]'] ['seeds=[0,1,2]']
    python -m src.train configs/ablations/tae.yaml

Every variant and seed trains in RUN_DIR/VARIANT/seed-N/STAGE, each stage initialized from the one before, and
is then measured: video and audio variants by the Bounce checker, autoencoders by their reconstructions. An
interrupted ablation resumes from the last checkpoint. RUN_DIR/results.json and results.md hold the results so
far, rewritten after every variant.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from src.core import config as configs
from src.core.errors import UserError
from src.experiments import audio, average, tae, video
from src.experiments.config import AverageConfig
from src.runs.audio_config import AudioRunConfig
from src.runs.config import TAERunConfig, VideoRunConfig
from src.runs.run_directory import locked_run_dir
from src.runs.steps import to_overrides
from src.studies.ablation import report
from src.studies.ablation.config import AblationConfig
from src.studies.ablation.matched_time import match_time, total_training_seconds
from src.studies.ablation.measure import measure_audio_model, measure_autoencoder, measure_video_model
from src.training.checkpoint_paths import last_checkpoint, list_checkpoints

STAGES: dict[str, tuple[type, Callable[[Any], None]]] = {
    "tae": (TAERunConfig, tae.run),
    "video": (VideoRunConfig, video.run),
    "audio": (AudioRunConfig, audio.run),
}
# Seed offset of a repeated stage: two draws of one stage, as input of an average.
REPEAT_SEED_OFFSET = 1000


def run(config: AblationConfig) -> None:
    """Train and measure all that is not finished; write the results after every variant."""
    unknown = [name for name in config.only if name not in config.variants]
    if unknown:
        raise UserError(f"only: unknown variant {unknown[0]!r}; known: {', '.join(config.variants)}")
    config.measure.check()
    root, console = Path(config.run_dir), Console(highlight=False)
    trained: set[tuple[str, int]] = set()
    with locked_run_dir(root, config, compare=False):
        for seed in config.seeds:  # seed by seed: an interrupted ablation has every variant at equal seeds
            for name in config.only or config.variants:
                console.print(f"[bold]{name}[/bold], seed {seed}", soft_wrap=True)
                train_variant(config, name, seed, trained)
                measure_variant(config, name, seed)
                report.write_results(config)
    console.print(f"results: {root / 'results.json'}, {root / 'results.md'}", soft_wrap=True)


def train_variant(config: AblationConfig, name: str, seed: int, trained: set[tuple[str, int]]) -> None:
    """Train the stages of one variant, after those it depends on; finished stages return at once.

    Args:
        trained: variants and seeds that are done; this one is added.
    """
    if (name, seed) in trained:
        return
    trained.add((name, seed))
    variant = config.variants[name]
    for other in config.dependencies(name):
        train_variant(config, other, seed, trained)
    chain = config.chain(variant.after, seed) if variant.after else []
    for index, (path, run_dir) in enumerate(zip(variant.stages, config.stage_dirs(name, seed), strict=True)):
        if _experiment_of(path) == "average":
            _average_last_two(path, run_dir, chain)
        else:
            # A repeated stage is a second draw of it: both start from the stage before them.
            is_repeat = index > 0 and variant.stages[index - 1] == path
            if is_repeat and len(chain) < 2:
                raise UserError(f"variants.{name}.stages: the first stage cannot be repeated")
            start = chain[-2] if is_repeat else chain[-1] if chain else None
            overrides = [f"train.seed={seed + REPEAT_SEED_OFFSET * is_repeat}"]
            overrides += [f"start_from={start}"] if start else []
            overrides += to_overrides(variant.set) + to_overrides(config.set)
            if variant.matched_time and index == len(variant.stages) - 1:
                overrides.append(_matched_steps(config, name, seed, path, overrides))
            _train_stage(path, run_dir, overrides)
        chain.append(run_dir)


def _experiment_of(path: str) -> str:
    return str(configs.read([Path(path)], ()).get("experiment"))


def _average_last_two(path: str, run_dir: Path, chain: list[Path]) -> None:
    if last_checkpoint(run_dir) is not None:
        return
    overrides = [f"run_dir={run_dir}", f"inputs=[{chain[-2]},{chain[-1]}]", "validate=true"]
    average.run(configs.load(AverageConfig, path, overrides))


def _train_stage(path: str, run_dir: Path, overrides: list[str]) -> None:
    schema, run_stage = _stage_kind(path)
    run_stage(configs.load(schema, path, [f"run_dir={run_dir}", *overrides]))


def _stage_kind(path: str) -> tuple[type, Callable[[Any], None]]:
    """Return the config class and function of a stage's kind of run; UserError for kinds without weights."""
    kind = _experiment_of(path)
    if kind not in STAGES:
        raise UserError(f"{path}: expected a tae, video, audio or average stage, got {kind}")
    return STAGES[kind]


def _matched_steps(config: AblationConfig, name: str, seed: int, path: str, overrides: list[str]) -> str:
    """Return the override that gives a variant's last stage the training time that is left to it."""
    schema, _ = _stage_kind(path)
    stage: Any = configs.load(schema, path, ["run_dir=none", *overrides])
    folder = config.seed_dir(name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    budget = total_training_seconds(config.chain(config.variants[name].matched_time, seed))
    budget -= total_training_seconds(config.chain(name, seed)[:-1])

    def run_probe(run_dir: Path, further: dict[str, Any]) -> None:
        _train_stage(path, run_dir, [*overrides, *to_overrides(further)])

    min_steps = stage.train.warmup_steps + 1
    result = match_time(folder / "matched_time.json", budget, run_probe, config.probe_steps, min_steps)
    return f"train.max_steps={result.num_steps}"


def measure_variant(config: AblationConfig, name: str, seed: int) -> None:
    """Measure the last stage of a variant, by its kind; finished measurements are kept."""
    variant = config.variants[name]
    runs = config.stage_dirs(name, seed)
    if not runs:
        return
    kinds = set(map(_experiment_of, variant.stages))
    checkpoints = list_checkpoints(runs[-1])
    for checkpoint in checkpoints if variant.measured == "all" else checkpoints[-1:]:
        if "tae" in kinds:
            measure_autoencoder(config.measure, checkpoint)
        elif "audio" in kinds:
            measure_audio_model(config.measure, checkpoint, variant.generate_overrides)
        else:
            measure_video_model(config.measure, checkpoint, variant.generate_overrides)
