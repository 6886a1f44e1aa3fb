"""The organizer's page and the commands: figures while people vote, links, revoking, exports."""

import csv
import io
import json
import re

import pytest

from eval.human.__main__ import main as run
from eval.human.analysis.exclusion import apply_rules
from eval.human.server.export import rater_records, vote_records
from eval.human.server.status import study_status
from eval.human.server.tables import Rater
from eval.human.study import read_votes_file
from src.core.errors import UserError
from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import PageRater, StudyApp


def csrf_of(client) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', client.get("/organizer").text)[1]


def answer_all(app: StudyApp, rater: PageRater, side: str, **fields) -> None:
    """Answer practice as expected, everything else with one side of the stimuli: "first" or "second"."""
    while (state := rater.begin())["page"] == "task":
        with app.database.read() as session:
            slot = session.query(Rater).filter_by(id=state["rater"]).one().slot
        task = app.study.slots[slot].tasks[state["task"]["position"]]
        first = "left" if task.order[0] == 0 else "right"
        second = "right" if first == "left" else "left"
        practice = app.study.items[task.item].kind in ("example", "qualification")
        rater.vote(state["task"], first if practice or side == "first" else second, **fields)


def test_the_page_shows_progress_agreement_times_and_failed_gold(app: StudyApp) -> None:
    first, second = app.rater(), app.rater()
    answer_all(app, first, "first")
    hasty = {"watched_s": [0.1, 1.0], "duration_s": [1.0, 1.0], "time_s": 0.5, "hidden_s": 0.4}
    answer_all(app, second, "second", evidence=hasty)
    with app.database.read() as session:
        status = study_status(session, app.study, app.clock())
    axis = status["axes"][0]
    assert (axis["votes"], axis["planned"], axis["num_pairs"], axis["agreement"]) == (8, 8, 3, 0.0)
    assert (axis["gold_failed"], axis["gold"]) == (1, 2)
    assert axis["median_s"] == pytest.approx((4.5 + 0.5) / 2)
    assert [row["status"] for row in status["raters"]] == ["finished", "finished"]
    preview = {row["rule"]: row for row in status["exclusion"]}
    assert len(preview["min_median_time_s"]["raters"]) == 1
    assert preview["min_watched_fraction"]["answers"] == 0  # the rater is left out already
    page = app.organizer().get("/organizer").text
    assert "8</td><td>8</td>" in page
    refreshed = app.organizer().get("/organizer/status").json()["html"]
    assert "finished" in refreshed


@pytest.mark.parametrize(
    ("evidence", "rule"),
    [
        ({"watched_s": [0.1, 1.0], "duration_s": [1.0, 1.0], "time_s": 9.0}, "min_watched_fraction"),
        ({"hidden_s": 8.0, "time_s": 9.0}, "max_hidden_fraction"),
    ],
)
def test_the_preview_of_exclusion_is_that_of_the_report(app: StudyApp, evidence: dict, rule: str) -> None:
    rater = app.rater()
    answer_all(app, rater, "first", evidence=evidence)
    with app.database.read() as session:
        preview = study_status(session, app.study, app.clock())["exclusion"]
        votes, records = list(vote_records(session, app.study)), rater_records(session)
    counts = {row["rule"]: row.get("answers", len(row.get("raters", ()))) for row in preview}
    assert {name: count for name, count in counts.items() if count} == {rule: 3}
    study = app.study
    reported = apply_rules(votes, study.items, study.axes, records, study.config.exclusion)
    assert sum(reported.dropped.values()) == 3
    assert counts.keys() == {
        "max_gold_failures",
        "min_repeat_agreement",
        "max_side_p",
        "min_median_time_s",
        "min_watched_fraction",
        "max_hidden_fraction",
        "require_qualification",
    }


