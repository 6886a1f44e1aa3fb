"""The funnel: order, thresholds, missing scores, mistakes in the settings."""

from typing import Any

import pytest

from data.curation.config import CurationConfig, RangeConfig, StepConfig
from data.curation.funnel import check_step, passes_header, run_funnel
from data.curation.report import funnel_table


def clip(name: str, **scores: Any) -> dict[str, Any]:
    row = {"id": name, "key": name, "path": name, "start_s": 0.0, "end_s": 5.0, "captions": [], "error": None}
    return row | {"detail": None, "duration_s": 5.0, "width": 256, "height": 256} | scores


def settings(**options: Any) -> CurationConfig:
    return CurationConfig(path=".", out=".", **options)


def step(**ranges: RangeConfig) -> StepConfig:
    return StepConfig(ranges=ranges)


TWO = {
    "order": ("duration", "text"),
    "steps": {
        "duration": step(duration_s=RangeConfig(min=4, max=120)),
        "text": step(text_score=RangeConfig(max=0.6)),
    },
}


def test_a_clip_is_rejected_by_the_first_step_it_fails() -> None:
    rows = [
        clip("good", text_score=0.1),
        clip("short", duration_s=1.0, text_score=0.9),
        clip("text", text_score=0.9),
        clip("broken", error="damaged", detail="at 3 s"),
    ]
    funnel = run_funnel(rows, settings(**TWO))
    assert [row["step"] for row in rows] == ["", "duration", "text", "readable"]
    assert [row["reason"] for row in rows] == [
        "",
        "duration_s 1 < 4",
        "text_score 0.9 > 0.6",
        "damaged: at 3 s",
    ]
    assert [(c.name, c.num_in, c.num_out) for c in funnel.counts] == [
        ("readable", 4, 3),
        ("duration", 3, 2),
        ("text", 2, 1),
    ]
    assert "| text | text_score <= 0.6 | 2 | 1 | 1 | 25.00 % |" in funnel_table(funnel)


def test_bounds_are_inclusive() -> None:
    bounds = step(duration_s=RangeConfig(min=4, max=120))
    assert check_step(clip("a", duration_s=4.0), bounds) == ("", False)
    assert check_step(clip("a", duration_s=120.0), bounds) == ("", False)


@pytest.mark.parametrize(("missing", "reason"), [("keep", ""), ("reject", "motion_vectors is missing")])
def test_a_missing_score_is_counted(missing: Any, reason: str) -> None:
    bounds = step(motion_vectors=RangeConfig(max=7, missing=missing))
    rows = [clip("vp9", motion_vectors=None)]
    assert check_step(rows[0], bounds) == (reason, True)
    funnel = run_funnel(rows, settings(order=("motion",), steps={"motion": bounds}))
    assert funnel.counts[1].num_missing == 1


def test_the_header_alone_decides_what_is_decoded() -> None:
    config = settings(**TWO)
    assert passes_header(clip("long"), config)
    assert not passes_header(clip("short", duration_s=1.0), config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": ("dedup",)}, "no step 'dedup'"),
        ({"steps": TWO["steps"], "order": ("text",)}, "step 'duration' is missing"),
        ({"order": ("resample", "resample")}, "repeated"),
    ],
)
def test_mistakes_in_the_order_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**options)


def test_an_unknown_score_gets_a_hint() -> None:
    with pytest.raises(ValueError, match="did you mean text_score"):
        step(text_scores=RangeConfig(max=1))
    with pytest.raises(ValueError, match="give min, max or both"):
        step(text_score=RangeConfig())
