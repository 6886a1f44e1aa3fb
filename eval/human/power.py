"""Plan the size of a study: `python -m eval.human power [difference=8] [num_items=381] [pilot=FILE]`.

Prints for each axis the items that a net win rate needs to be found, and what a number of items can show: the
interval over prompts and, next to it, the sigma of raters alone (the paper's, or that of pilot votes).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from eval.human.axes import select_axes
from eval.human.config import NO_MAJORITY
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table


@dataclass(frozen=True, kw_only=True)
class PowerConfig(Config):
    """Settings of `eval.human power`."""

    difference: tuple[float, ...] = opt(
        (3.0, 5.0, 8.0, 10.0, 15.0, 20.0), "net win rates to find, in points of 100", gt=0, le=100
    )
    num_items: tuple[int, ...] = opt((100, 200, 381, 527, 1003), "numbers of prompts", ge=2)
    tie: float = opt(0.2, "fraction of prompts that end equal; of a pilot its own", ge=0, lt=1)
    power: float = opt(0.8, "probability to find the difference", gt=0, lt=1)
    alpha: float = opt(0.05, "two-sided level of the test", gt=0, lt=1)
    axes: tuple[str, ...] = opt(("video",), "axes for the numbers of raters and the paper's sigma")
    num_pairs: int = opt(1, "pairs of systems, for the total of votes", ge=1)
    seconds: float = opt(20.0, "seconds for an answer, for the total of hours", gt=0)
    pilot: str = opt("", "votes of a pilot study: its folder, or a file in the format of eval/human/votes.py")
    no_majority: str = opt("tie", "policy for prompts without a majority", choices=NO_MAJORITY)


def power_text(config: PowerConfig) -> str:
    """Return the tables.

    Raises:
        ValueError: a difference cannot occur with so many ties, or the pilot cannot be read.
    """
    from eval.human.analysis.net_wins import PAPER_SIGMA
    from eval.human.analysis.power import (
        difference_for,
        half_width_for,
        num_items_for,
        num_items_for_sigma,
        scaled_sigma,
    )

    axes = select_axes(config.axes)
    tie, parts, sigmas = config.tie, [], {}
    if config.pilot:
        tie, text, sigmas = _pilot(config)
        parts.append(text)
    else:
        sigmas = {axis.id: (PAPER_SIGMA[axis.id], 381) for axis in axes if axis.id in PAPER_SIGMA}
    rows = []
    for points in config.difference:
        num = num_items_for(points / 100, tie, power=config.power, alpha=config.alpha)
        votes = sum(axis.num_raters for axis in axes) * num * config.num_pairs
        by_sigma = [
            num_items_for_sigma(points, sigma, before, power=config.power, alpha=config.alpha)
            for sigma, before in sigmas.values()
        ]
        hours = f"{votes * config.seconds / 3600:.0f}"
        rows.append([f"{points:g}", str(num), str(votes), hours, str(max(by_sigma, default="–"))])
    percent = f"{100 * config.power:g} % power, two-sided {100 * config.alpha:g} %, {100 * tie:.0f} % ties"
    parts.append(f"Items to find a net win rate ({percent}), and votes on {len(axes)} axes:\n")
    heads = ["net win rate", "prompts", "votes", "hours of raters", "prompts by the largest σ"]
    parts.append(markdown_table(heads, rows))
    heads = ["prompts", "± (95 %)", "found with the power", *(f"σ {axis}" for axis in sigmas)]
    rows = [
        [
            str(num),
            f"{half_width_for(num, tie):.1f}",
            f"{100 * difference_for(num, tie, power=config.power, alpha=config.alpha):.1f}",
            *(f"{scaled_sigma(sigma, num, before):.2f}" for sigma, before in sigmas.values()),
        ]
        for num in config.num_items
    ]
    source = "of the pilot" if config.pilot else "of Movie Gen (381 prompts, scaled)"
    parts.append(f"By number of prompts; σ of raters alone {source} is no interval over prompts:\n")
    parts.append(markdown_table(heads, rows))
    return "\n".join(parts)


def _pilot(config: PowerConfig) -> tuple[float, str, dict[str, tuple[float, int]]]:
    from eval.human.analysis.power import estimate_from_pilot
    from eval.human.report import read_preferences

    path = Path(config.pilot)
    if path.is_dir():
        path = path / "report" / "preferences.jsonl"
        if not path.is_file():
            raise ValueError(
                f"pilot: {config.pilot} has no report; write it with `python -m eval.human report`"
            )
    found = estimate_from_pilot(read_preferences(path), config.no_majority)
    rows = [
        [
            each.axis,
            str(each.num_items),
            str(each.num_votes),
            f"{100 * each.tie:.1f}",
            f"{100 * each.difference:.1f}",
            f"{100 * each.no_majority:.1f}",
            "–" if each.rater_sigma != each.rater_sigma else f"{each.rater_sigma:.2f}",
        ]
        for each in found
    ]
    heads = ["axis", "items", "votes", "ties %", "net win rate", "no majority %", "σ of raters"]
    tie = sum(each.tie * each.num_items for each in found) / sum(each.num_items for each in found)
    sigmas = {
        each.axis: (each.rater_sigma, each.num_items)
        for each in found
        if each.rater_sigma == each.rater_sigma
    }
    return tie, f"Pilot {config.pilot}:\n\n{markdown_table(heads, rows)}", sigmas


def main(argv: list[str]) -> None:
    """Parse the command line and print the tables."""
    config = from_command_line(PowerConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(power_text(config))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
