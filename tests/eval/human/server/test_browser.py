"""Raters in a real Chromium: audio, lost connections, keyboard, phone, tabs, accessibility."""

import json
import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from eval.human.demo.browser_rater import BrowserRater, open_chromium
from eval.human.demo.run import serve
from eval.human.server import raters
from eval.human.server.database import database_url, open_database
from eval.human.server.export import vote_records
from eval.human.server.links import link_url
from eval.human.study import Study, load_study
from tests.eval.human.server.test_security import fuzzed_strings
from tests.fixtures.human_study import write_study

pytestmark = pytest.mark.services
DESKTOP = {"width": 960, "height": 640}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def real_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("real") / "study"
    return write_study(folder, axes=("overall", "audio"), num_prompts=2, num_slots=3, real=True)


class Served:
    """A study that is served by another process, and its database."""

    def __init__(self, study: Study, base: str) -> None:
        self.study, self.base = study, base
        self.database = open_database(database_url(study.folder))

    def link(self) -> str:
        with self.database.write() as session:
            return link_url(self.base, raters.invite_raters(session, self.study, 1, 1.0)[0][1])

    def votes(self) -> list:
        with self.database.read() as session:
            return list(vote_records(session, self.study))


@pytest.fixture
def served(real_study: Study, tmp_path: Path) -> Iterator[Served]:
    shutil.copytree(real_study.folder, tmp_path / "study")
    with serve(tmp_path / "study", "password=secret") as base:
        served = Served(load_study(tmp_path / "study"), base)
        yield served
        served.database.close()


def loudness(rater: BrowserRater) -> list[float]:
    """Return how loud each side is, read from the page's audio graph over half a second."""
    return rater.page.evaluate(
        """async () => {
          const { analysers } = Study.current.player;
          const peaks = analysers.map(() => 0);
          for (let look = 0; look < 10; look += 1) {
            await new Promise((resolve) => setTimeout(resolve, 40));
            analysers.forEach((analyser, index) => {
              const samples = new Float32Array(analyser.fftSize);
              analyser.getFloatTimeDomainData(samples);
              peaks[index] = Math.max(peaks[index], ...samples.map(Math.abs));
            });
          }
          return peaks;
        }"""
    )


def is_heard_alone(rater: BrowserRater, side: int) -> bool:
    """Return whether one side is loud while the other is silent, within ten looks."""
    for _ in range(10):
        peaks = loudness(rater)
        if peaks[side] > 0.05 > 0.01 > peaks[1 - side]:
            return True
    return False


