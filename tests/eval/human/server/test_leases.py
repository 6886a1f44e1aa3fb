"""Slots: one rater at a time, given on when left, regardless of the clock."""

import pytest

from eval.human.server import leases, raters
from eval.human.server.tables import Lease, Rater, Revision
from tests.fixtures.study_client import PageRater, StudyApp

HOUR = 3600.0


def worker(app: StudyApp, number: int, platform: str = "prolific") -> PageRater:
    """Return a rater who came from a platform."""
    rater = PageRater(app.client())
    query = {
        "prolific": f"PROLIFIC_PID=person{number}&STUDY_ID=s&SESSION_ID=t",
        "mturk": f"workerId=person{number}&assignmentId=a{number}&hitId=h&turkSubmitTo=https://www.mturk.com",
    }
    assert rater.client.get(f"/{platform}?{query[platform]}").url.path == "/"
    return rater


def test_each_rater_has_a_slot_and_the_next_one_waits(app: StudyApp) -> None:
    first, second, third = (worker(app, number) for number in range(3))
    assert [each.begin()["page"] for each in (first, second, third)] == ["task", "task", "full"]
    with app.database.read() as session:
        assert {rater.slot for rater in session.query(Rater)} == {"slot0", "slot1", ""}


def test_a_left_slot_is_given_on_with_what_is_unanswered(app: StudyApp) -> None:
    first, second = worker(app, 0), worker(app, 1)
    first.begin(), second.begin()
    for _ in range(4):
        state = first.begin()
        first.vote(state["task"], _expected(app, first, state["task"]))
    app.clock.now += app.study.config.lease_minutes * 60 + 1
    third = worker(app, 2)
    state = third.begin()
    assert state["page"] == "task"
    assert state["total"] == 7 - 1  # practice again, without the pair that was answered
    assert first.begin()["page"] == "expired"


def test_a_late_answer_of_an_offline_browser_is_kept(app: StudyApp) -> None:
    first, second = worker(app, 0), worker(app, 1)
    second.begin()
    task = first.begin()["task"]
    app.clock.now += app.study.config.lease_minutes * 60 + 1
    worker(app, 2).begin()
    assert first.vote(task, "left").status_code == 200


def test_a_rater_who_comes_back_in_time_for_a_free_slot_continues(app: StudyApp) -> None:
    first = worker(app, 0)
    position = first.begin()["task"]["position"]
    app.clock.now += app.study.config.lease_minutes * 60 + 1
    with app.database.write() as session:
        leases.end_overdue_leases(session, app.clock())
    state = first.begin()
    assert (state["page"], state["task"]["position"]) == ("task", position)


def test_personal_links_keep_their_slot_for_days(app: StudyApp) -> None:
    rater = app.rater()
    rater.begin()
    app.clock.now += 71 * HOUR
    with app.database.write() as session:
        assert leases.end_overdue_leases(session, app.clock()) == 0
    app.clock.now += 2 * HOUR
    with app.database.write() as session:
        assert leases.end_overdue_leases(session, app.clock()) == 1


def test_looking_at_the_page_extends_the_lease(app: StudyApp) -> None:
    rater = worker(app, 0)
    rater.begin()

    def lease_end() -> float:
        with app.database.read() as session:
            return session.query(Lease).one().expires_at

    before = lease_end()
    app.clock.now += HOUR
    rater.state()
    assert lease_end() == pytest.approx(before + HOUR)
    app.clock.now += 5  # seen a moment ago: nothing is written
    rater.state()
    assert lease_end() == pytest.approx(before + HOUR)


def test_a_clock_that_is_set_back_takes_no_slot_and_no_order(app: StudyApp) -> None:
    rater = worker(app, 0)
    task = rater.begin()["task"]
    with app.database.read() as session:
        before = session.query(Lease).one().expires_at
    rater.vote(task, "left")
    app.clock.now -= 5 * HOUR
    assert rater.vote(task, "right").json()["revision"] == 2
    assert rater.begin()["page"] == "task"
    with app.database.read() as session:
        assert session.query(Lease).one().expires_at >= before
        revisions = [r.answer["choice"] for r in session.query(Revision)]
    assert revisions == ["left", "right"]


