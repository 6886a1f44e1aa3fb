"""Precision, recall and curves of the filters over all trials."""

import json
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import matplotlib.figure
import numpy as np
from rich.console import Console

from data.curation.camera_labels import label_camera
from data.curation.config import CameraConfig, CurationConfig
from data.curation.funnel import check_step
from data.curation.truth.config import ValidateConfig
from data.curation.truth.trajectories import LABELS
from data.curation.truth.trials import FILTERS, SETTING, Trial, are_duplicates, run_trial
from src.core import config as configs
from src.core.errors import UserError
from src.core.markdown import markdown_table
from src.core.progress import progress

CAMERA = "camera"


def measure(settings: ValidateConfig) -> None:
    """Run the trials that are not in trials.jsonl, then write and print the tables.

    Raises:
        UserError: a filter that does not exist.
    """
    names = settings.filters or (*FILTERS, CAMERA)
    unknown = [name for name in names if name not in (*FILTERS, CAMERA)]
    if unknown:
        raise UserError(
            f"filters: no filter {unknown[0]!r}; expected some of {', '.join((*FILTERS, CAMERA))}"
        )
    thresholds = configs.load(CurationConfig, settings.config, ["path=.", "out=."])
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    trials = list_trials(settings, names)
    results = run_trials(trials, out / "trials.jsonl", settings.num_workers)
    table = filter_table(names, trials, results, thresholds, settings.group)
    (out / "table.md").write_text(table, encoding="utf-8")
    print(table)
    if CAMERA in names:
        text = camera_table(trials, results, thresholds.camera)
        (out / "camera.md").write_text(text, encoding="utf-8")
        print(text)
    if settings.num_borderline:
        plot_curves(out / "curves.png", names, trials, results, thresholds)


def list_trials(settings: ValidateConfig, names: Iterable[str]) -> list[Trial]:
    """Return the trials of these filters: full strength, and borderline ones."""
    trials = []
    for name in names:
        if name == CAMERA:
            trials += [
                Trial(name, settings.group, i, label=label)
                for label in LABELS
                for i in range(settings.num_labels)
            ]
            continue
        trials += [Trial(name, settings.group, i, bool(r)) for r in (1, 0) for i in range(settings.num)]
        kept = name in ("static", "slideshow")  # there the clips to keep become borderline
        trials += [
            Trial(name, settings.group, i, not kept, strength)
            for strength in settings.strengths
            for i in range(settings.num_borderline)
        ]
    return trials


def run_trials(trials: list[Trial], path: Path, num_workers: int) -> dict[Trial, dict[str, Any]]:
    """Return the scores of all trials; each is appended to a file when it is done."""
    results = _read_done(path)
    missing = [trial for trial in trials if trial not in results]
    with (
        path.open("a", encoding="utf-8") as file,
        progress("trials", len(trials), len(trials) - len(missing), Console()) as done,
    ):
        for trial, scores in _outcomes(missing, num_workers):
            results[trial] = scores
            file.write(json.dumps({"trial": asdict(trial), "scores": scores}) + "\n")
            file.flush()
            done(1)
    return results


def _outcomes(trials: list[Trial], num_workers: int) -> Iterable[tuple[Trial, dict[str, Any]]]:
    if not num_workers:
        for trial in trials:
            yield trial, run_trial(trial)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_use_one_thread) as pool:
        futures = {pool.submit(run_trial, trial): trial for trial in trials}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _read_done(path: Path) -> dict[Trial, dict[str, Any]]:
    results = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of an interrupted run
            continue
        results[Trial(**entry["trial"])] = entry["scores"]
    return results


def is_rejected(name: str, scores: dict[str, Any], thresholds: CurationConfig) -> bool:
    """Return a filter's decision on a trial's scores."""
    if name == "near_duplicates":
        return are_duplicates(scores, thresholds.near_duplicates)
    return bool(check_step(scores, thresholds.steps[name])[0])


