"""Results of a study of solvers: distances to the reference, a table and a plot.

Legend: B batch, C channels, T frames, H height, W width.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.inference.pipeline import Generator

SCORES = ("subject", "motion", "camera")
DISTANCE = "latent distance"


@dataclass(frozen=True)
class Result:
    """One arm. Intervals are mean, low and high (95 %) over films; None where there is nothing to tell."""

    name: str
    arm: dict[str, Any]
    films: int
    latent_distance: dict[str, float]  # root mean square over a latent, in its standard deviations
    psnr: dict[str, float] | None  # of the frames, dB; None if every film is the reference's exactly
    other_film: float | None  # latent distance between two films of the arm: what 'far' is
    scores: dict[str, dict[str, float]] = field(default_factory=dict)  # the checker's, as intervals


def compare(
    name: str, arm: dict[str, Any], generator: Generator, pairs: Iterable[tuple[Tensor, Tensor]]
) -> Result:
    """Distances between films from the same noise.

    Args:
        pairs: for each batch the reference's latents and the arm's, [B, C, T, H, W].
    """
    distances, psnrs, others = list[float](), list[float](), list[float]()
    for reference, latents in pairs:
        distances += _distance(generator, reference, latents)
        others += _distance(generator, latents[1:], latents[:-1])
        ours, theirs = (generator.decode(x).astype(np.float64) for x in (latents, reference))
        mse_B = np.square(ours - theirs).mean((1, 2, 3, 4))
        psnrs += [float(10 * np.log10(255**2 / mse)) for mse in mse_B if mse]
    far = float(np.mean(others)) if others else None
    psnr = interval(psnrs) if psnrs else None
    return Result(name, arm, len(distances), interval(distances), psnr, far)


def _distance(generator: Generator, a: Tensor, b: Tensor) -> list[float]:
    apart = generator.module.normalise(a.float()) - generator.module.normalise(b.float())
    return torch.sqrt(apart.square().flatten(1).mean(1)).tolist()


def interval(values: list[float]) -> dict[str, float]:
    """Mean and its 95 % interval by the normal approximation."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": mean, "low": mean - half, "high": mean + half}


def write(results: list[Result], root: Path) -> None:
    """results.json and table.md."""
    (root / "results.json").write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    (root / "table.md").write_text(table(results), encoding="utf-8")


def table(results: list[Result]) -> str:
    """Markdown; mean [95 % interval over films]."""
    shown = [name for name in SCORES if any(name in r.scores for r in results)]
    head = ["arm", "schedule", "steps", "latent distance", "PSNR dB", *shown]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for r in results:
        schedule = r.arm["schedule"]
        if schedule == "linear-quadratic":
            schedule += f" {r.arm['variant']}, as {r.arm['emulated_steps']}"
        cells = [r.name, schedule, str(r.arm["steps"]), _cell(r.latent_distance, 4), _cell(r.psnr, 2)]
        lines.append(" | ".join([*cells, *(_cell(r.scores.get(name), 3) for name in shown)]))
    first = results[0]
    apart = first.other_film
    far = "" if apart is None else f" Two different films of it are {apart:.3f} apart."
    note = (
        f"{first.films} films. Distance and PSNR are to the films of {first.name} from the same noise; the "
        f"distance is the root mean square over a latent, in its standard deviations.{far}"
    )
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n{note}\n"


def _cell(value: dict[str, float] | None, digits: int) -> str:
    if value is None:
        return "-"
    mean, low, high = (f"{value[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def plot(results: list[Result], path: Path) -> None:
    """Distance and scores over steps: linear schedules as a line, others as points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    reference, arms = results[0], results[1:]
    panels = [DISTANCE, *(name for name in SCORES if name in reference.scores)]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4 * len(panels), 3.4), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for group, style in _groups(arms).items():
            found = [(r.arm["steps"], _value(r, panel)) for r in style]
            steps, mean = [s for s, _ in found], [v["mean"] for _, v in found]
            error = [[v["mean"] - v["low"] for _, v in found], [v["high"] - v["mean"] for _, v in found]]
            line = "-" if group == "linear" else "none"
            axis.errorbar(steps, mean, np.abs(error), label=group, marker="o", linestyle=line, capsize=3)
        if panel != DISTANCE:
            level = reference.scores[panel]["mean"]
            axis.axhline(level, color="grey", linestyle=":", label=f"{reference.arm['steps']} linear")
        axis.set(xscale="log", xlabel="steps", title=panel, ylim=(0, None if panel == DISTANCE else 1.05))
        stops = sorted({r.arm["steps"] for r in arms})
        axis.set_xticks(stops, [str(s) for s in stops])
        axis.minorticks_off()
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _groups(arms: list[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for r in sorted(arms, key=lambda r: r.arm["steps"]):
        name = r.arm["schedule"]
        if name == "linear-quadratic":
            name += f", {r.arm['variant']}, as {r.arm['emulated_steps']}"
        groups.setdefault(name, []).append(r)
    return groups


def _value(result: Result, panel: str) -> dict[str, float]:
    return result.latent_distance if panel == DISTANCE else result.scores[panel]