def go_to_task(rater: BrowserRater) -> None:
    """Press the buttons of pages until a task is shown."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if rater.page.query_selector("#save"):
            return
        if not rater._step():
            rater.page.wait_for_timeout(100)
    raise AssertionError(rater.page.inner_text("#page"))


def test_a_complete_study_with_audio_and_a_lost_connection(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    go_to_task(rater)
    assert rater.work(max_tasks=2) == 2
    rater.page.wait_for_selector("#save")
    rater.watch()
    button = rater.page.query_selector("#save")
    rater.context.set_offline(True)
    rater.page.keyboard.press("2")
    rater.page.keyboard.press("Enter")
    rater.page.wait_for_selector("#status.waiting")
    assert len(served.votes()) == 2
    rater.page.wait_for_timeout(1500)
    assert rater.page.get_attribute("#status", "class") == "waiting"
    rater.context.set_offline(False)
    rater.wait_until_gone(button)  # "saved" is said for three seconds only
    assert len(served.votes()) == 3
    go_to_task(rater)
    rater.page.evaluate("Study.toggleLoop(Study.current.player)")
    rater.page.keyboard.press("Space")
    assert is_heard_alone(rater, 0)
    rater.page.keyboard.press("s")
    assert is_heard_alone(rater, 1)
    rater.page.evaluate("Study.toggleLoop(Study.current.player)")
    rater.page.evaluate("Study.current.player.pause()")
    assert rater.work() == 3
    assert rater.page.inner_text("#code") == "DONE1"
    votes = served.votes()
    assert len(votes) == 6
    audible = [vote for vote in votes if vote.axis == "audio"]
    assert all(min(vote.evidence.watched_s) >= 0.95 for vote in votes)
    assert all(min(vote.evidence.audible_s) >= 0.95 for vote in audible)
    assert rater.errors == []
    rater.close()


def test_a_browser_that_plays_no_audio_shows_it_and_goes_on_when_it_does(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.context.add_init_script(
        """window.silent = true;
        const { get } = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "state");
        Object.defineProperty(AudioContext.prototype, "state", {
          get() { return window.silent ? "suspended" : get.call(this); } });
        const resume = AudioContext.prototype.resume;
        AudioContext.prototype.resume = function () {
          return window.silent ? new Promise(() => {}) : resume.call(this); };"""
    )
    page = rater.page
    rater.open(served.link())
    while not page.query_selector("#tone"):
        if not rater._step() and page.query_selector("#save"):
            rater.answer_task()
        page.wait_for_timeout(50)
    page.click("#tone")
    page.wait_for_function("() => document.querySelector('.hint').textContent.includes('plays no audio')")
    assert page.query_selector("[data-side]:not([hidden])") is None
    page.evaluate("window.silent = false")
    go_to_task(rater)
    page.evaluate("window.silent = true")
    page.keyboard.press("Space")
    page.wait_for_selector("#status.error")
    assert page.evaluate("Study.current.player.playing") is False
    page.evaluate("window.silent = false")
    rater.answer_task()
    assert page.query_selector("#status.error") is None
    rater.close()


def test_a_closed_tab_sends_its_answer_when_it_is_opened_again(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    link = served.link()
    rater.open(link)
    go_to_task(rater)
    rater.watch()
    rater.context.route("**/api/vote", lambda route: route.abort())
    rater.page.keyboard.press("1")
    rater.page.keyboard.press("Enter")
    rater.page.wait_for_selector("#status.waiting")
    rater.page.close()
    rater.context.unroute("**/api/vote")
    rater.page = rater.context.new_page()
    rater.page.goto(f"{served.base}/")
    rater.page.wait_for_function("() => Study.current && Study.current.task.position === 1")
    assert [vote.answer for vote in served.votes()] == [{"choice": "left"}]
    rater.close()


def test_the_keyboard_is_enough(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    page = rater.page

    def press_button(selector: str) -> None:
        for _ in range(25):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                page.keyboard.press("Enter")
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    press_button("#agree")
    page.wait_for_selector("#bars")
    for _ in range(25):
        if page.evaluate("document.activeElement.id") == "bars":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("8")
    press_button("#page button.primary")
    page.wait_for_selector("#read")
    press_button("#read")
    page.wait_for_selector("#save")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("2")  # too early: the clips were not watched
    assert page.query_selector('[aria-pressed="true"].option') is None
    rater.watch()
    page.keyboard.press("Home")
    for key in (".", ".", "ArrowRight", "ArrowLeft", "l", "l", "m"):
        page.keyboard.press(key)
    page.wait_for_selector(".marks li")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    page.wait_for_selector("#back")  # only the second task has it
    page.keyboard.press("b")
    page.wait_for_selector('.option[data-value="right"][aria-pressed="true"]')
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.option[aria-pressed=true]') === null")
    vote = served.votes()[0]
    assert (vote.answer, len(vote.revisions)) == ({"choice": "left"}, 1)
    rater.close()


def test_a_phone_in_portrait(browser, served: Served) -> None:
    rater = BrowserRater(browser, **PHONE)
    rater.open(served.link())
    widths = []
    for _ in range(3):
        widths.append(rater.page.evaluate("[document.documentElement.scrollWidth, innerWidth]"))
        rater._step()
        rater.page.wait_for_timeout(300)
    rater.page.wait_for_selector(".clip")
    tops = rater.page.evaluate(
        "[...document.querySelectorAll('.clip')].map((clip) => clip.getBoundingClientRect().top)"
    )
    assert tops[1] > tops[0] + 50  # one above the other
    widths.append(rater.page.evaluate("[document.documentElement.scrollWidth, innerWidth]"))
    assert all(content <= window for content, window in widths)
    small = rater.page.evaluate(
        "[...document.querySelectorAll('#page button')].filter((b) => b.offsetHeight < 40).length"
    )
    assert small == 0
    rater.page.tap("#play")
    rater.page.wait_for_function("() => document.querySelector('#gate').textContent === ''")
    rater.page.tap(".option >> nth=0")
    rater.page.tap("#save")
    rater.page.wait_for_selector("#back")
    assert len(served.votes()) == 1
    rater.close()


def test_a_slow_network_shows_progress_and_then_plays_linked(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    devtools = rater.context.new_cdp_session(rater.page)
    slow = {"offline": False, "latency": 200, "downloadThroughput": 20_000, "uploadThroughput": 20_000}
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", slow)
    while not rater.page.query_selector(".loading progress"):
        rater._step() or rater.page.wait_for_timeout(30)
    rater.page.wait_for_function(
        "() => { const bar = document.querySelector('.loading progress'); return bar && bar.value > 0.05; }",
    )
    rater.page.wait_for_selector("#save", timeout=120_000)
    rater.answer_task()
    assert len(served.votes()) == 1
    rater.close()


def test_two_tabs_continue_in_one(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    go_to_task(rater)
    rater.watch()
    other = rater.context.new_page()
    other.goto(served.base)
    other.wait_for_selector("#save")
    rater.page.keyboard.press("1")
    rater.page.keyboard.press("Enter")
    rater.page.wait_for_selector("#here")  # saved, and then told that another window continued
    assert len(served.votes()) == 1
    rater.page.click("#here")
    rater.page.wait_for_selector("#save")
    rater.close()


def test_the_back_button_shows_the_answer_before(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    go_to_task(rater)
    rater.answer_task()
    rater.page.wait_for_selector("#save")
    rater.page.go_back()
    rater.page.wait_for_selector('.option[data-value="equal"][aria-pressed="true"]')
    rater.page.go_forward()
    rater.page.wait_for_function(
        "() => Study.current && Study.current.task.position === 1 && !!Study.current.keys"
    )
    assert "join" not in rater.page.url
    rater.close()


def test_no_page_has_serious_findings_of_axe(browser, served: Served) -> None:
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    findings = {}

    def look(page, name: str) -> None:
        page.evaluate(axe)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        findings.update({f"{name}: {v['id']}": [node["html"][:200] for node in v["nodes"]] for v in serious})

    for scheme in ("light", "dark"):
        rater = BrowserRater(browser, viewport=DESKTOP, color_scheme=scheme)
        rater.open(served.link())
        seen = set()
        end = time.monotonic() + 180
        while time.monotonic() < end:
            names = {
                "#agree": "consent",
                "#bars": "display",
                "#tone": "audio",
                "#read": "instructions",
                "#save": "task",
            }
            here = next((name for sel, name in names.items() if rater.page.query_selector(sel)), "")
            if here and here not in seen:
                seen.add(here)
                look(rater.page, f"{scheme} {here}")
            if rater.page.query_selector("#code"):
                break
            if not rater._step() and rater.page.query_selector("#save"):
                rater.answer_task()
            rater.page.wait_for_timeout(50)
        look(rater.page, f"{scheme} end")
        assert seen == {"consent", "display", "audio", "instructions", "task"}
        organizer = rater.context.new_page()
        organizer.goto(f"{served.base}/organizer")
        look(organizer, f"{scheme} login")
        organizer.fill("input[name=password]", "secret")
        organizer.click("button.primary")
        organizer.wait_for_selector("#figures")
        look(organizer, f"{scheme} organizer")
        rater.close()
    assert findings == {}, json.dumps(findings, indent=1)


def test_ten_thousand_hostile_texts_stay_text_in_the_browser(browser, served: Served) -> None:
    rater = BrowserRater(browser, viewport=DESKTOP)
    rater.open(served.link())
    texts = [text.replace("\n", " ").replace("\r", " ") for text in fuzzed_strings(10_000)]
    different = rater.page.evaluate(
        """(texts) => {
          window.alert = () => { throw new Error("ran"); };
          const axis = (text) => ({ name: text, question: text, instructions: text, examples: [text] });
          const describe = (node) => node.tagName + node.getAttributeNames();
          const shape = () => [...document.querySelectorAll("#page *")].map(describe).join();
          Study.instructionsPage({ axis: axis("plain") }, () => {});
          const plain = shape();
          return texts.filter((text) => {
            Study.instructionsPage({ axis: axis(text) }, () => {});
            const shown = document.querySelector("#page .question").textContent;
            return shape() !== plain || shown !== text;
          });
        }""",
        texts,
    )
    assert different == []
    rater.close()
