"""Position of a rater in the study: a function of the plan and of what the database holds.

So a rater resumes at the same place on any device, and after any crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from eval.human.answers import meets_expectation
from eval.human.schema import PRACTICE, Task
from eval.human.server.tables import Rater, Revision, Vote
from eval.human.study import Study


@dataclass(frozen=True)
class Step:
    """Next view of a rater: a page, and for pages of an axis or a task its name or position."""

    page: str
    axis: str = ""
    position: int = -1


@dataclass
class Work:
    """A rater's tasks and answers. `answers`: position -> id of the last revision and its answer."""

    tasks: tuple[Task, ...]
    open_positions: list[int]
    answers: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    @property
    def num_done(self) -> int:
        """Tasks of this rater that are answered."""
        return sum(position in self.answers for position in self.open_positions)

    def add_answer(self, position: int, revision: Revision) -> None:
        """Note a stored answer, unless a later one of the same task is known."""
        known = self.answers.get(position)
        if known is None or known[0] < revision.id:
            self.answers[position] = revision.id, revision.answer
        self.open_positions = sorted({*self.open_positions, position})


def load_work(session: Session, study: Study, rater: Rater) -> Work:
    """Return the tasks of a rater's slot, without those that a former rater of the slot answered."""
    tasks = study.slots[rater.slot].tasks
    others = select(Vote.position).where(Vote.slot == rater.slot, Vote.rater != rater.id)
    taken = set(session.scalars(others.distinct()))
    open_positions = [
        number
        for number, task in enumerate(tasks)
        if number not in taken or study.items[task.item].kind in PRACTICE
    ]
    last = select(Vote.position, Revision.id, Revision.answer).join(Revision, Revision.vote == Vote.id)
    rows = session.execute(
        last.where(Vote.rater == rater.id, Vote.slot == rater.slot, Revision.revision == Vote.revision)
    )
    answers = {position: (revision, answer) for position, revision, answer in rows}
    return Work(tasks, sorted(set(open_positions) | answers.keys()), answers)


def next_step(session: Session, study: Study, rater: Rater, work: Work) -> Step:
    """Return the page that comes next; evaluates a qualification whose last task was answered."""
    if rater.status in ("screened_out", "returned", "expired"):
        return Step(rater.status)
    if not rater.consented_at:
        return Step("consent")
    return next_open_step(session, study, rater, work)


def next_open_step(session: Session, study: Study, rater: Rater, work: Work) -> Step:
    """Return the next page of the work itself, regardless of the rater's status."""
    for position in work.open_positions:
        task = work.tasks[position]
        axis = study.axes[task.axis]
        if position in work.answers and not _must_repeat(study, rater, work, position):
            continue
        if (outcome := _evaluate_qualification(session, study, rater, work, position)) is not None:
            return outcome
        if axis.media != "audio" and "display" not in rater.checks:
            return Step("display_check")
        if axis.audible and "audio" not in rater.checks:
            return Step("audio_check")
        if task.axis not in rater.instructions:
            return Step("instructions", axis=task.axis)
        return Step("task", axis=task.axis, position=position)
    last = len(work.tasks)
    return _evaluate_qualification(session, study, rater, work, last) or Step("finished")


def qualification_positions(study: Study, tasks: Sequence[Task], axis: str) -> list[int]:
    """Return the positions of an axis's qualification."""
    return [
        number
        for number, task in enumerate(tasks)
        if task.axis == axis and study.items[task.item].kind == "qualification"
    ]


def _evaluate_qualification(
    session: Session, study: Study, rater: Rater, work: Work, position: int
) -> Step | None:
    """Count correct answers of a qualification that ends before `position`; a failed one is repeated once."""
    axes = dict.fromkeys(task.axis for task in work.tasks[:position] if task.axis not in _settled(rater))
    for axis in axes:
        positions = qualification_positions(study, work.tasks, axis)
        if not positions or positions[-1] >= position or any(p not in work.answers for p in positions):
            continue
        correct = sum(
            bool(meets_expectation(study.items[task.item], task.order, work.answers[p][1]))
            for p, task in ((p, work.tasks[p]) for p in positions)
        )
        state = dict(rater.qualification.get(axis, {}))
        tries = state.get("tries", 0) + 1
        passed = correct >= min(study.axes[axis].min_correct, len(positions))  # a small study has few
        state = {"tries": tries, "correct": correct, "num": len(positions), "passed": passed}
        if not passed:
            state["repeat_after"] = session.scalar(select(func.max(Revision.id)))
        rater.qualification = {**rater.qualification, axis: state}
        if passed:
            continue
        if tries >= study.config.qualification_tries:
            rater.status = "screened_out"
            return Step("screened_out", axis=axis)
        rater.instructions = [each for each in rater.instructions if each != axis]
        return Step("instructions", axis=axis)
    return None


def _settled(rater: Rater) -> set[str]:
    """Axes whose qualification is passed, or failed and not yet repeated in full (see `_must_repeat`)."""
    return {axis for axis, state in rater.qualification.items() if state["passed"]}


def _must_repeat(study: Study, rater: Rater, work: Work, position: int) -> bool:
    """Return whether a qualification task needs another answer after a failed try."""
    task = work.tasks[position]
    state = rater.qualification.get(task.axis)
    if not state or state["passed"] or study.items[task.item].kind != "qualification":
        return False
    return work.answers[position][0] <= state["repeat_after"]
