"""The page in a real Chromium without a network: type, build, generate, upload; screenshots are kept."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from eval.human.demo.browser_rater import open_chromium
from play.app import create_app
from play.config import PlayConfig
from play.session import PlaySession
from tests.fixtures.ranks import free_port

pytestmark = pytest.mark.services
WAIT_MS = 120_000


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    settings = PlayConfig(out=str(tmp_path / "play"), device="cpu", num_predictions=8, port=free_port())
    config = uvicorn.Config(
        create_app(PlaySession(settings)), host=settings.host, port=settings.port, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://{settings.host}:{settings.port}/"
    server.should_exit = True
    thread.join(20)


def test_a_visit(address: str, tmp_path: Path) -> None:
    elsewhere: list[str] = []
    errors: list[str] = []
    with open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
                else elsewhere.append(request.url))  # fmt: skip
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=WAIT_MS)
        page.select_option("#shape", "ring")
        page.select_option("#color", "orange")
        page.select_option("#motion", "up-left")
        page.check("#bounces")
        assert page.input_value("#prompt") == (
            "Static shot. An orange ring moves up and to the left and bounces off the wall."
        )
        page.fill("#prompt", "Static shot. A red star moves right.")
        page.fill("#num_steps", "30")
        page.click("#generate")
        page.wait_for_selector(".result video", timeout=WAIT_MS)
        assert page.locator("tbody tr").count() == 3
        assert page.locator(".strip img").count() == 8
        playing = "() => { const v = document.querySelector('video'); return v.readyState > 2 && !v.error; }"
        page.wait_for_function(playing, timeout=WAIT_MS)
        assert page.input_value("#seed") == "1"
        Image.fromarray(np.full((70, 90, 3), (90, 60, 40), np.uint8)).save(tmp_path / "plain.png")
        page.set_input_files("#file", str(tmp_path / "plain.png"))
        page.wait_for_selector("#upload img", timeout=WAIT_MS)
        page.wait_for_function("() => [...document.images].every((image) => image.naturalWidth > 0)")
        page.screenshot(path=str(tmp_path / "desktop.png"), full_page=True)
        page.select_option("#num_frames", "1")
        page.fill("#prompt", "")
        page.click("#draw")
        page.wait_for_function("() => document.querySelector('#prompt').value.startsWith('Static shot.')")
        page.evaluate("document.querySelector('#num_steps').value = 999")
        page.evaluate("document.querySelector('#form').noValidate = true")
        page.click("#generate")
        page.wait_for_selector("#status.error", timeout=WAIT_MS)
        assert "num_emulated_steps must be at least num_steps=999" in page.inner_text("#status")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=str(tmp_path / "phone.png"), full_page=True)
    assert not elsewhere
    assert not errors
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in ("desktop", "phone"))
