"""Plan, serve, fill and report a small study: `python -m eval.human demo [key=value ...]`.

Simulated raters work through the real pages in Chromium (Debian: `apt-get install chromium`), several at
once, and hear and watch every clip to its end. Two systems are made from the committed weights, one model
with 25 and with 4 steps: silent videos and images. `weights=` draws clips with audio instead; `a=` and `b=`
compare two folders of videos.
"""

import csv
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.human.axes import select_axes
from eval.human.config import ExclusionConfig, StudyConfig
from eval.human.demo.browser_rater import Answer, BrowserRater, open_chromium
from eval.human.demo.clips import write_clips
from eval.human.demo.generated import generate_clips
from eval.human.plan import plan_study
from eval.human.server.export import export_votes
from eval.human.server.links import main as write_links
from eval.human.simulate import RaterPopulation, SimulatedRater, spread_strengths
from eval.human.study import Study
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

START_SECONDS = 60
VISUAL_AXES = ("video", "image", "visual_rating", "visual_ranking")
DRAWN_AXES = ("visual_overall", "motion_naturalness", "text_subject", "audio_overall", "av_synchronization")


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """Systems that the demonstration compares, and the number of raters."""

    out: str = opt("runs/study_demo", "folder of everything that is written")
    weights: str = opt(
        "weights/small/video.safetensors",
        "video model whose videos and images are compared; empty draws clips with audio",
    )
    a: str = opt("", "folder of clips of one system; with prompts in .txt files of the same names")
    b: str = opt("", "folder of clips of another system, with the same names")
    axes: tuple[str, ...] = opt((), "axes that are rated; empty: all that suit what is compared")
    num_prompts: int = opt(5, "prompts that are compared", ge=1)
    num_raters: int = opt(1, "raters of each comparison", ge=1)
    num_browsers: int = opt(3, "browsers at once", ge=1)
    show: bool = opt(False, "open the report in this machine's browser")
    seed: int = opt(0, "seed of the plan and of the raters")


