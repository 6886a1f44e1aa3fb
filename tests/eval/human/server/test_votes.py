"""From a personal link to the last vote: what is stored, once, and what is not said too early."""

import json
from dataclasses import replace

import pytest

from eval.human.schema import PRACTICE
from eval.human.server import raters
from eval.human.server.database import Database
from eval.human.server.export import export_votes, vote_records
from eval.human.server.progress import Work
from eval.human.server.tables import Rater, Revision, Vote
from eval.human.study import Study, load_study, read_raters_file, read_votes_file
from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import PageRater, StudyApp


def expected_choice(app: StudyApp, rater: PageRater, task: dict) -> str:
    """Return the side of the first stimulus, which is the better one of practice and gold items."""
    with app.database.read() as session:
        slot = session.query(Rater).filter_by(id=rater.state()["rater"]).one().slot
    order = app.study.slots[slot].tasks[task["position"]].order
    return "left" if order[0] == 0 else "right"


def work_well(app: StudyApp, rater: PageRater, max_tasks: int = 100) -> dict:
    """Answer as expected; return the last state."""
    for _ in range(max_tasks):
        state = rater.begin()
        if state["page"] != "task":
            return state
        assert rater.vote(state["task"], expected_choice(app, rater, state["task"])).status_code == 200
    return rater.begin()


def test_a_rater_does_a_complete_study_and_the_export_has_every_vote(app: StudyApp) -> None:
    rater = app.rater()
    assert rater.state()["page"] == "consent"
    state = work_well(app, rater)
    assert (state["page"], state["code"]) == ("finished", "DONE1")
    assert export_votes(app.study.folder) == (7, 1)
    votes, people = (
        read_votes_file(app.study.folder / "votes.jsonl"),
        read_raters_file(app.study.folder / "raters.jsonl"),
    )
    tasks = app.study.slots["slot0"].tasks
    assert [(v.item, v.axis, v.order, v.index) for v in votes] == [
        (task.item, task.axis, task.order, number) for number, task in enumerate(tasks)
    ]
    assert votes[0].evidence.watched_s == (1.0, 1.0)
    assert votes[0].evidence.time_s == 4.5
    assert people[0].status == "finished"
    assert people[0].qualification == {"overall": (2, 2)}
    assert people[0].checks == {"display": {"bars": 8}}


def test_a_repeated_request_is_stored_once_and_a_changed_answer_is_a_revision(app: StudyApp) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    first = rater.vote(task, "left", key="0123456789")
    again = rater.vote(task, "left", key="0123456789")
    assert first.json()["revision"] == again.json()["revision"] == 1
    assert rater.vote(task, "right", marks=[{"position": 1, "seconds": 0.51234}]).json()["revision"] == 2
    with app.database.read() as session:
        assert (session.query(Vote).count(), session.query(Revision).count()) == (1, 2)
        record = next(vote_records(session, app.study))
    assert record.answer == {"choice": "right"}
    assert [each["answer"] for each in record.revisions] == [{"choice": "left"}]
    assert record.marks == ({"position": 1, "seconds": 0.512},)


def test_an_answer_that_arrives_again_does_not_replace_a_later_one() -> None:
    work = Work((), [0, 2])
    work.add_answer(1, Revision(id=5, answer={"choice": "left"}))
    work.add_answer(1, Revision(id=4, answer={"choice": "right"}))
    assert work.answers == {1: (5, {"choice": "left"})}
    assert (work.open_positions, work.num_done) == ([0, 1, 2], 1)


def test_a_rater_continues_on_another_device_at_the_same_task(app: StudyApp) -> None:
    token = app.token()
    first = app.rater(token)
    first.vote(first.begin()["task"])
    position = first.begin()["task"]["position"]
    second = app.rater(token)
    assert second.begin()["task"]["position"] == position
    assert first.state(take=False)["page"] == "superseded"
    # an answer of the first window is not lost, and changes nothing of the second one's work
    task = second.begin()["task"]
    assert first.vote(task, "left").status_code == 200
    assert second.vote(task, "right").json()["revision"] == 2
    assert first.state(take=True)["page"] == "task"


def test_answers_out_of_order_or_of_a_wrong_kind_are_refused(app: StudyApp) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    for changed, status in (
        ({"position": task["position"] + 1}, 409),
        ({"position": 10_000}, 400),
        ({"position": True}, 400),
    ):
        assert rater.vote({**task, **changed}).status_code == status
    for body in (
        {"answer": {"choice": "both"}},
        {"answer": "left"},
        {"key": "short"},
        {"evidence": {"watched_s": "all"}},
        {"evidence": {"time_s": "long"}},
        {"marks": [{"position": 5, "seconds": 1}]},
        {"comment": 5},
    ):
        response = (
            rater.vote(task, **({"key": "0123456789"} | body))
            if "key" not in body
            else rater.vote(task, **body)
        )
        assert response.status_code == 400, body
        assert response.json()["error"].split(":")[0] in {next(iter(body)), "answer"}
    with app.database.read() as session:
        assert session.query(Vote).count() == 0


def test_a_failed_qualification_is_repeated_once_and_then_ends(app: StudyApp) -> None:
    rater = app.rater()
    for turn in range(2):
        state = rater.state()
        while (state := rater.begin())["page"] == "task" and state["task"]["practice"]:
            wrong = "left" if expected_choice(app, rater, state["task"]) == "right" else "right"
            feedback = rater.vote(state["task"], wrong).json()["feedback"]
            assert feedback["correct"] is False
            assert feedback["explanation"] == "The first stimulus is the original."
            if rater.state()["page"] == "instructions":
                break
        assert turn or rater.state()["again"]
    state = rater.state()
    assert (state["page"], state["code"]) == ("screened_out", "OUT1")
    with app.database.read() as session:
        assert raters.rater_record(session.query(Rater).one(), with_platform_id=False).qualification == {
            "overall": (0, 2)
        }


