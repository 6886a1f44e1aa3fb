"""Screenshots of every page: `python -m eval.human.demo.screenshots [out=docs/images/human]`.

Plans a small study of drawn clips with every kind of answer, serves it, and takes light, dark and phone
screenshots while one rater each works through the pages; then the organizer's page, messages and the report.
"""

import csv
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from eval.human.config import ExclusionConfig, PlatformConfig, StudyConfig
from eval.human.demo.browser_rater import BrowserRater, open_chromium
from eval.human.demo.clips import write_clips
from eval.human.demo.run import serve, simulated_answers
from eval.human.plan import plan_study
from eval.human.report import ReportConfig, write_report
from eval.human.server.export import export_votes
from eval.human.server.links import main as write_links
from eval.human.study import Study
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PASSWORD = "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1000, "height": 760}, "locale": "en-US"},
    "dark": {"viewport": {"width": 1000, "height": 760}, "color_scheme": "dark", "locale": "de-DE"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "locale": "zh-CN",
    },
}
AXES = ("text_subject", "audio_overall", "visual_rating", "audio_mushra", "visual_ranking")
PAGES = {"#agree": "consent", "#bars": "display", "#tone": "audio", "#read": "instructions", "#code": "end"}
MESSAGES = ("paused", "closed", "full", "expired", "returned", "superseded")
QUALITY = 80  # of WebP


@dataclass(frozen=True, kw_only=True)
class ScreenshotsConfig(Config):
    """Folder of the screenshots."""

    out: str = opt("docs/images/human", "folder of the screenshots")


def main(argv: list[str]) -> None:
    """Parse the command line and take the screenshots."""
    config = from_command_line(ScreenshotsConfig, argv, __doc__)
    if config is None:
        return
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        study = _plan(Path(folder))
        with serve(study.folder, f"password={PASSWORD}") as base, open_chromium() as browser:
            for (look, options), row in zip(LOOKS.items(), _links(study, base), strict=True):
                _work(browser, study, row, out, look, options)
                _organizer(browser, base, out, look, options)
        export_votes(study.folder)
        page = write_report(ReportConfig(study=str(study.folder)))
        with open_chromium() as browser:
            for look, options in LOOKS.items():
                window = browser.new_context(**options).new_page()
                window.goto(page.resolve().as_uri())
                _save(window, out / f"report_{look}", full_page=False)
    print(f"{len(list(out.glob('*.webp')))} screenshots in {out}")


def _plan(folder: Path) -> Study:
    return plan_study(
        StudyConfig(
            name="screenshots",
            title="Which video is better?",
            contact="study@example.org",
            out=str(folder / "study"),
            manifests=write_clips(folder / "clips", num_prompts=2, seconds=1.0),
            axes=AXES,
            raters=dict.fromkeys(AXES, len(LOOKS)),
            tasks_per_slot=0,
            axes_per_slot=len(AXES),
            platform=PlatformConfig(completion_code="C0DE2026"),
            exclusion=ExclusionConfig(min_median_time_s=0.2),
        )
    )


def _links(study: Study, base: str) -> list[dict[str, str]]:
    path = study.folder / "links.csv"
    write_links([f"study={study.folder}", f"number={len(LOOKS)}", f"out={path}", f"public_url={base}"])
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _work(
    browser: "Browser", study: Study, row: dict[str, str], out: Path, look: str, options: dict[str, Any]
) -> None:
    """Work through a session and take a screenshot of each page when it comes first."""
    rater = BrowserRater(browser, answer=simulated_answers(study, row["slot"], 0), **options)
    page, taken = rater.page, set[str]()

    def take(name: str) -> None:
        if name not in taken:
            taken.add(name)
            page.wait_for_timeout(400)
            _save(page, out / f"{name}_{look}")

    rater.open(row["link"])
    while "end" not in taken:
        page.wait_for_selector(", ".join([*PAGES, "#save"]))
        name = next((name for selector, name in PAGES.items() if page.query_selector(selector)), "")
        if name:
            take(name)
            if name != "end":
                rater._step()
        else:
            _answer(rater, take)
    for message in MESSAGES:
        page.evaluate("name => window.Study.messagePage(name)", message)
        take(message)
    rater.close()


def _answer(rater: BrowserRater, take: Callable[[str], None]) -> None:
    """Answer one task; screenshots are taken with the answer and with the feedback of practice."""
    axis = rater.task["axis"]
    name = "task_" + ("audible" if axis["audible"] and axis["answer"] == "choice" else axis["answer"])
    rater.watch()
    rater.give(rater.answer(rater.task))
    take(name)
    rater.save()
    if rater.page.query_selector("#next"):
        take("feedback")
        rater._press("#next")


def _organizer(browser: "Browser", base: str, out: Path, look: str, options: dict[str, Any]) -> None:
    page = browser.new_context(**options).new_page()
    page.goto(f"{base}/privacy")
    _save(page, out / f"privacy_{look}")
    page.goto(f"{base}/organizer")
    _save(page, out / f"login_{look}")
    page.fill("input[name=password]", PASSWORD)
    page.click("button.primary")
    page.wait_for_selector("#figures")
    _save(page, out / f"organizer_{look}")
    page.context.close()


def _save(page: "Page", stem: Path, *, full_page: bool = True) -> None:
    """Write a screenshot as a small WebP."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
    image.save(stem.with_suffix(".webp"), quality=QUALITY, method=6)


if __name__ == "__main__":
    sys.exit(run_command(main))
