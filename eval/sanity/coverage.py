"""Simulate the coverage of 95 % intervals: `python -m eval.sanity.coverage [out=FILE] [key=value ...]`.

Draws samples of known distributions again and again, and counts how often the interval of `eval.run` contains
the true mean. Prints a table by distribution and n (clusters, where samples are clustered): the coverage, and
in brackets the fraction of intervals marked as of a skewed and small sample. About two minutes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.core.intervals import Array, Interval, mean_interval, ratio_interval
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.rng import numpy_generator

CLUSTER = 4  # values of each cluster
PROBABILITIES = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, kw_only=True)
class CoverageConfig(Config):
    """Sizes of the simulation."""

    num_trials: int = opt(4000, "samples of each distribution and n", ge=1)
    sizes: tuple[int, ...] = opt((5, 10, 20, 50, 100), "numbers of independent values or clusters")
    seed: int = opt(0, "seed of the samples")
    out: str = opt("", "also write the table to this file")


@dataclass(frozen=True)
class Coverage:
    """Fraction of intervals that contain the truth, and of those that are marked as skewed."""

    covered: float
    marked: float


Trial = Callable[[np.random.Generator, int, int], tuple[Interval, float]]
"""Generator, n and the number of the trial -> interval and true value."""


def _independent(draw: Callable[[np.random.Generator, int], Array], truth: float) -> Trial:
    return lambda rng, num, trial: (mean_interval(draw(rng, num), seed=trial), truth)


def _proportion(rng: np.random.Generator, num: int, trial: int) -> tuple[Interval, float]:
    truth = float(PROBABILITIES[trial % len(PROBABILITIES)])
    return mean_interval(rng.random(num) < truth, kind="fraction"), truth


def _clustered_normal(rng: np.random.Generator, num: int, trial: int) -> tuple[Interval, float]:
    del trial
    values = rng.normal(size=(num, 1)) + 0.5 * rng.normal(size=(num, CLUSTER))
    return mean_interval(values.ravel(), np.repeat(np.arange(num), CLUSTER)), 0.0


def _clustered_proportion(rng: np.random.Generator, num: int, trial: int) -> tuple[Interval, float]:
    """Beta-binomial: clusters differ in their probability, with a correlation of 1/4 within each."""
    truth = float(PROBABILITIES[trial % len(PROBABILITIES)])
    own = rng.beta(3 * truth, 3 * (1 - truth), num)
    values = rng.random((num, CLUSTER)) < own[:, None]
    return mean_interval(values.ravel(), np.repeat(np.arange(num), CLUSTER), kind="fraction"), truth


def _pooled_ratio(rng: np.random.Generator, num: int, trial: int) -> tuple[Interval, float]:
    """Successes among a random number of attempts, pooled: as onsets over videos."""
    del trial
    attempts = 1 + rng.poisson(3.0, num)
    own = rng.beta(4.2, 1.8, num)
    return ratio_interval(rng.binomial(attempts, own), attempts, kind="fraction"), 0.7


TRIALS: dict[str, Trial] = {
    "normal": _independent(lambda rng, num: rng.normal(size=num), 0.0),
    f"normal, clusters of {CLUSTER}": _clustered_normal,
    "0/1, mean over p in 0.05..0.95": _proportion,
    f"0/1, clusters of {CLUSTER}, the same p": _clustered_proportion,
    "pooled ratio 0.7": _pooled_ratio,
    "uniform": _independent(lambda rng, num: rng.random(num), 0.5),
    "exponential": _independent(lambda rng, num: rng.exponential(size=num), 1.0),
    "lognormal, sigma 1": _independent(lambda rng, num: rng.lognormal(size=num), float(np.exp(0.5))),
    "Pareto 2.5": _independent(lambda rng, num: 1 + rng.pareto(2.5, num), 2.5 / 1.5),
}
"""Distributions by name."""


def simulate_coverage(name: str, num: int, num_trials: int, *, seed: int = 0) -> Coverage:
    """Return the coverage for samples of `num` values or clusters of a distribution."""
    rng = numpy_generator(seed, f"coverage.{name}", num)
    covered = marked = 0
    for trial in range(num_trials):
        interval, truth = TRIALS[name](rng, num, trial)
        if interval.bounds is not None:
            low, high = interval.bounds
            covered += low <= truth <= high
        else:  # no interval excludes nothing: counted as one that holds
            covered += 1
        marked += interval.skewed
    return Coverage(covered / num_trials, marked / num_trials)


def coverage_table(config: CoverageConfig) -> str:
    """Return the table of all distributions and sizes."""
    rows = []
    for name in TRIALS:
        cells = [name]
        for num in config.sizes:
            found = simulate_coverage(name, num, config.num_trials, seed=config.seed)
            cells.append(f"{100 * found.covered:.1f} ({100 * found.marked:.0f})")
        rows.append(cells)
    heads = ["coverage in % (marked in %)", *(f"n = {num}" for num in config.sizes)]
    return markdown_table(heads, rows)


def main(argv: list[str]) -> None:
    """Parse the command line and print the table."""
    config = from_command_line(CoverageConfig, argv, __doc__)
    if config is None:
        return
    table = coverage_table(config)
    if config.out:
        with atomic_write(config.out) as temporary:
            temporary.write_text(table, encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    sys.exit(run_command(main))