def test_links_are_written_and_revoked_and_sessions_returned(app: StudyApp) -> None:
    organizer = app.organizer()
    csrf = csrf_of(organizer)
    response = organizer.post("/organizer/links", data={"number": "2", "csrf": csrf})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["slot"] for row in rows] == ["slot0", "slot1"]
    token = rows[0]["link"].split("/join#")[1]
    rater = app.rater(token)
    assert rater.begin()["page"] == "task"
    organizer.post("/organizer/rater", data={"rater": rows[0]["rater"], "action": "revoke", "csrf": csrf})
    assert rater.post("state").status_code == 401
    organizer.post("/organizer/rater", data={"rater": rows[0]["rater"], "action": "return", "csrf": csrf})
    assert organizer.post("/organizer/links", data={"number": "1", "csrf": csrf}).text.count("slot0") == 1
    assert organizer.post("/organizer/links", data={"number": "1", "csrf": csrf}).status_code == 409
    assert organizer.post("/organizer/links", data={"number": "0", "csrf": csrf}).status_code == 400


def test_a_lease_that_ends_soon_is_marked(app: StudyApp) -> None:
    rater = PageRater(app.client())
    rater.client.get("/prolific?PROLIFIC_PID=p&STUDY_ID=s&SESSION_ID=t")
    rater.begin()
    app.clock.now += (app.study.config.lease_minutes - 10) * 60
    assert '<td class="warn">10 min</td>' in app.organizer().get("/organizer").text


def test_a_link_in_two_windows_is_counted(app: StudyApp) -> None:
    token = app.token()
    app.rater(token).begin(), app.rater(token).begin()
    with app.database.read() as session:
        assert study_status(session, app.study, app.clock())["raters"][0]["num_takeovers"] == 1


def test_commands_make_links_export_delete_and_pay(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study", num_prompts=2, num_slots=2)
    out = tmp_path / "links.csv"
    run(["links", str(study.folder), "number=2", f"out={out}", "public_url=https://study.example"])
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert all(row["link"].startswith("https://study.example/join#") for row in rows)
    assert out.stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="exists"):
        run(["links", str(study.folder), f"out={out}"])
    with pytest.raises(UserError, match="0 of 2 are free"):
        run(["links", str(study.folder), f"out={tmp_path / 'more.csv'}"])
    app = StudyApp(study)
    rater = app.rater(rows[0]["link"].split("#")[1])
    rater.finish()
    app.close()
    run(["export", str(study.folder)])
    assert len(read_votes_file(study.folder / "votes.jsonl")) == 3
    run(["links", str(study.folder), f"revoke={rows[1]['rater']}", f"out={tmp_path / 'x.csv'}"])
    run(["platform", str(study.folder), f"pay={tmp_path / 'pay.csv'}"])
    run(["delete-rater", str(study.folder), f"rater={rows[0]['rater']}"])
    assert read_votes_file(study.folder / "votes.jsonl") == []
    with pytest.raises(UserError, match="not in the database"):
        run(["delete-rater", str(study.folder), f"rater={rows[0]['rater']}"])
    assert "deleted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve"], "name the study's folder"),
        (["serve", "study=/nowhere"], "has no plan.json"),
        (["export", "study=/nowhere"], "has no plan.json"),
        (["links"], "name its folder"),
        (["platform", "study=/nowhere"], "name returned="),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(arguments)


def test_a_database_that_is_no_database_is_one_line(tmp_path) -> None:
    study = write_study(tmp_path / "study", num_prompts=1)
    for url, message in (
        ("nonsense", "expected sqlite"),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
    ):
        with pytest.raises(UserError, match=message):
            run(["export", str(study.folder), f"database={url}"])


def test_evidence_of_an_unknown_field_is_dropped(app: StudyApp) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    assert rater.vote(task, evidence={"time_s": 1, "name": "Jane", "screen": [1, 2]}).status_code == 200
    votes = app.organizer().get("/organizer/votes.jsonl").text
    assert "Jane" not in votes
    assert json.loads(votes)["evidence"]["screen"] == [1, 2]
