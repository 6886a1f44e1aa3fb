"""A simulated rater who works through the real pages in Chromium. The tests and `make study-demo` use it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from src.core.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ElementHandle, Page

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""From the page's task (without systems) to an answer in positions of the screen."""

ARGUMENTS = ("--autoplay-policy=document-user-activation-required", "--disable-gpu")
TASK_TIMEOUT_MS = 60_000
GATE_TIMEOUT_MS = 3_000
MAX_PLAYS = 5


@contextmanager
def open_chromium() -> "Iterator[Browser]":
    """Start Debian's Chromium without a window.

    Raises:
        UserError: it, or the package that steers it, is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright  # not part of requirements/human.lock
    except ModuleNotFoundError:
        raise UserError("playwright: not installed; `make install` has it, install-human has not") from None
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise UserError("chromium: not found; install it with `apt-get install chromium`")
    arguments = list(ARGUMENTS) + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def equal_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Return the answer in the middle."""
    count = len(task["stimuli"])
    answers: dict[str, dict[str, Any]] = {
        "choice": {"choice": "equal"},
        "rating": {"rating": 3},
        "mushra": {"ratings": [50] * count},
        "ranking": {"ranking": list(range(count))},
    }
    return answers[task["axis"]["answer"]]


SHOWN = """() => {
  const has = (selector) => document.querySelector(selector) !== null;
  if (has("#save")) return "task";
  if (has("#agree, #bars, #tone, #read")) return "button";
  return has("#page[data-page] h2") && !has(".loading") && !has(".heading") ? "end" : "";
}"""


class BrowserRater:
    """One browser with the cookies of one rater; `page` is Playwright's."""

    def __init__(self, browser: "Browser", *, answer: Answer = equal_answer, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(TASK_TIMEOUT_MS)
        self.page: Page = self.context.new_page()
        self.answer = answer
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note_console)

    def _note_console(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.errors.append(message.text)

    @property
    def task(self) -> dict[str, Any]:
        """Task that the page shows now, as the page has it: without systems."""
        task: dict[str, Any] = self.page.evaluate("Study.current.task")
        return task

    def open(self, link: str) -> None:
        """Open a personal link."""
        self.page.goto(link)
        self.wait_for_page()

    def page_name(self) -> str:
        """Return the name of the shown page."""
        return self.page.get_attribute("#page", "data-page") or ""

    def wait_for_page(self) -> str:
        """Wait until a page is shown, and return its name."""
        self.page.wait_for_selector("#page[data-page]")
        return self.page_name()

    def work(self, max_tasks: int = 1000) -> int:
        """Do what each page asks for until the end or `max_tasks` answers; return the number of answers."""
        num_answers = 0
        while num_answers < max_tasks:
            shown = self.page.wait_for_function(SHOWN).json_value()
            if shown == "end":
                break
            if shown == "task":
                self.answer_task()
                num_answers += 1
            else:
                self._step()
        return num_answers

    def _step(self) -> bool:
        """Press the button of a page that is no task; return whether there was one."""
        page = self.page
        if page.query_selector("#agree"):
            self._press("#agree")
        elif page.query_selector("#bars"):
            page.select_option("#bars", "8")
            self._press("#page button.primary")
        elif page.query_selector("#tone"):
            self._check_audio()
        elif page.query_selector("#read"):
            self._press("#read")
        else:
            return False
        return True

    def _press(self, selector: str) -> None:
        """Click, and wait until the page is another one."""
        old = self.page.query_selector(selector)
        assert old is not None
        old.click()
        self.wait_until_gone(old)

    def _check_audio(self) -> None:
        for _ in range(3):
            self.page.click("#tone")
            self.page.wait_for_selector("[data-side]:not([hidden])")
            side = self.page.get_attribute("[data-side]", "data-side")
            self.page.click(f'[data-side] [data-value="{side}"]')
        self.page.wait_for_selector("#tone", state="detached")

    def watch(self) -> None:
        """Play the clips of a task until the answer is open, hearing each side where there is audio.

        A busy browser skips parts of a clip; like a person, the rater then plays it again.
        """
        from playwright.sync_api import TimeoutError

        page = self.page
        page.wait_for_selector("#gate")
        sides = max(1, len(page.query_selector_all(".hear")))
        opened = "() => document.querySelector('#gate').textContent === ''"
        for number in range(MAX_PLAYS * sides):
            if number and sides > 1:
                page.keyboard.press("s")
            page.keyboard.press("Space")
            page.wait_for_function("() => !Study.current.player || !Study.current.player.playing")
            if number + 1 < sides:
                continue
            try:  # images open the answer after a time, clips right after they were played
                page.wait_for_function(opened, timeout=GATE_TIMEOUT_MS)
                return
            except TimeoutError:
                continue
        raise AssertionError(f"the answer stays closed: {page.inner_text('#gate')}")

    def save(self) -> None:
        """Press Enter, and wait until the answer is saved and the task has left the page."""
        button = self.page.query_selector("#save")
        assert button is not None
        self.page.keyboard.press("Enter")
        self.wait_until_gone(button)

    def wait_until_gone(self, node: "ElementHandle") -> None:
        """Wait until a node of the page was replaced."""
        self.page.wait_for_function("node => !node.isConnected", arg=node)

    def answer_task(self) -> None:
        """Watch, give the answer, save, and wait for the next page."""
        self.page.wait_for_selector("#save")
        self.watch()
        self.give(self.answer(self.task))
        self.save()
        if self.page.query_selector("#next"):
            self._press("#next")

    def give(self, answer: dict[str, Any]) -> None:
        """Enter an answer by the keyboard."""
        page = self.page
        if "choice" in answer:
            page.keyboard.press(str(["left", "equal", "right"].index(answer["choice"]) + 1))
        elif "rating" in answer:
            page.keyboard.press(str(answer["rating"]))
        elif "ratings" in answer:
            for number, value in enumerate(answer["ratings"], 1):
                page.keyboard.press(str(number))
                page.keyboard.press("Home")
                page.keyboard.press("ArrowRight")
                page.evaluate(
                    "value => { const slider = document.activeElement; slider.value = value;"
                    " slider.dispatchEvent(new Event('input')); }",
                    value,
                )
            page.evaluate("document.activeElement.blur()")
        else:
            self._rank(answer["ranking"])

    def _rank(self, ranking: list[int]) -> None:
        for target, clip in enumerate(ranking):
            rows = self.page.query_selector_all(".ranking li")
            now = [int(row.get_attribute("data-clip") or 0) for row in rows].index(clip)
            for _ in range(max(now - target, 1 if target == 0 else 0)):
                self.page.click(f'.ranking [data-clip="{clip}"] button:nth-of-type(1)')
        self.page.evaluate("document.activeElement.blur()")

    def close(self) -> None:
        """Close the browser's window."""
        self.context.close()
