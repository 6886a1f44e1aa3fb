"""Measurements of a trained variant, by commands of this project, each run once.

Videos are generated and scored by `src.generate`, `src.reconstruct` and `eval.run` in processes of their own:
`src` does not import `eval`, and only uses its command line and its files. Results go to
RUN/measured/CHECKPOINT/numbers.json.
"""

import csv
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from src.runs import steps
from src.studies.ablation.config import MeasureConfig

NUMBERS = "numbers.json"
AUDIO_SCORES = {
    "bounce_onsets": ("onset_precision", "onset_recall", "onset_f1"),
    "bounce_audio": ("hit_f1", "hit_material"),
}
"""Scores of audio variants by metric."""


def measurement_dir(checkpoint: Path) -> Path:
    """Return the directory of a checkpoint's measurements."""
    return checkpoint.parent.parent / "measured" / checkpoint.stem


def read_numbers(checkpoint: Path) -> dict[str, float]:
    """Return the measurements of a checkpoint; empty if there are none."""
    path = measurement_dir(checkpoint) / NUMBERS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measure_video_model(config: MeasureConfig, checkpoint: Path, overrides: dict[str, Any]) -> None:
    """Measure the checker's `subject` and `motion` (fractions of correct videos) on the prompts.

    Args:
        overrides: the variant's own overrides of src.generate.
    """
    if not config.prompts:
        return
    source = [*([config.generate] if config.generate else []), f"prompts={config.prompts}"]
    scored = _generate_and_score(config, checkpoint, "videos", source, overrides, ["metrics=[bounce]"])
    scores = _read_scores(scored, "bounce")
    _write_numbers(measurement_dir(checkpoint), {name: scores[name] for name in ("subject", "motion")})


def measure_audio_model(config: MeasureConfig, checkpoint: Path, overrides: dict[str, Any]) -> None:
    """Measure the checker's onsets, hits and materials of the audio generated for the videos.

    Args:
        overrides: the variant's own overrides of src.generate.
    """
    if not config.videos:
        return
    metrics = [f"metrics=[{','.join(AUDIO_SCORES)}]", "sheet_rows=0"]
    source = [f"data={config.videos}"]
    scored = _generate_and_score(config, checkpoint, "audio", source, overrides, metrics)
    numbers = dict[str, float]()
    for metric, names in AUDIO_SCORES.items():
        scores = _read_scores(scored, metric)
        numbers |= {name: scores[name] for name in names if name in scores}  # of no hits there is no material
    _write_numbers(measurement_dir(checkpoint), numbers)


def _generate_and_score(
    config: MeasureConfig,
    checkpoint: Path,
    name: str,
    source: list[str],
    overrides: dict[str, Any],
    scoring: list[str],
) -> Path:
    """Generate from `source` into the folder `name` and score it by eval.run; return the scores' folder."""
    out = measurement_dir(checkpoint)
    argv = [steps.MODULES["generate"], *source, f"run={checkpoint}", f"out={out / name}", "overwrite=true"]
    _run_once(out, name, argv + steps.to_overrides(config.generate_overrides | overrides))
    argv = [steps.MODULES["score"], f"manifest={out / name / 'manifest.jsonl'}", f"out={out / 'scores'}"]
    _run_once(out, "scores", [*argv, *scoring, "html_videos=0"])
    return out / "scores"


def measure_autoencoder(config: MeasureConfig, checkpoint: Path) -> None:
    """Measure PSNR, SSIM, feature distances, and outliers of the latents, on every data set."""
    out, numbers = measurement_dir(checkpoint), dict[str, float]()
    for name, data in config.data.items():
        found = _reconstruct(config, checkpoint, name, data)
        if config.backbones and (out / name / "videos" / "manifest.jsonl").is_file():
            found |= _measure_feature_distances(config, checkpoint, name)
        if config.num_outlier_videos:
            found |= _measure_outliers(config, checkpoint, name, data)
        numbers |= {f"{name} {key}": value for key, value in found.items()}
    if numbers:
        _write_numbers(out, numbers)


def _reconstruct(config: MeasureConfig, checkpoint: Path, name: str, data: str) -> dict[str, float]:
    """Reconstruct a data set; return PSNR and SSIM."""
    out = measurement_dir(checkpoint)
    videos = out / name / "videos"
    argv = [steps.MODULES["reconstruct"], f"run={checkpoint}", f"data={data}"]
    argv += [f"num_clips={config.num_clips}", f"out={videos}", "manifests=true", "crf=0"]  # lossless
    _run_once(out, f"{name}-videos", argv)
    return mean_pixel_scores(videos / "scores.csv")


def _measure_feature_distances(config: MeasureConfig, checkpoint: Path, name: str) -> dict[str, float]:
    """Return Fréchet and kernel distances of reconstructed from original videos."""
    out = measurement_dir(checkpoint)
    videos, scores = out / name / "videos", out / name / "scores"
    argv = [steps.MODULES["score"], f"manifest={videos / 'manifest.jsonl'}"]
    argv += [f"reference={videos / 'originals.jsonl'}", f"out={scores}"]
    argv += ["metrics=[]", "html_videos=0", "sheet_rows=0", f"backbones=[{','.join(config.backbones)}]"]
    _run_once(out, f"{name}-scores", argv)
    distances = _read_scores(scores, "distribution_")
    return {key: value for key, value in distances.items() if key.startswith(("fd_", "kid_"))}


def _measure_outliers(config: MeasureConfig, checkpoint: Path, name: str, data: str) -> dict[str, float]:
    """Return the fractions of latent positions beyond each threshold."""
    out = measurement_dir(checkpoint)
    folder = out / name / "outliers"
    argv = [steps.MODULES["train"], "configs/studies/latent_outliers.yaml", f"tae={checkpoint}"]
    argv += [f"data={data}", f"out={folder}", f"num_videos={config.num_outlier_videos}"]
    _run_once(out, f"{name}-outliers", argv)
    result = json.loads((folder / "latent_outliers.json").read_text(encoding="utf-8"))
    return {f"beyond {r}": fraction for r, fraction in result["beyond"].items()}


def mean_pixel_scores(path: Path) -> dict[str, float]:
    """Return means over the frames in `scores.csv` of src.reconstruct, separately for videos and images."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    num_frames: dict[str, int] = {}
    for row in rows:
        num_frames[row["video"]] = num_frames.get(row["video"], 0) + 1
    means: dict[str, float] = {}
    for kind in ("video", "image"):
        own = [row for row in rows if (num_frames[row["video"]] > 1) == (kind == "video")]
        for name in ("psnr", "ssim") if own else ():
            means[f"{kind} {name}"] = fmean(float(row[name]) for row in own)
    return means


def _run_once(out: Path, step: str, argv: list[str]) -> None:
    steps.run_once(out / "steps" / f"{step}.json", f"measurement {step} of {out.parent.parent}", argv, out)


def _read_scores(folder: Path, metric: str) -> dict[str, float]:
    """Return means over all samples from eval.run's scores.jsonl; `metric` is a prefix of metric names."""
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["slice"] == "all"]
    return {row["score"]: row["mean"] for row in rows if row["metric"].startswith(metric)}


def _write_numbers(out: Path, numbers: dict[str, float]) -> None:
    (out / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
