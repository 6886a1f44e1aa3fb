"""Two hundred raters at once, and servers that are killed under them. Loopback only.

Prints votes per second and the 99th percentile from an answer to "saved": pytest -m long -s.
"""

import asyncio
import contextlib
import csv
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.human.demo.browser_rater import BrowserRater, open_chromium
from eval.human.demo.run import wait_for_server
from eval.human.server import raters
from eval.human.server.database import database_url, open_database
from eval.human.server.links import link_url
from eval.human.server.tables import Rater, Revision, Vote
from eval.human.study import Study
from tests.eval.human.server.test_browser import go_to_task
from tests.fixtures.human_study import write_study
from tests.fixtures.postgres import start_postgres
from tests.fixtures.rater_load import Load, run_raters

pytestmark = pytest.mark.long
NUM_RATERS = 200
BEGIN_SECONDS, LOAD_SECONDS = 15.0, 30.0  # all raters consent and read first; then votes are counted


class Server:
    """A server process that can be killed and started again at the same address."""

    def __init__(self, folder: Path, url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        settings = [f"port={port}", f"database={url}", "password=x"]
        self.command = [sys.executable, "-m", "eval.human", "serve", str(folder), *settings]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_for_server(self.base, self.process)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield database_url(tmp_path, f"sqlite:///{tmp_path / 'votes.db'}")
        return
    server = start_postgres(tmp_path / "postgres")
    yield server.url
    server.stop("immediate")
    shutil.rmtree(server.folder)


def prepare(folder: Path, url: str, num_raters: int) -> tuple[Study, Server, Path]:
    study = write_study(folder / "study", num_prompts=30, num_slots=num_raters)
    server = Server(study.folder, url)
    database = open_database(url)
    with database.write() as session:
        invited = raters.invite_raters(session, study, num_raters, time.time())
    database.close()
    links = folder / "links.csv"
    with links.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rater", "slot", "link"))
        writer.writerows((rater.id, rater.slot, link_url(server.base, token)) for rater, token in invited)
    return study, server, links


def check_stored(url: str, load: Load) -> None:
    """Every acknowledged vote is there, and none twice."""
    database = open_database(url)
    with database.read() as session:
        stored = [(vote.rater, vote.position) for vote in session.query(Vote)]
        assert len(stored) == len(set(stored))
        assert set(load.acknowledged) <= set(stored)
        assert session.query(Revision).count() == len(stored)
        assert session.query(Rater).filter(Rater.slot == "").count() == 0
    database.close()


def test_two_hundred_raters(url: str, tmp_path: Path) -> None:
    _, server, links = prepare(tmp_path, url, NUM_RATERS)
    begin = time.monotonic() + BEGIN_SECONDS
    try:
        load = asyncio.run(run_raters(links, think_s=2.0, end=begin + LOAD_SECONDS))
    finally:
        server.kill()
    check_stored(url, load)
    num_votes = sum(begin <= moment <= begin + LOAD_SECONDS for moment in load.moments)
    print(
        f"{url.split(':')[0]}: {num_votes / LOAD_SECONDS:.0f} votes per second, p99"
        f" {load.percentile(0.99, begin):.2f} s, median {load.percentile(0.5, begin):.3f} s,"
        f" {load.num_bytes / 2**20:.0f} MiB of media"
    )
    assert load.num_failures == 0
    assert num_votes > NUM_RATERS


def test_a_server_killed_twenty_times_under_load_loses_and_doubles_nothing(url: str, tmp_path: Path) -> None:
    _, server, links = prepare(tmp_path, url, 40)
    end = time.monotonic() + 200
    result: list[Load] = []
    worker = threading.Thread(
        target=lambda: result.append(asyncio.run(run_raters(links, think_s=0.2, end=end))), daemon=True
    )
    worker.start()
    moments = random.Random(3)
    for _ in range(20):
        time.sleep(moments.uniform(0.2, 1.5))
        server.kill()
        server.start()
    worker.join(timeout=260)
    server.kill()
    assert result, "the raters did not come to an end"
    check_stored(url, result[0])
    assert len(result[0].acknowledged) > 400
    print(f"{url.split(':')[0]}: {len(result[0].acknowledged)} votes over 20 kills, all there once")


def test_the_page_never_shows_saved_for_a_vote_that_is_not_there(tmp_path: Path) -> None:
    """The server is killed fifty times between an answer and "saved"; the page is Chromium's."""
    url = f"sqlite:///{tmp_path / 'votes.db'}"
    study = write_study(tmp_path / "study", num_prompts=50, num_slots=1, real=True, seconds=0.5)
    server = Server(study.folder, url)
    database = open_database(url)
    with database.write() as session:
        token = raters.invite_raters(session, study, 1, time.time())[0][1]
    moments = random.Random(5)

    def is_stored(position: int) -> bool:
        with database.read() as session:
            return session.query(Vote).filter_by(position=position).count() == 1

    num_early = 0
    with open_chromium() as browser, contextlib.ExitStack() as stack:
        rater = BrowserRater(browser, viewport={"width": 640, "height": 600})
        stack.callback(rater.close)
        rater.open(link_url(server.base, token))
        go_to_task(rater)
        rater.page.evaluate(
            "() => { window.said = []; new MutationObserver(() => {"
            " const node = document.getElementById('status');"
            " if (node.className === 'saved') window.said.push(Study.current?.task.position);"
            " }).observe(document.getElementById('status'), { attributes: true }); }"
        )
        for position in range(50):
            rater.page.wait_for_function(
                f"() => Study.current?.keys && Study.current.task.position === {position}"
            )
            rater.watch()
            rater.page.evaluate("Study.current.keys.control.key(2)")
            killer = threading.Timer(moments.uniform(0.0, 0.03), server.kill)
            killer.start()
            rater.page.evaluate("() => { Study.current.keys.submit(); }")
            killer.join()
            rater.page.wait_for_timeout(60)
            said = position in rater.page.evaluate("window.said")
            num_early += said
            assert not said or is_stored(position), f"said saved, but the vote on {position} is not there"
            server.start()
            rater.page.wait_for_function(f"() => window.said.includes({position})", timeout=60_000)
            assert is_stored(position)
    server.kill()
    with database.read() as session:
        assert session.query(Vote).count() == session.query(Revision).count() == 50
    database.close()
    print(f"50 kills: {num_early} after and {50 - num_early} before the page could say saved")