def test_returned_work_is_given_to_the_next_rater(app: StudyApp) -> None:
    first, second, third = (worker(app, number) for number in range(3))
    first.begin(), second.begin()
    assert third.begin()["page"] == "full"
    export = b"Participant id,Status\nperson0,RETURNED\nperson1,AWAITING REVIEW\nunknown,TIMED-OUT\n"
    organizer = app.organizer()
    csrf = organizer.get("/organizer").text.split('name="csrf" value="')[1].split('"')[0]
    response = organizer.post(
        "/organizer/upload", data={"csrf": csrf}, files={"file": ("export.csv", export)}
    )
    assert "1" in response.text
    assert third.begin()["page"] == "task"
    assert first.begin()["page"] == "returned"


def test_a_platforms_round_trip_ends_in_codes_and_pay(app: StudyApp) -> None:
    rater, poor = worker(app, 0, "mturk"), worker(app, 1)
    rater.begin()
    app.clock.now += HOUR / 4
    while (state := rater.begin())["page"] == "task":
        rater.vote(state["task"], _expected(app, rater, state["task"]))
    assert state["code"] == "DONE1"
    assert state["mturk"]["url"] == "https://www.mturk.com/mturk/externalSubmit"
    assert state["mturk"]["assignmentId"] == "a0"
    while (state := poor.begin())["page"] == "task":
        wrong = "left" if _expected(app, poor, state["task"]) == "right" else "right"
        poor.vote(state["task"], wrong)
    assert state["code"] == "OUT1"
    rows = app.organizer().get("/organizer/payments.csv").text.splitlines()
    assert rows[0].startswith("platform,platform_id")
    assert sorted(row.split(",")[1] + row.split(",")[4] for row in rows[1:]) == [
        "person0DONE1",
        "person1OUT1",
    ]
    paid = {row.split(",")[1]: row.split(",")[6:] for row in rows[1:]}
    assert paid == {"person0": ["15.0", "3.0", "USD"], "person1": ["0.0", "0.0", "USD"]}


def test_an_assignment_is_posted_to_mechanical_turk_only(app: StudyApp) -> None:
    rater = PageRater(app.client())
    rater.client.get("/mturk?workerId=w&assignmentId=a&hitId=h&turkSubmitTo=https://evil.example")
    while (state := rater.begin())["page"] == "task":
        rater.vote(state["task"], _expected(app, rater, state["task"]))
    assert (state["page"], state["code"], state["mturk"]) == ("finished", "DONE1", {})


def test_mturk_shows_a_preview_before_acceptance(app: StudyApp) -> None:
    page = app.client().get("/mturk?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&workerId=w")
    assert "preview" in page.text
    with app.database.read() as session:
        assert session.query(Rater).count() == 0


def test_the_same_person_of_a_platform_is_one_rater(app: StudyApp) -> None:
    first, again = worker(app, 0), worker(app, 0)
    task = first.begin()["task"]
    first.vote(task)
    assert again.begin()["task"]["position"] == task["position"] + 1
    with app.database.read() as session:
        assert session.query(Rater).count() == 1


def test_more_links_than_slots_are_refused_in_one_line(app: StudyApp) -> None:
    with app.database.write() as session, pytest.raises(ValueError, match="2 of 2 are free"):
        raters.invite_raters(session, app.study, 3, app.clock())


def _expected(app: StudyApp, rater: PageRater, task: dict) -> str:
    with app.database.read() as session:
        slot = session.query(Rater).filter_by(id=rater.state()["rater"]).one().slot
    order = app.study.slots[slot].tasks[task["position"]].order
    return "left" if order[0] == 0 else "right"
