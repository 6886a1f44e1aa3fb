"""A session as one file: what it has, and its answers in the database."""

import base64
import json
import re
from pathlib import Path

import pytest

from eval.human.__main__ import main as run
from eval.human.study import Study, read_raters_file, read_votes_file
from src.core.errors import UserError
from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import evidence


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_study(tmp_path / "study", num_prompts=2, num_slots=2, practice=True)


def export(study: Study, tmp_path: Path, *arguments: str) -> tuple[str, dict]:
    out = tmp_path / f"session{len(list(tmp_path.glob('*.html')))}.html"
    run(["export-html", str(study.folder), f"out={out}", *arguments])
    page = out.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="study-data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return page, json.loads(data[1])


def answers(data: dict, study: Study, number: int) -> dict:
    votes = []
    for task in data["tasks"][:number]:
        order = study.slots[data["slot"]].tasks[task["position"]].order
        choice = "left" if order[0] == 0 else "right"
        votes.append(
            {
                "position": task["position"],
                "key": f"key{task['position']:08d}",
                "answer": {"choice": choice},
                "evidence": evidence(2),
                "answered_at": 1_700_000_000.0 + task["position"],
            }
        )
    head = {key: data[key] for key in ("rater", "slot", "plan_hash")}
    return head | {
        "format": 1,
        "consented_at": 1_700_000_000.0,
        "checks": {"display": {"bars": 8}},
        "votes": votes,
    }


def test_the_file_needs_nothing_else_and_names_no_system(study: Study, tmp_path: Path) -> None:
    page, data = export(study, tmp_path)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page
    assert "connect-src" not in page
    for media in study.media.values():
        assert media.id not in page
    assert {task["practice"] for task in data["tasks"]} == {"example", "qualification", ""}
    assert all("expected" not in task for task in data["tasks"] if not task["practice"])
    first = study.slots[data["slot"]].tasks[0]
    encoded = re.search(rf'id="{data["tasks"][0]["stimuli"][0]["url"]}" [^>]*>([^<]*)<', page)
    content = study.media_path(study.items[first.item].stimuli[first.order[0]]).read_bytes()
    assert base64.b64decode(encoded[1]) == content


def test_answers_are_imported_once_and_later_ones_added(study: Study, tmp_path: Path) -> None:
    _, data = export(study, tmp_path)
    path = tmp_path / "answers.json"
    for number in (2, 4, 4, 6):
        path.write_text(json.dumps(answers(data, study, number)))
        run(["import-html", str(study.folder), f"answers={path}"])
    run(["export", str(study.folder)])
    votes = read_votes_file(study.folder / "votes.jsonl")
    assert [vote.index for vote in votes] == list(range(6))
    assert all(not vote.revisions for vote in votes)
    assert votes[0].answered_at == "2023-11-14T22:13:20.000Z"
    people = read_raters_file(study.folder / "raters.jsonl")
    assert (people[0].status, people[0].platform) == ("finished", "offline")
    assert people[0].qualification == {"overall": (2, 2)}


def test_a_session_is_given_once(study: Study, tmp_path: Path) -> None:
    _, first = export(study, tmp_path)
    _, second = export(study, tmp_path)
    assert {first["slot"], second["slot"]} == {"slot0", "slot1"}
    with pytest.raises(UserError, match="every task is answered or in work"):
        export(study, tmp_path)
    with pytest.raises(UserError, match="another rater works on slot0"):
        export(study, tmp_path, "slot=slot0")
    with pytest.raises(UserError, match="not in the plan"):
        export(study, tmp_path, "slot=nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "not whole"),
        (lambda text: "[]", "not the answers of a session's file"),
        (lambda text: text.replace('"plan_hash": "', '"plan_hash": "f'), "another plan"),
        (lambda text: text.replace('"rater": "r_', '"rater": "x_'), "did not create"),
        (
            lambda text: text.replace('"left"', '"both"').replace('"right"', '"both"'),
            "expected left or right",
        ),
    ],
)
def test_a_broken_file_is_refused_in_one_line(study: Study, tmp_path: Path, change, message: str) -> None:
    _, data = export(study, tmp_path)
    path = tmp_path / "answers.json"
    path.write_text(change(json.dumps(answers(data, study, 3))))
    with pytest.raises(UserError, match=message):
        run(["import-html", str(study.folder), f"answers={path}"])
    run(["export", str(study.folder)])
    assert read_votes_file(study.folder / "votes.jsonl") == []


@pytest.mark.services
def test_a_rater_works_in_the_file_without_a_network(tmp_path: Path) -> None:
    from eval.human.demo.browser_rater import BrowserRater, open_chromium

    study = write_study(tmp_path / "real", axes=("overall", "audio"), num_prompts=1, num_slots=1, real=True)
    out = tmp_path / "session.html"
    run(["export-html", str(study.folder), f"out={out}"])
    with open_chromium() as browser:
        rater = BrowserRater(browser, viewport={"width": 960, "height": 640}, accept_downloads=True)
        rater.context.set_offline(True)
        rater.open(out.as_uri())
        assert rater.work(max_tasks=1) == 1
        rater.page.reload()  # answers are kept in the browser
        assert rater.work() == 1
        with rater.page.expect_download() as download:
            rater.page.click("#save-file")
        path = tmp_path / "answers.json"
        download.value.save_as(path)
        assert rater.errors == []
    run(["import-html", str(study.folder), f"answers={path}"])
    run(["export", str(study.folder)])
    votes = read_votes_file(study.folder / "votes.jsonl")
    assert [vote.answer for vote in votes] == [{"choice": "equal"}] * 2
    assert all(min(vote.evidence.watched_s) >= 0.95 for vote in votes)
