"""Results of a sampler study: distances to the reference, a table and a plot.

Legend: B batch, C channels, T frames, H height, W width.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from src.core.markdown import markdown_table
from src.inference.pipeline import VideoPipeline
from src.losses.reconstruction import psnr
from src.streaming.pixels import from_uint8

SCORES = ("subject", "motion", "camera")
DISTANCE = "latent distance"
Interval = dict[str, float]  # mean, low and high (95 %) over videos


@dataclass(frozen=True)
class VariantResult:
    """Results of one variant.

    `latent_distance` is the root mean square over a latent, in its standard deviations. `psnr` is that of the
    frames in dB, None if every video equals the reference's. `other_video` is the latent distance between two
    videos of the variant, a scale for the distances. `scores` are the checker's.
    """

    name: str
    settings: dict[str, Any]
    num_videos: int
    latent_distance: Interval
    psnr: Interval | None
    other_video: float | None
    scores: dict[str, Interval] = field(default_factory=dict)


def compare(
    name: str, variant: dict[str, Any], pipeline: VideoPipeline, pairs: Iterable[tuple[Tensor, Tensor]]
) -> VariantResult:
    """Compare a variant's videos with those of the reference from the same noise.

    Args:
        pairs: for each batch the reference's latents and the variant's, [B, C, T, H, W].
    """
    distances, psnrs, others = list[float](), list[float](), list[float]()
    for reference, latents in pairs:
        distances += _latent_distances(pipeline, reference, latents)
        others += _latent_distances(pipeline, latents[1:], latents[:-1])
        frames, expected = (torch.from_numpy(pipeline.decode(x)) for x in (latents, reference))
        psnr_B = psnr(from_uint8(frames), from_uint8(expected))
        equal_B = (frames == expected).flatten(1).all(1)  # their PSNR is infinite
        psnrs += psnr_B[~equal_B].tolist()
    scale = float(np.mean(others)) if others else None
    frame_psnr = interval(psnrs) if psnrs else None
    return VariantResult(name, variant, len(distances), interval(distances), frame_psnr, scale)


def _latent_distances(pipeline: VideoPipeline, a_BCTHW: Tensor, b_BCTHW: Tensor) -> list[float]:
    a_BCTHW, b_BCTHW = (pipeline.model.normalize(x.float().to(pipeline.device)) for x in (a_BCTHW, b_BCTHW))
    return torch.sqrt((a_BCTHW - b_BCTHW).square().flatten(1).mean(1)).tolist()


def interval(values: list[float]) -> Interval:
    """Return the mean and its 95 % interval by the normal approximation."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": mean, "low": mean - half, "high": mean + half}


def write_results(results: list[VariantResult], root: Path) -> None:
    """Write results.json and table.md."""
    (root / "results.json").write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    (root / "table.md").write_text(result_table(results), encoding="utf-8")


def result_table(results: list[VariantResult]) -> str:
    """Return a Markdown table of means with their 95 % intervals over videos."""
    score_names = [name for name in SCORES if any(name in r.scores for r in results)]
    heads = ["variant", "schedule", "steps", DISTANCE, "PSNR dB", *score_names]
    rows = []
    for r in results:
        cells = [
            r.name,
            _schedule_name(r),
            str(r.settings["num_steps"]),
            _cell(r.latent_distance, 4),
            _cell(r.psnr, 2),
        ]
        rows.append([*cells, *(_cell(r.scores.get(name), 3) for name in score_names)])
    reference = results[0]
    scale = reference.other_video
    scale_note = "" if scale is None else f" Two different videos of it are {scale:.3f} apart."
    return (
        f"{markdown_table(heads, rows)}\n{reference.num_videos} videos. Distance and PSNR are to the videos "
        f"of {reference.name} from the same noise; the distance is the root mean square over a latent, in "
        f"its standard deviations.{scale_note}\n"
    )


def _schedule_name(result: VariantResult) -> str:
    schedule: str = result.settings["schedule"]
    if schedule == "linear-quadratic":
        schedule += f" {result.settings['quadratic_start']}, as {result.settings['num_emulated_steps']}"
    return schedule


def _cell(value: Interval | None, digits: int) -> str:
    if value is None:
        return "-"
    mean, *bounds = (f"{value[key]:.{digits}f}" for key in ("mean", "low", "high") if key in value)
    return f"{mean} [{', '.join(bounds)}]" if bounds else mean


def plot(results: list[VariantResult], path: Path) -> None:
    """Plot distance and scores over steps: linear schedules as a line, others as points."""
    reference, variants = results[0], results[1:]
    panels = [DISTANCE, *(name for name in SCORES if name in reference.scores)]
    figure = Figure(figsize=(4 * len(panels), 3.4), layout="tight")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    ticks = sorted({r.settings["num_steps"] for r in variants})
    for axes, panel in zip(all_axes, panels, strict=True):
        for label, group in _groups_by_schedule(variants).items():
            values = [_panel_value(r, panel) for r in group]
            steps, means = [r.settings["num_steps"] for r in group], [v["mean"] for v in values]
            errors = [[v.get(side, v["mean"]) - v["mean"] for v in values] for side in ("low", "high")]
            line = "-" if label == "linear" else "none"
            axes.errorbar(steps, means, np.abs(errors), label=label, marker="o", linestyle=line, capsize=3)
        if panel != DISTANCE:
            level = reference.scores[panel]["mean"]
            label = f"{reference.settings['num_steps']} linear"
            axes.axhline(level, color="gray", linestyle=":", label=label)
        axes.set(xscale="log", xlabel="steps", title=panel, ylim=(0, None if panel == DISTANCE else 1.05))
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
    all_axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=130)


def _groups_by_schedule(variants: list[VariantResult]) -> dict[str, list[VariantResult]]:
    groups: dict[str, list[VariantResult]] = {}
    for r in sorted(variants, key=lambda r: r.settings["num_steps"]):
        groups.setdefault(_schedule_name(r), []).append(r)
    return groups


def _panel_value(result: VariantResult, panel: str) -> Interval:
    return result.latent_distance if panel == DISTANCE else result.scores[panel]
