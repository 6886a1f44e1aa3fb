"""Units of scoring as Ray tasks: the same rows as with local processes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from data.curation.store import ScoreStore
from data.curation.workers import Unit, crashed_row, limit_threads, score_unit
from src.core.ray_tasks import run_tasks


@dataclass(frozen=True)
class Attempt:
    """A unit, and how often a worker died of it; a node may have died with the first."""

    unit: Unit
    num_deaths: int = 0


def score_units_on_ray(units: list[Unit], address: str, done: Callable[[int], None]) -> None:
    """Score all units on a cluster; a clip whose worker dies twice gets a row with that reason."""
    attempts = [Attempt(unit) for unit in units]
    run_tasks(_score, attempts, address=address, retry=retry_attempt, done=done)


def _score(attempt: Attempt) -> int:
    limit_threads()
    if attempt.num_deaths < 2:
        return score_unit(attempt.unit)
    (job,) = attempt.unit.jobs
    ScoreStore(attempt.unit.folder).add([crashed_row(job)])
    return 1


def retry_attempt(attempt: Attempt) -> list[Attempt]:
    """Return an attempt for each clip of a unit whose worker died, or the next one of a single clip."""
    unit = attempt.unit
    if len(unit.jobs) == 1:
        return [replace(attempt, num_deaths=attempt.num_deaths + 1)]
    return [Attempt(replace(unit, jobs=(job,))) for job in unit.jobs]
