"""Finetuning selection: concepts by text and video neighbors, the review page, its decisions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.curation import finetuning, review_page
from data.curation.config import CurationConfig, FinetuningConfig
from data.curation.funnel import Funnel
from src.core.errors import UserError

CAPTIONS = [
    "A dog runs on grass.",
    "Two dogs are running.",
    "A woman dances.",
    "A man cooks soup.",
    "Nothing here.",
]


def clips() -> list[dict[str, Any]]:
    directions = np.eye(5)
    directions[4] = directions[2] + 0.1 * directions[3]  # looks like the dancer
    return [
        {
            "id": f"c{i}",
            "path": f"c{i}.mp4",
            "start_s": 0.0,
            "end_s": 4.0,
            "captions": [caption],
            "embedding": directions[i],
            "step": "",
            "reason": "",
        }
        for i, caption in enumerate(CAPTIONS)
    ]


def select(tmp_path: Path, concepts: str, seeds: str = "", **options: Any) -> list[dict[str, Any]]:
    (tmp_path / "concepts.txt").write_text(concepts)
    (tmp_path / "seeds.csv").write_text(seeds)
    settings = FinetuningConfig(
        enabled=True,
        concepts=str(tmp_path / "concepts.txt"),
        seeds=str(tmp_path / "seeds.csv") if seeds else "",
        **options,
    )
    funnel = Funnel(clips())
    finetuning.select(funnel, CurationConfig(path=".", out=".", finetuning=settings))
    return funnel.rows


def test_clips_are_found_by_words_and_by_looks(tmp_path: Path) -> None:
    rows = select(tmp_path, "# verbs\nrun\ndance\ncook\n")
    assert [row["concept"] for row in rows] == ["run", "run", "dance", "cook", "dance"]


def test_a_concept_is_full_at_its_limit(tmp_path: Path) -> None:
    rows = select(tmp_path, "run\ndance\n", per_concept=1, video_neighbors=0)
    assert [row["concept"] for row in rows].count("run") == 1
    assert {row["step"] for row in rows if row["concept"] is None} == {"concepts"}


def test_seeds_lead_to_clips_that_look_alike(tmp_path: Path) -> None:
    rows = select(tmp_path, "dance\n", "id,concept\nc4,dance\n", text_neighbors=0, per_concept=2)
    assert [row["concept"] for row in rows] == [None, None, "dance", None, "dance"]


@pytest.mark.parametrize(
    ("concepts", "seeds", "message"),
    [("\n", "", "no concept or phrase"), ("run\n", "id,concept\nc1,swim\n", "seeds.csv:2: 'swim'")],
)
def test_mistakes_in_the_lists_are_named(tmp_path: Path, concepts: str, seeds: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        select(tmp_path, concepts, seeds)


def decide(tmp_path: Path, decisions: Any) -> Funnel:
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(decisions))
    funnel = Funnel(clips())
    finetuning.apply_decisions(funnel, FinetuningConfig(decisions=str(path)))
    return funnel


def test_decisions_accept_trim_caption_and_reject(tmp_path: Path) -> None:
    accepted = {
        "id": "c0",
        "verdict": "accept",
        "start": 1.5,
        "end": 3.0,
        "caption": "New.",
        "framing": "aerial",
    }
    rejected = {"id": "c1", "verdict": "reject", "flaws": ["shake", "clutter"]}
    funnel = decide(tmp_path, {"decisions": [accepted, rejected]})
    assert [row["id"] for row in funnel.kept] == ["c0"]
    kept = funnel.kept[0]
    assert (kept["start_s"], kept["end_s"], kept["captions"], kept["framing"]) == (
        1.5,
        3.0,
        ["New."],
        "aerial",
    )
    assert [row["reason"] for row in funnel.rows[1:3]] == ["shake, clutter", "not reviewed"]


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([], "not a file saved by review.html"),
        ({"decisions": [{"id": "other", "verdict": "accept"}]}, "no clip 'other'"),
        ({"decisions": [{"id": "c0", "verdict": "accept", "start": 3, "end": 1}]}, "3 to 1 s is no stretch"),
    ],
)
def test_wrong_decisions_are_refused(tmp_path: Path, decisions: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        decide(tmp_path, decisions)


def test_the_page_shows_every_clip_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    rows = clips()
    rows[0]["captions"] = ["<script>alert(1)</script>"]
    review_page.write_page(tmp_path / "review.html", rows, tmp_path)
    page = (tmp_path / "review.html").read_text()
    assert page.count("<div class=clip ") == len(rows)
    assert "<script>alert" not in page
    assert 'src="c3.mp4#t=0.000,4.000"' in page


@pytest.mark.services
def test_answers_in_a_browser_survive_a_reload_and_are_saved(tmp_path: Path) -> None:
    from eval.human.demo.browser_rater import open_chromium

    review_page.write_page(tmp_path / "review.html", clips(), tmp_path)
    with open_chromium() as browser:
        page = browser.new_page(accept_downloads=True)
        page.goto((tmp_path / "review.html").as_uri())
        first, second = page.locator(".clip").nth(0), page.locator(".clip").nth(1)
        first.get_by_role("button", name="Accept").click()
        first.locator("[name=start]").fill("1.5")
        first.locator("[name=caption]").fill("A dog, in color.")
        first.locator("[name=framing]").select_option("close-up")
        second.get_by_role("button", name="Reject").click()
        second.get_by_label("shake").check()
        page.reload()
        assert page.locator("#count").inner_text() == "2 of 5 reviewed, 1 accepted"
        with page.expect_download() as download:
            page.get_by_role("button", name="Save decisions.json").click()
        download.value.save_as(tmp_path / "decisions.json")
    funnel = Funnel(clips())
    finetuning.apply_decisions(funnel, FinetuningConfig(decisions=str(tmp_path / "decisions.json")))
    assert [row["id"] for row in funnel.kept] == ["c0"]
    kept = funnel.kept[0]
    assert (kept["start_s"], kept["captions"], kept["framing"]) == (1.5, ["A dog, in color."], "close-up")
    assert funnel.rows[1]["reason"] == "shake"
