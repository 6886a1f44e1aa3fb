"""The same study on a real PostgreSQL, also while it is away and with two servers on it."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from eval.human.server.export import export_votes
from eval.human.server.tables import Lease, Rater, Revision, Table, Vote
from eval.human.study import Study
from tests.fixtures.human_study import write_study
from tests.fixtures.postgres import Postgres, start_postgres
from tests.fixtures.study_client import PageRater, StudyApp

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = start_postgres(tmp_path_factory.mktemp("postgres") / "server")
    yield server
    server.stop("immediate")
    shutil.rmtree(server.folder)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_study(tmp_path / "study", num_prompts=4, num_slots=12)


@pytest.fixture
def app(postgres: Postgres, study: Study) -> Iterator[StudyApp]:
    app = StudyApp(study, postgres.url)
    yield app
    app.clients.close()
    with app.database.engine.begin() as connection:
        Table.metadata.drop_all(connection)
        connection.execute(text("drop table alembic_version"))
    app.close()


def test_a_complete_study(app: StudyApp, postgres: Postgres) -> None:
    rater = app.rater()
    assert rater.finish()["page"] == "finished"
    assert export_votes(app.study.folder, postgres.url) == (5, 1)


def test_hostile_text_is_stored(app: StudyApp) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    body = {
        "position": task["position"],
        "key": "0123456789",
        "answer": {"choice": "equal"},
        "comment": "null \x00 and half a pair \ud83d",
    }
    headers = {"content-type": "application/json"}
    assert rater.client.post("/api/vote", content=json.dumps(body), headers=headers).status_code == 200


def test_the_database_is_away_and_back(app: StudyApp, postgres: Postgres) -> None:
    rater = app.rater()
    task = rater.begin()["task"]
    postgres.stop("immediate")
    try:
        away = rater.vote(task, "left", key="0123456789")
        assert away.status_code == 503
        assert "nothing is lost" in away.json()["error"]
        assert rater.client.get("/health").status_code == 503
    finally:
        postgres.start()
    assert rater.vote(task, "left", key="0123456789").json()["revision"] == 1


def test_two_servers_give_every_slot_once_and_store_every_vote_once(
    app: StudyApp, postgres: Postgres
) -> None:
    other = StudyApp(app.study, postgres.url)

    def arrive(number: int) -> str:
        rater = PageRater((app, other)[number % 2].client())
        rater.client.get(f"/prolific?PROLIFIC_PID=p{number}&STUDY_ID=s&SESSION_ID=t")
        state = rater.begin()
        if state["page"] != "task":
            return state["page"]
        twin = PageRater((other, app)[number % 2].client())
        twin.client.cookies.set("rater", rater.client.cookies["rater"])
        with ThreadPoolExecutor(2) as pair:
            for _ in range(3):  # both send the same answer at once
                votes = [
                    pair.submit(each.vote, state["task"], "left", key=f"key{number:07d}")
                    for each in (rater, twin)
                ]
                assert {vote.result().status_code for vote in votes} <= {200, 503}
        return "task"

    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(arrive, range(18)))
    assert sorted(pages) == ["full"] * 6 + ["task"] * 12
    with app.database.read() as session:
        assert session.query(Lease).count() == 12
        slots = [rater.slot for rater in session.query(Rater) if rater.slot]
        assert len(set(slots)) == len(slots) == 12
        assert session.query(Vote).count() == session.query(Revision).count() == 12
    other.close()
