"""Do the metrics move the right way? `python -m eval.sanity.run [out=table.md]`.

Small films and sounds of our own are spoilt more and more, in known ways, and every metric is asked. The
table says for each pair whether the value moved as it must, and whether it did so at every step.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.reports.tables import check_folder_of
from eval.sanity.bounce_trials import BOUNCE_TRIALS
from eval.sanity.image_trials import PICTURE_TRIALS
from eval.sanity.media_trials import MEDIA_TRIALS
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import opt

TRIALS = (*MEDIA_TRIALS, *PICTURE_TRIALS, *BOUNCE_TRIALS)
STAYS = 0.05  # what must stay, all of it between 0 and 1, may move by this
MUST = {1: "rise", -1: "fall", 0: "stay"}


@dataclass(frozen=True, kw_only=True)
class SelftestConfig:
    """How much to try."""

    num: int = opt(3, "films and sounds, and sets of Bounce films; their mean is judged")
    out: str = opt("", "file for the table in Markdown; empty writes none")

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ValueError(f"num: must be positive, got {self.num}")
        check_folder_of(self.out)


@dataclass(frozen=True)
class Finding:
    """What one value did: its means by strength, and whether it moved as it must, at the end and always."""

    trial: str
    value: str
    expected: int
    means: tuple[float, ...]

    @property
    def right_way(self) -> bool:
        moved = self.means[-1] - self.means[0]
        return abs(moved) <= STAYS if self.expected == 0 else self.expected * moved > 0

    @property
    def monotonic(self) -> bool:
        if self.expected == 0:
            return bool(np.ptp(self.means) <= STAYS)
        return bool((self.expected * np.diff(self.means) > 0).all())


def findings(config: SelftestConfig) -> tuple[list[Finding], list[str]]:
    """Every pair of degradation and value that has an expectation, and what could not be tried, and why."""
    found, missing = [], []
    for trial in TRIALS:
        try:
            trial.needs()
        except ValueError as error:
            missing.append(f"{trial.name}: {error}")
            continue
        values = [[trial.measure(seed, s) for seed in range(config.num)] for s in trial.strengths]
        for name, way in trial.expected.items():
            means = tuple(float(np.mean([each[name] for each in group])) for group in values)
            found.append(Finding(trial.name, name, way, means))
    return found, missing


def table(found: list[Finding], missing: list[str]) -> str:
    """Markdown: one line for each finding; below, what was not tried."""
    lines = [
        "| degradation | value | must | means by strength | right way | every step |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        means = ", ".join(f"{value:.4g}" for value in each.means)
        answers = ("yes" if each.right_way else "**no**"), ("yes" if each.monotonic else "no")
        lines.append("| " + " | ".join((each.trial, each.value, MUST[each.expected], means, *answers)) + " |")
    lines += [""] * bool(missing) + [f"- not tried: {each}" for each in missing]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    """Print the table; exit code 1 where a value moved the wrong way."""
    config = from_command_line(SelftestConfig, argv, __doc__)
    if config is None:
        return
    found, missing = findings(config)
    print(table(found, missing), end="")
    if config.out:
        Path(config.out).write_text(table(found, missing), encoding="utf-8")
    if not all(each.right_way for each in found):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_command(main))
