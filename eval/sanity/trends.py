"""Run all trials: does each value move as expected with the strength of a degradation?"""

from dataclasses import dataclass

import numpy as np

from eval.sanity.bounce_trials import BOUNCE_TRIALS
from eval.sanity.image_trials import IMAGE_TRIALS
from eval.sanity.media_trials import MEDIA_TRIALS
from src.core.markdown import markdown_table

TRIALS = (*MEDIA_TRIALS, *IMAGE_TRIALS, *BOUNCE_TRIALS)
MAX_CHANGE = 0.05  # of values that must stay, all of them in 0..1
DIRECTIONS = {1: "rise", -1: "fall", 0: "stay"}


@dataclass(frozen=True)
class Trend:
    """The means of one value by strength of a degradation. `expected`: 1 must rise, -1 fall, 0 stay."""

    trial: str
    value: str
    expected: int
    means: tuple[float, ...]

    @property
    def as_expected(self) -> bool:
        """True if the change from no degradation to the strongest has the expected direction."""
        change = self.means[-1] - self.means[0]
        return abs(change) <= MAX_CHANGE if self.expected == 0 else self.expected * change > 0

    @property
    def monotonic(self) -> bool:
        """True if every step has the expected direction."""
        if self.expected == 0:
            return bool(np.ptp(self.means) <= MAX_CHANGE)
        return bool((self.expected * np.diff(self.means) > 0).all())


def run_trials(num: int) -> tuple[list[Trend], list[str]]:
    """Return the trends of all values over `num` seeds, and the trials not run, with the reason."""
    found, skipped = [], []
    for trial in TRIALS:
        try:
            trial.require()
        except ValueError as error:
            skipped.append(f"{trial.name}: {error}")
            continue
        values = [[trial.measure(seed, s) for seed in range(num)] for s in trial.strengths]
        for name, direction in trial.expected.items():
            means = tuple(float(np.mean([each[name] for each in group])) for group in values)
            found.append(Trend(trial.name, name, direction, means))
    return found, skipped


def trend_table(found: list[Trend], skipped: list[str]) -> str:
    """Return a Markdown table with a line for each trend, and below it the trials that were not run."""
    rows = []
    for each in found:
        means = ", ".join(f"{value:.4g}" for value in each.means)
        answers = ("yes" if each.as_expected else "**no**"), ("yes" if each.monotonic else "no")
        rows.append((each.trial, each.value, DIRECTIONS[each.expected], means, *answers))
    heads = ("degradation", "value", "must", "means by strength", "as expected", "every step")
    return markdown_table(heads, rows) + "\n" * bool(skipped) + "".join(f"- not run: {s}\n" for s in skipped)
