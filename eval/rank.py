"""Choose the best of several candidates: `python -m eval.rank manifest=FILE metric=NAME out=FOLDER`.

Candidates are the samples that `src.generate num_candidates=N` made of one item. Every candidate is scored by
one metric of `eval.run`; the best of each item are copied to OUT, with OUT/manifest.jsonl, and all scores are
written to OUT/ranking.jsonl.

    python -m src.export run=runs/contrastive/tiny out=programs
    python -m eval.rank manifest=FILE metric=contrastive weights.contrastive.path=programs out=best

A network that chose the samples cannot score them: `eval.run` refuses a network of the same checkpoint.
"""

import json
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from eval.backbones.config import ROLES, WeightsConfig
from eval.core.manifest import MEDIA_KEYS, Sample, read_manifest, write_manifest
from eval.core.results import Metric
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.progress import progress


@dataclass(frozen=True, kw_only=True)
class RankConfig(Config):
    """Settings of `eval.rank`."""

    manifest: str = opt("???", "manifest with several candidates of each item")
    metric: str = opt("???", "metric of eval.run that ranks, such as bounce_audio or contrastive")
    score: str = opt("", "score of the metric; empty: its only one")
    out: str = opt("???", "folder of the chosen samples")
    weights: dict[str, WeightsConfig] = opt({}, f"networks on this machine by role: {', '.join(ROLES)}")
    keep: int = opt(1, "candidates of each item that are kept", ge=1)


def rank(config: RankConfig) -> Path:
    """Score, choose and copy; return the new manifest.

    Raises:
        UserError: no candidates, an unknown metric or score, or an item of which none can be scored.
    """
    from eval.ranking import make_metric, network_hashes, score_candidates  # imports torch

    path = Path(config.manifest)
    try:
        samples = read_manifest(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    items = group_candidates(samples)
    if max(map(len, items.values())) < 2:
        raise UserError(f"{path}: one sample of each item; generate with num_candidates=N")
    metric, name = make_metric(config.metric, config.score, config.weights, Path(config.out) / "features")
    scored: dict[str, float] = {}
    failed: dict[str, str] = {}
    with progress("rank", len(samples)) as done:
        for sample, value in score_candidates(metric, name, samples, path.resolve().parent):
            if isinstance(value, str):
                failed[sample.id] = value
            else:
                scored[sample.id] = value
            done(1)
    chosen, lines = choose(items, scored, failed, metric, name, config.keep)
    out = Path(config.out)
    ranked_by = {"metric": config.metric, "score": name, "networks": network_hashes(metric)}
    moved = [replace(_copy(each, path.parent, out), generation=_stated(each, ranked_by)) for each in chosen]
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "ranking.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_manifest(out / "manifest.jsonl", moved)
    console = Console(highlight=False)
    if failed:
        first = next(iter(failed.items()))
        console.print(f"{len(failed)} candidates cannot be scored, such as {first[0]}: {first[1]}")
    mean, best = (sum(values) / len(values) for values in (list(scored.values()), _best_values(lines)))
    console.print(f"{name}: mean of all candidates {mean:.4f}, of the chosen {best:.4f}")
    console.print(f"{len(moved)} of {len(samples)} samples: {out / 'manifest.jsonl'}", soft_wrap=True)
    return out / "manifest.jsonl"


def group_candidates(samples: list[Sample]) -> dict[str, list[Sample]]:
    """Return samples by item: what `generation.candidate_of` says, else the sample is an item by itself."""
    items: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        items[str((sample.generation or {}).get("candidate_of", sample.id))].append(sample)
    return dict(items)


def choose(
    items: dict[str, list[Sample]],
    scored: dict[str, float],
    failed: dict[str, str],
    metric: Metric,
    name: str,
    keep: int,
) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Return the best samples of each item, and a line for each candidate in order of rank.

    Equal scores keep the order of the manifest.
    """
    better = metric.scores[name].better
    chosen: list[Sample] = []
    lines: list[dict[str, Any]] = []
    for item, candidates in items.items():
        order = sorted(
            (each for each in candidates if each.id in scored), key=lambda s: -better * scored[s.id]
        )
        if not order:
            raise UserError(f"{item}: no candidate can be scored ({failed[candidates[0].id]})")
        chosen += order[:keep]
        lines += [
            {"item": item, "id": each.id, name: scored[each.id], "kept": k < keep}
            for k, each in enumerate(order)
        ]
        lines += [{"item": item, "id": s.id, "reason": failed[s.id]} for s in candidates if s.id in failed]
    return chosen, lines


def _best_values(lines: list[dict[str, Any]]) -> list[float]:
    return [
        next(v for k, v in line.items() if k not in ("item", "id", "kept"))
        for line in lines
        if line.get("kept")
    ]


def _stated(sample: Sample, ranked_by: dict[str, Any]) -> dict[str, Any]:
    earlier = (sample.generation or {}).get("ranked_by", [])
    return {**(sample.generation or {}), "ranked_by": [*earlier, ranked_by]}


def _copy(sample: Sample, root: Path, out: Path) -> Sample:
    """Copy a sample's media into the folder; return the sample there."""
    for key in MEDIA_KEYS:
        relative = getattr(sample, key)
        if relative is not None:
            (out / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / relative, out / relative)
    return sample


def main(argv: list[str]) -> None:
    """Parse the command line and rank."""
    config = from_command_line(RankConfig, argv, __doc__)
    if config is None:
        return
    if Path(config.out).resolve() == Path(config.manifest).resolve().parent:
        raise UserError(f"out={config.out}: the folder of the candidates; give another one")
    try:
        rank(config)
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
