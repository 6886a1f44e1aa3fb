"""Data of the rater pages: plain JSON without systems, kinds of items, and expected answers."""

from typing import Any

from eval.human.answers import meets_expectation
from eval.human.schema import Axis, Task
from eval.human.server.progress import Step, Work
from eval.human.server.strings import localize
from eval.human.server.tables import Rater
from eval.human.study import Study

PRACTICE_KINDS = ("example", "qualification")


def axis_view(axis: Axis, language: str) -> dict[str, Any]:
    """Return the texts of an axis in a language."""
    return {
        "id": axis.id,
        "name": localize(axis.name, language),
        "question": localize(axis.question, language),
        "instructions": localize(axis.instructions, language),
        "answer": axis.answer,
        "options": {key: localize(text, language) for key, text in axis.options.items()},
        "audible": axis.audible,
        "medium": axis.media,
        "marks": axis.marks,
        "examples": [localize(each.explanation, language) for each in axis.examples],
    }


def task_view(study: Study, task: Task, position: int, language: str) -> dict[str, Any]:
    """Return one task: media by URLs of positions, texts to compare with."""
    axis, item = study.axes[task.axis], study.items[task.item]
    stimuli = []
    for place, index in enumerate(task.order):
        media = study.media[item.stimuli[index]]
        stimuli.append(
            {
                "url": f"/media/{position}/{place}",
                "type": media.kind,
                "bytes": media.num_bytes,
                "seconds": media.seconds,
                "fps": media.fps,
                "width": media.width,
                "height": media.height,
                "audio": media.has_audio,
            }
        )
    shown: dict[str, str] = {}
    for name in axis.compares:
        if name in item.shown:
            is_text = name in ("prompt", "audio_prompt")
            shown[name] = item.shown[name] if is_text else f"/media/{position}/{name}"
    practice = item.kind if item.kind in PRACTICE_KINDS else ""
    return {
        "position": position,
        "axis": axis_view(axis, language),
        "stimuli": stimuli,
        "shown": shown,
        "practice": practice,
        "explanation": localize(item.explanation, language) if practice == "example" else "",
    }


def feedback_view(study: Study, task: Task, answer: dict[str, Any], language: str) -> dict[str, Any] | None:
    """Return whether a practice answer is the expected one and why; None for all other items."""
    item = study.items[task.item]
    if item.kind not in PRACTICE_KINDS:
        return None
    correct = meets_expectation(item, task.order, answer)
    return {"correct": correct, "explanation": localize(item.explanation, language)}


def state_view(study: Study, rater: Rater, step: Step, work: Work | None, study_state: str) -> dict[str, Any]:
    """Return where a rater is and what the page shows."""
    language = rater.language
    view: dict[str, Any] = {
        "page": step.page,
        "rater": rater.id,
        "study": localize(study.plan.title, language) or study.plan.name,
        "state": study_state,
        "language": language,
        "languages": list(study.plan.languages),
        "contact": study.config.contact,
        "done": 0,
        "total": 0,
        "watch_fraction": study.config.server.watch_fraction,
        "min_width": study.config.server.screen_min_width,
    }
    if work is not None:
        view |= {"done": work.num_done, "total": len(work.open_positions)}
        view["answered"] = [p for p in work.open_positions if p in work.answers]
    if step.axis:
        view["axis"] = axis_view(study.axes[step.axis], language)
        view["again"] = rater.qualification.get(step.axis, {}).get("tries", 0) > 0
    if step.page == "task" and work is not None:
        view["task"] = task_view(study, work.tasks[step.position], step.position, language)
        later = [p for p in work.open_positions if p > step.position and p not in work.answers]
        view["next_media"] = []
        if later:
            following = task_view(study, work.tasks[later[0]], later[0], language)
            view["next_media"] = [each["url"] for each in following["stimuli"]]
    platform = study.config.platform
    if step.page in ("finished", "screened_out"):
        finished = step.page == "finished"
        code = platform.completion_code if finished else platform.screened_out_code
        url = platform.completion_url.replace("{code}", code) if code else ""
        view |= {"code": code, "code_url": url if url.startswith("https://") else ""}
        view["mturk"] = mturk_view(rater, code)
    return view


def mturk_view(rater: Rater, code: str) -> dict[str, str]:
    """Return where a worker's page posts the end of an assignment; empty for other raters."""
    target = rater.platform_fields.get("turkSubmitTo", "")
    allowed = ("https://www.mturk.com", "https://workersandbox.mturk.com")
    if rater.platform != "mturk" or target not in allowed:
        return {}
    assignment = rater.platform_fields.get("assignmentId", "")
    return {"url": f"{target}/mturk/externalSubmit", "assignmentId": assignment, "code": code}