def filter_table(
    names: Iterable[str],
    trials: list[Trial],
    results: dict[Trial, dict[str, Any]],
    thresholds: CurationConfig,
    group: str,
) -> str:
    """Return precision and recall of each filter; of the setting group also the ranges of scores."""
    heads = ["filter", "reject", "keep", "precision", "recall", "missed", "false"]
    rows = []
    for name in names:
        full = [t for t in trials if t.filter == name and t.strength == 1.0 and not t.label]
        if not full:
            continue
        hits = np.array([is_rejected(name, results[t], thresholds) for t in full])
        truth = np.array([t.reject for t in full])
        found, missed, false = (hits & truth).sum(), (~hits & truth).sum(), (hits & ~truth).sum()
        precision = found / max(found + false, 1)
        cells = [
            str(truth.sum()),
            str((~truth).sum()),
            f"{precision:.3f}",
            f"{found / max(truth.sum(), 1):.3f}",
        ]
        row = [name, *cells, str(missed), str(false)]
        rows.append([*row, score_ranges(full, results)] if group == SETTING else row)
    return markdown_table([*heads, "scores: reject | keep"] if group == SETTING else heads, rows)


def score_ranges(trials: list[Trial], results: dict[Trial, dict[str, Any]]) -> str:
    """Return quantiles (0, 5, 50, 95, 100 %) of each score of clips to reject and to keep."""
    parts = []
    for score in results[trials[0]]:
        ranges = []
        for reject in (True, False):
            values = [results[t][score] for t in trials if t.reject == reject]
            numbers = [v for v in values if isinstance(v, int | float)]
            if numbers:
                ranges.append(" ".join(f"{q:.3g}" for q in np.quantile(numbers, [0, 0.05, 0.5, 0.95, 1])))
        if ranges:
            parts.append(f"{score}: {' / '.join(ranges)}")
    return "; ".join(parts)


def camera_table(trials: list[Trial], results: dict[Trial, dict[str, Any]], config: CameraConfig) -> str:
    """Return precision and recall of each label among the confident ones, and their fraction."""
    found = [(t.label, *label_camera(results[t], config)) for t in trials if t.label]
    rows = []
    for label in LABELS:
        of_label = [(name, confidence) for truth, name, confidence in found if truth == label]
        sure = [name for name, confidence in of_label if confidence >= config.min_confidence]
        named = sum(name == label and confidence >= config.min_confidence for _, name, confidence in found)
        right, every = sure.count(label), sum(name == label for name, _ in of_label)
        cells = [len(of_label), f"{right / max(named, 1):.3f}", f"{right / max(len(sure), 1):.3f}"]
        cells += [f"{len(sure) / max(len(of_label), 1):.2f}", f"{every / max(len(of_label), 1):.3f}"]
        rows.append([label, *map(str, cells)])
    heads = ["label", "clips", "precision", "recall of the confident", "confident", "right at any confidence"]
    return markdown_table(heads, rows)


def plot_curves(
    path: Path,
    names: Iterable[str],
    trials: list[Trial],
    results: dict[Trial, dict[str, Any]],
    thresholds: CurationConfig,
) -> None:
    """Draw the fraction of clips that each filter rejects against the strength of what it looks for."""
    shown = [name for name in names if name != CAMERA]
    figure = matplotlib.figure.Figure(figsize=(11, 2.1 * -(-len(shown) // 4)), layout="constrained")
    all_axes = figure.subplots(-(-len(shown) // 4), min(4, len(shown)), squeeze=False, sharey=True).ravel()
    for axes in all_axes[len(shown) :]:
        axes.set_axis_off()
    for axes, name in zip(all_axes, shown, strict=False):
        points: dict[float, list[bool]] = {}
        kept = name in ("static", "slideshow")
        for trial in trials:
            if trial.filter == name and trial.reject != kept:
                hit = is_rejected(name, results[trial], thresholds)
                points.setdefault(trial.strength, []).append(hit)
        strengths = sorted(points)
        axes.plot(strengths, [np.mean(points[s]) for s in strengths], marker="o", color="#1d7a46")
        axes.set_title(f"{name} ({'to keep' if kept else 'to reject'})", fontsize=9)
        axes.set_ylim(-0.05, 1.05)
        axes.set_xlim(0, 1.05)
    figure.supylabel("fraction rejected")
    figure.supxlabel("strength")
    figure.savefig(path, dpi=110)
