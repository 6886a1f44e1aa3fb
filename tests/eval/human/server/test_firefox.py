"""A rater in stock Firefox: a whole small study with audio, by the keyboard."""

from pathlib import Path

import pytest

from eval.human.demo.run import serve
from tests.eval.human.server.test_browser import Served
from tests.fixtures.firefox import Firefox
from tests.fixtures.human_study import write_study

pytestmark = pytest.mark.long


def test_a_complete_study_in_firefox(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", axes=("overall", "audio"), num_prompts=1, num_slots=1, real=True)
    (tmp_path / "profile").mkdir()
    firefox = Firefox(tmp_path / "profile")
    try:
        with serve(study.folder) as base:
            served = Served(study, base)
            firefox.open(served.link())
            _consent_and_check_display(firefox)
            _read_and_answer(firefox, sides=1)
            firefox.wait_for("document.querySelector('#tone')")
            for _ in range(3):
                firefox.evaluate("document.querySelector('#tone').focus()")
                firefox.press("Enter")
                firefox.wait_for("document.querySelector('[data-side]:not([hidden])')")
                firefox.evaluate(
                    "(() => { const box = document.querySelector('[data-side]');"
                    " box.querySelector(`[data-value=${box.dataset.side}]`).focus(); })()"
                )
                firefox.press("Enter")
            _read_and_answer(firefox, sides=2)
            firefox.wait_for("document.querySelector('#code')")
            votes = served.votes()
            assert [vote.answer for vote in votes] == [{"choice": "right"}] * 2
            assert all(min(vote.evidence.watched_s) >= 0.95 for vote in votes)
            assert min(votes[1].evidence.audible_s) >= 0.95
            assert votes[0].evidence.user_agent.startswith("Firefox")
    finally:
        firefox.close()


def test_a_computer_without_audio_gets_a_message(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", axes=("audio",), num_prompts=1, num_slots=1, real=True)
    (tmp_path / "profile").mkdir()
    firefox = Firefox(tmp_path / "profile", audio=False)
    try:
        with serve(study.folder) as base:
            firefox.open(Served(study, base).link())
            _consent_and_check_display(firefox)
            firefox.wait_for("document.querySelector('#tone')")
            firefox.evaluate("document.querySelector('#tone').focus()")
            firefox.press("Enter")
            firefox.wait_for("document.querySelector('.hint').textContent.includes('plays no audio')")
            assert firefox.evaluate("document.querySelector('[data-side]') === null")
    finally:
        firefox.close()


def _consent_and_check_display(firefox: Firefox) -> None:
    firefox.wait_for("document.querySelector('#agree')")
    firefox.evaluate("document.querySelector('#agree').focus()")
    firefox.press("Enter")
    firefox.wait_for("document.querySelector('#bars')")
    firefox.evaluate("document.querySelector('#bars').focus()")
    firefox.press("8", "Tab", "Enter")


def _read_and_answer(firefox: Firefox, sides: int) -> None:
    firefox.wait_for("document.querySelector('#read')")
    firefox.evaluate("document.querySelector('#read').focus()")
    firefox.press("Enter")
    firefox.wait_for("document.querySelector('#save')")
    for side in range(sides):
        firefox.press(*(["s"] if side else []), "Space")
        firefox.wait_for("!Study.current.player.playing")
    firefox.wait_for("document.querySelector('#gate').textContent === ''")
    firefox.press("3", "Enter")
