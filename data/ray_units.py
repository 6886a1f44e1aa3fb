"""Work units of a preparation as Ray tasks: the same chunks as with local processes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from data.work_units import RecordSource, WorkUnit, limit_threads, process_unit
from src.core.ray_tasks import run_tasks
from src.streaming.schema.bucket import DataError

MAX_DEATHS = 5


@dataclass(frozen=True)
class Attempt:
    """A unit, the input that was read when its worker died last, and deaths in which none was read."""

    unit: WorkUnit
    suspect: int | None = None
    num_deaths: int = 0


def process_units_on_ray(
    source: RecordSource, units: list[WorkUnit], address: str, done: Callable[[int], None]
) -> None:
    """Process all units on a cluster; an input whose worker dies twice in a row is rejected as crashing."""
    run_tasks(
        partial(_process, source),
        [Attempt(unit) for unit in units],
        address=address,
        retry=retry_attempt,
        done=done,
    )


def _process(source: RecordSource, attempt: Attempt) -> int:
    limit_threads()
    return process_unit(source, attempt.unit)


def retry_attempt(attempt: Attempt) -> list[Attempt]:
    """Return the next attempt of a unit whose worker died, maybe with its node: one death is no proof."""
    unit = attempt.unit
    if not unit.marker.exists():
        if attempt.num_deaths == MAX_DEATHS:
            raise DataError(f"{unit.root}: workers of part {unit.number} die before they read an input")
        return [replace(attempt, num_deaths=attempt.num_deaths + 1)]
    current = int(unit.marker.read_text() or 0)
    if current != attempt.suspect:
        return [Attempt(unit, current)]
    return [Attempt(replace(unit, failed_inputs=unit.failed_inputs | {current}))]
