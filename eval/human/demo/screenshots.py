"""Screenshots of every page of a study: `python -m eval.human.demo.screenshots STUDY out=docs/images/human`.

Serves the study, and takes light, dark and phone screenshots while one rater each works through the pages.
The study needs three free sessions and, to have all pages, a visual and an audible axis.
"""

import csv
import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from eval.human.demo.browser_rater import BrowserRater, open_chromium
from eval.human.demo.run import serve, simulated_answers
from eval.human.server.links import main as write_links
from eval.human.study import load_study
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt

PASSWORD = "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1000, "height": 760}},
    "dark": {"viewport": {"width": 1000, "height": 760}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "locale": "zh-CN",
    },
}
PAGES = {"#agree": "consent", "#bars": "display", "#tone": "audio", "#read": "instructions", "#code": "end"}


@dataclass(frozen=True, kw_only=True)
class ScreenshotsConfig(Config):
    """Study, and folder of the screenshots."""

    study: str = opt("", "folder of a study")
    out: str = opt("docs/images/human", "folder of the screenshots")


def main(argv: list[str]) -> None:
    """Parse the command line and take the screenshots."""
    config = from_command_line(ScreenshotsConfig, argv, __doc__)
    if config is None:
        return
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    study = load_study(config.study)
    with serve(study.folder, f"password={PASSWORD}") as base, tempfile.TemporaryDirectory() as folder:
        links = Path(folder) / "links.csv"
        write_links([f"study={study.folder}", "number=3", f"out={links}", f"public_url={base}"])
        rows = list(csv.DictReader(io.StringIO(links.read_text(encoding="utf-8"))))
        with open_chromium() as browser:
            for (look, options), row in zip(LOOKS.items(), rows, strict=True):
                answer = simulated_answers(study, row["slot"], 0)
                rater = BrowserRater(browser, answer=answer, **options)
                rater.open(row["link"])
                _work(rater, out, look)
                if look != "phone":
                    _organizer(rater.context.new_page(), base, out, look)
                rater.close()
    print(f"{len(list(out.glob('*.png')))} screenshots in {out}")


def _work(rater: BrowserRater, out: Path, look: str) -> None:
    """Work through a session and take a screenshot of each page when it comes first."""
    taken: set[str] = set()
    page = rater.page
    while "end" not in taken:
        page.wait_for_selector(", ".join([*PAGES, "#save", "h2"]))
        name = next((name for selector, name in PAGES.items() if page.query_selector(selector)), "")
        if not name and page.query_selector("#save"):
            name = "task_audio" if page.query_selector(".hear") else "task"
            name += "_practice" if page.query_selector(".badge") else ""
        if not name and not page.query_selector(".loading"):
            name = "end"
        if name and name not in taken:
            taken.add(name)
            page.wait_for_timeout(400)
            page.screenshot(path=out / f"{name}_{look}.png", full_page=True)
        if name != "end" and not rater._step() and page.query_selector("#save"):
            rater.answer_task()


def _organizer(page: Page, base: str, out: Path, look: str) -> None:
    page.goto(f"{base}/privacy")
    page.screenshot(path=out / f"privacy_{look}.png")
    page.goto(f"{base}/organizer")
    page.screenshot(path=out / f"login_{look}.png")
    page.fill("input[name=password]", PASSWORD)
    page.click("button.primary")
    page.wait_for_selector("#figures")
    page.screenshot(path=out / f"organizer_{look}.png", full_page=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
