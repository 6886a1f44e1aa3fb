"""The funnel: steps in order, each of which rejects clips by its thresholds; needs scores only, no media."""

from dataclasses import dataclass, field
from typing import Any

from data.curation import balancing, near_duplicates
from data.curation.config import CurationConfig, RangeConfig, StepConfig
from data.curation.score_table import HEADER

Row = dict[str, Any]
UNREADABLE = "readable"  # step of files that cannot be used; always the first


@dataclass
class StepCount:
    """Counts of one step: clips that came, that passed, and those that lacked a score."""

    name: str
    num_in: int
    num_out: int
    num_missing: int = 0
    detail: str = ""


@dataclass
class Funnel:
    """Decisions on all clips. A row gets `step` (rejected by; empty if kept) and `reason`."""

    rows: list[Row]
    counts: list[StepCount] = field(default_factory=list)

    @property
    def kept(self) -> list[Row]:
        return [row for row in self.rows if not row["step"]]


def run_funnel(rows: list[Row], config: CurationConfig) -> Funnel:
    """Apply the steps of a config in order; a clip is rejected by the first step it fails."""
    for row in rows:
        row["step"], row["reason"] = "", ""
        if row["error"]:
            _reject(row, UNREADABLE, f"{row['error']}: {row['detail']}" if row["detail"] else row["error"])
    funnel = Funnel(rows)
    readable = sum(not row["step"] for row in rows)
    funnel.counts.append(StepCount(UNREADABLE, len(rows), readable))
    for name in config.order:
        before = funnel.kept
        count = StepCount(name, len(before), 0)
        _apply(name, before, config, count)
        count.num_out = sum(not row["step"] for row in before)
        funnel.counts.append(count)
    return funnel


def _apply(name: str, rows: list[Row], config: CurationConfig, count: StepCount) -> None:
    if name in config.mixes:
        mix = config.mixes[name]
        count.detail = f"{mix.phrases or mix.score} >= {mix.min:g} in {mix.fraction:.0%}"
        values = balancing.mix_values(rows, mix, config.scoring.clip_l14)
        count.num_missing = sum(value is None for value in values)
        keep = balancing.mix(rows, values, mix, config.seed)
        _reject_where(rows, keep, name, "left out for the proportion")
    elif name == "near_duplicates":
        groups = near_duplicates.find_groups(rows, config.near_duplicates)
        count.detail = (
            f"cosine >= {config.near_duplicates.cosine:g}, bits <= {config.near_duplicates.max_bits:g}"
        )
        count.num_missing = sum(row.get("embedding") is None for row in rows)
        for i, best in enumerate(groups):
            if best != i:
                _reject(rows[i], name, f"near duplicate of {rows[best]['id']}")
    elif name == "resample":
        keep, clusters = balancing.resample(rows, config.resample, config.seed)
        for row, label in zip(rows, clusters, strict=True):
            row["cluster"] = label
        count.detail = f"{len(set(clusters) - {-1})} clusters, keep {config.resample.keep_fraction:.0%}"
        count.num_missing = sum(row.get("embedding") is None for row in rows)
        _reject_where(rows, keep, name, "one of many alike")
    else:
        step = config.steps[name]
        count.detail = "; ".join(f"{score} {range_text(each)}" for score, each in step.ranges.items())
        for row in rows:
            reason, missing = check_step(row, step)
            count.num_missing += missing
            if reason:
                _reject(row, name, reason)


def check_step(row: Row, step: StepConfig) -> tuple[str, bool]:
    """Return why a step rejects a clip (empty: it passes), and whether a score was missing."""
    any_missing = False
    for score, bounds in step.ranges.items():
        value = row.get(score)
        if value is None:
            any_missing = True
            if bounds.missing == "reject":
                return f"{score} is missing", True
        elif bounds.min is not None and value < bounds.min:
            return f"{score} {value:.4g} < {bounds.min:g}", any_missing
        elif bounds.max is not None and value > bounds.max:
            return f"{score} {value:.4g} > {bounds.max:g}", any_missing
    return "", any_missing


def passes_header(row: Row, config: CurationConfig) -> bool:
    """Return whether a clip passes all ranges of scores that its header gives."""
    for step in config.steps.values():
        bounds = {score: each for score, each in step.ranges.items() if score in HEADER}
        if bounds and check_step(row, StepConfig(ranges=bounds))[0]:
            return False
    return True


def range_text(bounds: RangeConfig) -> str:
    """Return a range in words: ">= 4, <= 120"."""
    parts = [f">= {bounds.min:g}"] if bounds.min is not None else []
    parts += [f"<= {bounds.max:g}"] if bounds.max is not None else []
    return ", ".join(parts)


def _reject_where(rows: list[Row], keep: list[bool], name: str, reason: str) -> None:
    for row, kept in zip(rows, keep, strict=True):
        if not kept:
            _reject(row, name, reason)


def _reject(row: Row, step: str, reason: str) -> None:
    row["step"], row["reason"] = step, reason
