"""Simulated raters: `python -m eval.human simulate STUDY`, votes with known preferences without a server.

Writes votes.jsonl and raters.jsonl, as the server's export does. Systems have true strengths on a logit
scale, prompts shift them, raters have noise, a preference for one side and attention of their own.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from eval.human.analysis.bradley_terry import outcome_probabilities
from eval.human.schema import Axis, Evidence, Item, RaterRecord, Task, VoteRecord
from eval.human.study import RATERS, VOTES, Study, load_study, write_records
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.rng import numpy_generator

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class RaterPopulation(Config):
    """True preferences and how raters differ."""

    strengths: dict[str, float] = opt({}, "system -> strength on the logit scale; spread over 1 by default")
    tie: float = opt(-0.3, "log weight of equal; -0.3 gives about 27 per cent at equal strengths")
    prompt_deviation: float = opt(0.7, "standard deviation of a prompt's shift of a difference", ge=0)
    left_bias: float = opt(0.1, "mean preference for the left side, on the logit scale")
    bias_deviation: float = opt(0.2, "standard deviation of the preference for a side over raters", ge=0)
    careless_fraction: float = opt(0.1, "raters who answer at random", ge=0, le=1)
    lapse: float = opt(0.02, "probability that an attentive rater answers at random", ge=0, le=1)
    seconds: float = opt(12.0, "median time for an answer", gt=0)


@dataclass(frozen=True, kw_only=True)
class SimulateConfig(Config):
    """Settings of `eval.human simulate`."""

    study: str = opt("???", "folder of the study")
    population: RaterPopulation = opt(RaterPopulation(), "the raters")
    num_slots: int = opt(0, "sessions to answer, in order; 0 answers all", ge=0)
    seed: int = opt(0, "seed of the raters")


@dataclass(frozen=True)
class SimulatedRater:
    """One rater; the same name and seed give the same answers, in any order."""

    name: str
    population: RaterPopulation
    seed: int

    @property
    def is_careless(self) -> bool:
        """True for a rater who answers at random."""
        return bool(self._rng("careless").random() < self.population.careless_fraction)

    def answer(self, item: Item, axis: Axis, task: Task, strengths: Mapping[str, float]) -> dict[str, Any]:
        """Return an answer to a task in positions of the screen."""
        rng = self._rng(f"answer/{task.item}/{task.axis}")
        careless = self.is_careless or rng.random() < self.population.lapse
        shown = [self._utility(item, index, strengths) for index in task.order]
        if careless:
            shown = list(rng.normal(0, 2, len(shown)))
        bias = self.population.left_bias + self.population.bias_deviation * self._rng("bias").normal()
        if axis.answer == "choice":
            tie = 2.5 if item.expected == () and not careless else self.population.tie
            p = outcome_probabilities(np.array(shown[0] - shown[1] + bias), tie)
            return {"choice": ("left", "right", "equal")[int(rng.choice(3, p=p))]}
        noisy = np.array(shown) + rng.normal(0, 0.7, len(shown))
        if axis.answer == "rating":
            return {"rating": int(np.clip(round(3 + float(noisy[0])), 1, 5))}
        if axis.answer == "mushra":
            return {"ratings": [float(np.clip(round(55 + 18 * value), 0, 100)) for value in noisy]}
        return {"ranking": [int(position) for position in np.argsort(-noisy, kind="stable")]}

    def evidence(self, item: Item, axis: Axis, seconds: tuple[float, ...]) -> Evidence:
        """Return plausible evidence; careless raters do not watch to the end."""
        rng = self._rng(f"evidence/{item.id}/{axis.id}")
        watched = 0.4 if self.is_careless else 1.0
        time_s = (
            self.population.seconds * float(np.exp(0.3 * rng.normal())) * (0.2 if self.is_careless else 1)
        )
        return Evidence(
            watched_s=tuple(watched * each for each in seconds),
            audible_s=tuple(watched * each for each in seconds) if axis.audible else (),
            duration_s=seconds,
            num_plays=1,
            time_s=round(time_s, 2),
            screen=(1920, 1080),
            user_agent="simulated",
        )

    def _utility(self, item: Item, index: int, strengths: Mapping[str, float]) -> float:
        shift = self.population.prompt_deviation / np.sqrt(2)
        # identical clips and a clip against its degraded copy share the system: only the degradation counts
        rng = numpy_generator(self.seed, f"human/prompt/{item.sample}/{item.systems[index]}")
        utility = strengths.get(item.systems[index], 0.0) + shift * float(rng.normal())
        if item.expected:
            utility -= 4.0 * item.expected.index(index) if len(item.expected) > index else 0.0
        if item.expected is not None and len(item.stimuli) == 1:
            utility = -2.0
        return utility

    def _rng(self, stream: str) -> np.random.Generator:
        return numpy_generator(self.seed, f"human/simulated/{self.name}/{stream}")


def spread_strengths(systems: tuple[str, ...]) -> dict[str, float]:
    """Return strengths evenly spread from 0.5 to -0.5, the first system the best."""
    return dict(zip(systems, map(float, np.linspace(0.5, -0.5, len(systems))), strict=True))


def simulate_votes(study: Study, config: SimulateConfig) -> tuple[list[VoteRecord], list[RaterRecord]]:
    """Return votes and raters, one rater for each session."""
    strengths = config.population.strengths or spread_strengths(study.plan.systems)
    votes, raters = [], []
    slots = list(study.slots.values())[: config.num_slots or None]
    for number, slot in enumerate(slots):
        rater = SimulatedRater(f"r_{number:08x}", config.population, config.seed)
        clock = START + timedelta(hours=number)
        for index, task in enumerate(slot.tasks):
            item, axis = study.items[task.item], study.axes[task.axis]
            seconds = tuple(study.media[item.stimuli[i]].seconds for i in task.order)
            evidence = rater.evidence(item, axis, seconds)
            clock += timedelta(seconds=evidence.time_s)
            votes.append(
                VoteRecord(
                    rater=rater.name,
                    slot=slot.id,
                    item=task.item,
                    axis=task.axis,
                    order=task.order,
                    answer=rater.answer(item, axis, task, strengths),
                    answered_at=clock.isoformat(timespec="seconds"),
                    index=index,
                    evidence=evidence,
                )
            )
        started = START + timedelta(hours=number)
        raters.append(
            RaterRecord(
                rater=rater.name,
                slots=(slot.id,),
                status="finished",
                platform="simulated",
                consented_at=started.isoformat(timespec="seconds"),
                started_at=started.isoformat(timespec="seconds"),
                finished_at=clock.isoformat(timespec="seconds"),
            )
        )
    return votes, raters


def main(argv: list[str]) -> None:
    """Parse the command line and write simulated votes."""
    config = from_command_line(SimulateConfig, argv, __doc__)
    if config is None:
        return
    try:
        study = load_study(config.study)
        if (Path(config.study) / VOTES).exists():
            raise ValueError(f"simulate: {config.study} has votes already ({VOTES}); nothing is overwritten")
        votes, raters = simulate_votes(study, config)
        write_records(study.folder / VOTES, votes)
        write_records(study.folder / RATERS, raters)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    print(f"{len(votes)} votes of {len(raters)} simulated raters in {study.folder}")


if __name__ == "__main__":
    sys.exit(run_command(main))