def main(argv: list[str]) -> None:
    """Parse the command line and run the demonstration."""
    config = from_command_line(DemoConfig, argv, __doc__)
    if config is None:
        return
    try:
        _run(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def _run(config: DemoConfig) -> None:
    begin = time.monotonic()
    study = _plan(config)
    plan, passed = study.plan, time.monotonic() - begin
    print(f"planned after {passed:.0f} s: {plan.num_tasks} answers in {plan.num_slots} sessions", flush=True)
    with serve(study.folder) as base:
        num_answers = fill(study, base, num_browsers=config.num_browsers, seed=config.seed)
    if num_answers < plan.num_tasks:
        raise UserError(f"demo: {num_answers} of {plan.num_tasks} tasks were answered")
    print(f"{num_answers} answers through the pages", flush=True)
    export_votes(study.folder)
    page = _report(study)
    _open_report(page, Path(config.out))
    if config.show:
        webbrowser.open(page.resolve().as_uri())
    print(f"report: {page}, screenshots: {config.out}/*.png ({time.monotonic() - begin:.0f} s)")


def _plan(config: DemoConfig) -> Study:
    if bool(config.a) != bool(config.b):
        raise UserError("a and b: name both folders, or neither")
    out = Path(config.out)
    if (out / "study" / "study.db").exists():
        raise UserError(f"out: {out} has a study with votes; remove it or name another folder")
    axes = config.axes
    if config.a:
        systems = {"a": config.a, "b": config.b}
        axes = axes or ("video",)
    elif config.weights:
        print(f"{config.weights} has no audio: axes of audio are left out (weights= draws clips with it)")
        weights = Path(config.weights)
        systems = generate_clips(out / "clips", weights, num_prompts=config.num_prompts, seed=config.seed)
        axes = axes or VISUAL_AXES
    else:
        systems = write_clips(out / "clips", num_prompts=config.num_prompts, seed=config.seed)
        axes = axes or DRAWN_AXES
    return plan_study(
        StudyConfig(
            name="demo",
            title="Demonstration",
            out=str(out / "study"),
            manifests=systems,
            axes=axes,
            raters={axis.id: config.num_raters for axis in select_axes(axes)},
            num_prompts=config.num_prompts,
            tasks_per_slot=20,
            axes_per_slot=2,
            seed=config.seed,
            exclusion=ExclusionConfig(min_median_time_s=0.2),  # these raters answer once the clips are over
        )
    )


@contextmanager
def serve(folder: Path, *settings: str) -> Iterator[str]:
    """Serve a study in another process until the block ends; yield its address.

    Raises:
        UserError: the server did not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "eval.human", "serve", str(folder), f"port={port}", *settings]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(base, server)
        yield base
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def wait_for_server(base: str, server: "subprocess.Popen[Any]") -> None:
    """Return as soon as a server answers.

    Raises:
        UserError: it ended, or took too long.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{base}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise UserError(f"serve: no answer at {base}")


def fill(study: Study, base: str, *, num_browsers: int, seed: int) -> int:
    """Answer all sessions through the pages; return the number of answers."""
    path = study.folder / "links.csv"
    path.unlink(missing_ok=True)
    write_links([f"study={study.folder}", f"number={len(study.slots)}", f"out={path}", f"public_url={base}"])
    with path.open(encoding="utf-8", newline="") as file:
        links = list(csv.DictReader(file))
    parts = [links[number::num_browsers] for number in range(num_browsers)]
    with ThreadPoolExecutor(num_browsers) as pool:
        return sum(pool.map(lambda part: _rate(study, part, seed), [part for part in parts if part]))


def _rate(study: Study, links: list[dict[str, str]], seed: int) -> int:
    """Work through some sessions, one after the other, in one browser."""
    number = 0
    with open_chromium() as browser:
        for link in links:
            answer = simulated_answers(study, link["slot"], seed)
            rater = BrowserRater(browser, answer=answer, viewport={"width": 960, "height": 720})
            rater.open(link["link"])
            number += rater.work()
            rater.close()
    return number


def simulated_answers(study: Study, slot: str, seed: int) -> Answer:
    """Return a function from the page's task to the answer of an attentive rater with known preferences.

    Items with an expected answer get it, so that every session passes its practice.
    """
    rater = SimulatedRater(slot, RaterPopulation(careless_fraction=0.0), seed)
    strengths = {name: 2 * value for name, value in spread_strengths(study.plan.systems).items()}

    def answer(shown: dict[str, Any]) -> dict[str, Any]:
        task = study.slots[slot].tasks[shown["position"]]
        item, axis = study.items[task.item], study.axes[task.axis]
        if item.expected is not None:
            return expected_answer(item.expected, task.order, axis.answer)
        return rater.answer(item, axis, task, strengths)

    return answer


def expected_answer(expected: tuple[int, ...], order: tuple[int, ...], kind: str) -> dict[str, Any]:
    """Return the answer in positions of the screen; `expected`: clips, best first; none for a tie."""
    if kind == "rating":  # of the degraded clip alone
        return {"rating": 1}
    best_first = [order.index(clip) for clip in expected]
    if kind == "choice":
        return {"choice": ("left", "right")[best_first[0]] if best_first else "equal"}
    if kind == "mushra":
        ratings = [50.0] * len(order)
        for place, position in enumerate(best_first):
            ratings[position] = 90.0 - 10.0 * place
        return {"ratings": ratings}
    return {"ranking": best_first + [each for each in range(len(order)) if each not in best_first]}


def _open_report(page: Path, folder: Path) -> None:
    """Open the report in Chromium and keep screenshots of its tables and of its clips."""
    with open_chromium() as browser:
        window = browser.new_page(viewport={"width": 1100, "height": 900})
        window.goto(page.resolve().as_uri())
        window.screenshot(path=folder / "report.png")
        window.evaluate("document.getElementById('items').scrollIntoView()")
        window.wait_for_timeout(1000)  # for the first frames of the videos
        window.screenshot(path=folder / "report_clips.png")


def _report(study: Study) -> Path:
    from eval.human.report import ReportConfig, write_report

    return write_report(ReportConfig(study=str(study.folder)))
