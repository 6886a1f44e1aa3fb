"""Simulated studies with known answers: `python -m eval.human coverage [kind=net_wins] [num_studies=1000]`.

kind=net_wins: how often the 95 % interval of a net win rate contains the truth. kind=adaptive: the same for
studies that stop when their intervals are short, and the votes they need compared with a fixed plan.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress


@dataclass(frozen=True, kw_only=True)
class CoverageConfig(Config):
    """Settings of `eval.human coverage`."""

    kind: str = opt("net_wins", "what is simulated", choices=("net_wins", "adaptive"))
    num_studies: int = opt(1000, "simulated studies of each row", ge=2)
    num_systems: tuple[int, ...] = opt((2, 5, 10), "adaptive: numbers of systems", ge=2)
    spread: float = opt(1.5, "adaptive: strengths are evenly spread from this to its negative", ge=0)
    half_width: float = opt(0.2, "adaptive: half length of the intervals of strengths at the end", gt=0)
    half_width_points: float = opt(10.0, "adaptive, two systems: that of the net win rate", gt=0)
    seed: int = opt(0, "seed of the studies")


@dataclass(frozen=True)
class Savings:
    """Coverage and mean votes of adaptive studies, and the votes of fixed plans with equal intervals.

    `fixed_votes`: three raters for each item. `single_votes`: one rater for each item, all pairs alike: the
    difference to `votes` is what the choice of pairs saves; nan for two systems, which have one pair.
    """

    num_systems: int
    coverage: float
    votes: float
    fixed_votes: float
    single_votes: float = math.nan


NET_WIN_CASES = (
    {"num_prompts": 100, "samples_per_prompt": 1, "no_majority": "tie"},
    {"num_prompts": 100, "samples_per_prompt": 2, "no_majority": "tie"},
    {"num_prompts": 120, "samples_per_prompt": 1, "no_majority": "drop"},
    {"num_prompts": 120, "samples_per_prompt": 2, "no_majority": "drop"},
    {"num_prompts": 40, "samples_per_prompt": 1, "no_majority": "mean"},
    {"num_prompts": 381, "samples_per_prompt": 1, "no_majority": "tie", "strength": 0.0},
)


def net_win_coverage(case: dict, num_studies: int, seed: int = 0) -> tuple[float, float]:
    """Return the fraction of simulated studies whose interval contains the truth, and its mean half width."""
    from eval.human.analysis.simulated_studies import simulate_net_win

    trials = [simulate_net_win(index, seed=seed, **case) for index in range(num_studies)]
    inside = [each.low <= each.truth <= each.high for each in trials]
    return float(np.mean(inside)), float(np.mean([(each.high - each.low) / 2 for each in trials]))


def adaptive_savings(
    num_systems: int,
    num_studies: int,
    *,
    spread: float,
    half_width: float,
    seed: int = 0,
    num_fixed: int = 20,
) -> Savings:
    """Return the coverage of adaptive studies (one vote per item) and the votes of uniform plans.

    A uniform plan gives every pair as many items until the same half width; its votes are the mean of
    `num_fixed` studies.
    """
    from eval.human.analysis.simulated_studies import StoppedStudy, simulate_until_precise

    truth = np.linspace(spread, -spread, num_systems).tolist()

    def run(number: int, *, adaptive: bool, num_raters: int, round_items: int) -> list[StoppedStudy]:
        return [
            simulate_until_precise(
                index,
                truth,
                half_width=half_width,
                adaptive=adaptive,
                num_raters=num_raters,
                round_items=round_items,
                seed=seed,
            )
            for index in range(number)
        ]

    adaptive = run(num_studies, adaptive=True, num_raters=1, round_items=150)
    fixed = run(min(num_fixed, num_studies), adaptive=False, num_raters=3, round_items=75)
    single = run(min(num_fixed, num_studies), adaptive=False, num_raters=1, round_items=150)
    return Savings(
        num_systems,
        float(np.mean([each.contained for each in adaptive])),
        *(float(np.mean([each.num_votes for each in studies])) for studies in (adaptive, fixed, single)),
    )


def two_system_savings(num_studies: int, *, half_width: float, seed: int = 0) -> Savings:
    """Return the coverage of studies of two systems that stop at a half width, and the votes of a safe plan.

    A plan that reaches the half width for any answers has as many items as if there were no ties.
    """
    from eval.human.analysis.power import num_items_for_width
    from eval.human.analysis.simulated_studies import simulate_net_win_until_precise

    studies = [
        simulate_net_win_until_precise(index, half_width=half_width, seed=seed)
        for index in range(num_studies)
    ]
    return Savings(
        2,
        float(np.mean([each.contained for each in studies])),
        float(np.mean([each.num_votes for each in studies])),
        3.0 * num_items_for_width(half_width, tie=0.0),
    )


def coverage_table(config: CoverageConfig) -> str:
    """Return the table of one kind of simulation."""
    rows: list[Sequence[str]] = []
    if config.kind == "net_wins":
        with progress("cases", len(NET_WIN_CASES)) as advance:
            for case in NET_WIN_CASES:
                covered, half = net_win_coverage(case, config.num_studies, config.seed)
                text = ", ".join(f"{key}={value}" for key, value in case.items())
                rows.append([text, f"{100 * covered:.1f}", f"{half:.1f}"])
                advance(1)
        return markdown_table(["study (3 raters)", "coverage %", "mean half width"], rows)
    with progress("cases", len(config.num_systems)) as advance:
        for num in config.num_systems:
            if num == 2:
                found = two_system_savings(
                    config.num_studies, half_width=config.half_width_points, seed=config.seed
                )
            else:
                found = adaptive_savings(
                    num,
                    config.num_studies,
                    spread=config.spread,
                    half_width=config.half_width,
                    seed=config.seed,
                )
            rows.append(
                [
                    str(num),
                    f"{100 * found.coverage:.1f}",
                    f"{found.votes:.0f}",
                    f"{found.fixed_votes:.0f}",
                    f"{100 * found.votes / found.fixed_votes:.0f}",
                    "–" if math.isnan(found.single_votes) else f"{found.single_votes:.0f}",
                ]
            )
            advance(1)
    return markdown_table(
        ["systems", "coverage %", "votes", "fixed plan, 3 raters", "% of it", "all pairs alike, 1 rater"],
        rows,
    )


def main(argv: list[str]) -> None:
    """Parse the command line and simulate."""
    config = from_command_line(CoverageConfig, argv, __doc__)
    if config is not None:
        print(coverage_table(config), end="")


if __name__ == "__main__":
    sys.exit(run_command(main))