def test_all_correct_answers_pass_a_qualification_with_few_items(app: StudyApp) -> None:
    app.study.axes["overall"] = replace(app.study.axes["overall"], min_correct=3)  # the study has two
    state = work_well(app, app.rater())
    assert state["page"] == "finished"


def test_a_passed_second_try_continues(app: StudyApp) -> None:
    rater = app.rater()
    while not rater.state().get("again"):
        task = rater.begin()["task"]
        wrong = "left" if expected_choice(app, rater, task) == "right" else "right"
        rater.vote(task, wrong)
    assert work_well(app, rater)["page"] == "finished"


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_pages_come_in_three_languages(app: StudyApp, language: str) -> None:
    rater = app.rater()
    rater.post("consent", language=language)
    state = rater.state()
    assert state["language"] == language
    assert state["study"] == app.study.plan.title[language]
    assert rater.client.get("/strings.json").json()[language]["saved"]


def test_pause_and_close_are_seen_and_lose_nothing(app: StudyApp) -> None:
    rater, organizer = app.rater(), app.organizer()
    task = rater.begin()["task"]
    csrf = organizer.get("/organizer").text.split('name="csrf" value="')[1].split('"')[0]
    organizer.post("/organizer/state", data={"state": "paused", "csrf": csrf})
    assert rater.state()["page"] == "paused"
    assert rater.vote(task).status_code == 200  # given before the pause was seen
    organizer.post("/organizer/state", data={"state": "closed", "csrf": csrf})
    assert rater.state()["page"] == "closed"
    assert rater.vote(task).status_code == 410
    organizer.post("/organizer/state", data={"state": "open", "csrf": csrf})
    assert rater.begin()["page"] == "task"


def test_a_deleted_rater_leaves_nothing(app: StudyApp) -> None:
    rater = app.rater()
    name = rater.state()["rater"]
    rater.vote(rater.begin()["task"], comment="a very personal remark")
    with app.database.write() as session:
        assert raters.delete_rater(session, name) == 1
    with app.database.read() as session:
        for table in (Vote, Revision, Rater):
            assert session.query(table).count() == 0
    assert rater.post("state").status_code == 401
    app.database.close()
    with app.database.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in app.study.folder.glob("study.db*"):
        assert b"personal remark" not in path.read_bytes()


def test_an_edited_study_is_refused_once_there_are_votes(app: StudyApp, tmp_path) -> None:
    rater = app.rater()
    rater.vote(rater.begin()["task"])
    other = write_study(tmp_path / "other", num_prompts=2)
    with pytest.raises(ValueError, match="edited after voting began"):
        StudyApp(other, app.database.url)


def test_a_full_disk_or_a_missing_database_is_said_and_tried_again(app: StudyApp) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    with app.database.engine.connect() as connection:  # SQLite's own limit stands for a full disk
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = f"PRAGMA max_page_count={pages}"
    fill = {"comment": "x" * 1000, "marks": [{"position": 0, "seconds": 1.0}] * 50}
    statuses = []
    with _on_every_connection(app.database, limit):
        statuses = [rater.vote(task, **fill).status_code for _ in range(12)]
    assert 503 in statuses
    stored = statuses.count(200)
    assert rater.vote(task, "left").json()["revision"] == stored + 1


def _on_every_connection(database: Database, statement: str):
    from contextlib import contextmanager

    from sqlalchemy import event

    @contextmanager
    def run():
        def execute(connection, _):
            connection.execute(statement).close()

        database.close()
        event.listen(database.engine, "connect", execute)
        yield
        event.remove(database.engine, "connect", execute)
        database.close()

    return run()


def test_every_kind_of_answer_is_stored(tmp_path) -> None:
    study = write_study(
        tmp_path / "kinds", axes=("overall", "audio", "stars", "scores", "order"), num_prompts=1, num_slots=1
    )
    app = StudyApp(study)
    assert app.rater().finish()["page"] == "finished"
    app.clients.close()
    with app.database.read() as session:
        answers = [vote.answer for vote in vote_records(session, study)]
    assert answers == [
        {"choice": "equal"},
        {"choice": "equal"},
        {"rating": 3},
        {"ratings": [50, 50, 50]},
        {"ranking": [0, 1, 2]},
    ]


def test_the_page_knows_no_system_no_kind_and_no_expected_answer(app: StudyApp) -> None:
    rater = app.rater()
    secrets_of_study = {"system", "kind", "expected", "sample", "tags", "repeat_of", "sha256", "file"}
    while (state := rater.begin())["page"] == "task":
        text = json.dumps(state)
        keys = set(_keys(state))
        assert not keys & secrets_of_study
        task = app.study.slots["slot0"].tasks[state["task"]["position"]]
        item = app.study.items[task.item]
        assert item.id not in text
        assert not any(media in text for media in item.stimuli)
        if item.kind not in PRACTICE:
            assert "original" not in text
        rater.vote(state["task"], expected_choice(app, rater, state["task"]))


def _keys(value):
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from _keys(part)


def test_a_study_is_loaded_as_it_was_written(written_study: Study) -> None:
    assert load_study(written_study.folder).plan.hash == written_study.plan.hash
