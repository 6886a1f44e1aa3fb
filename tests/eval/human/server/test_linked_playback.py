"""Distance of two linked clips in time, by requestVideoFrameCallback, over a minute on a slow CPU."""

import time
from pathlib import Path

import pytest

from eval.human.demo.browser_rater import BrowserRater, open_chromium
from eval.human.demo.run import serve
from tests.eval.human.server.test_browser import Served, go_to_task
from tests.fixtures.human_study import FPS, write_study

pytestmark = pytest.mark.long
RECORD = """() => {
  window.offsets = [];
  const videos = [...document.querySelectorAll(".clip video")];
  const last = [null, null];
  videos.forEach((video, side) => {
    const onframe = (now, frame) => {
      last[side] = { now, line: frame.mediaTime - frame.expectedDisplayTime / 1000 };
      const other = last[1 - side];
      const playing = videos.every((each) => !each.paused && !each.seeking);
      if (playing && other && now - other.now < 100) {
        window.offsets.push(Math.abs(last[0].line - last[1].line));
      }
      video.requestVideoFrameCallback(onframe);
    };
    video.requestVideoFrameCallback(onframe);
  });
}"""


@pytest.mark.parametrize("axis", ["overall", "audio"])
def test_two_clips_stay_within_one_frame(axis: str, tmp_path: Path) -> None:
    """60 s with three seeks, a loop and a processor that is four times slower."""
    study = write_study(tmp_path / "study", axes=(axis,), num_prompts=1, num_slots=1, real=True, seconds=24.0)
    with serve(study.folder) as base, open_chromium() as browser:
        rater = BrowserRater(browser, viewport={"width": 640, "height": 600})
        rater.open(Served(study, base).link())
        go_to_task(rater)
        devtools = rater.context.new_cdp_session(rater.page)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        rater.page.evaluate(RECORD)
        rater.page.keyboard.press("l")
        rater.page.keyboard.press("Space")
        end = time.monotonic() + 60
        for position in (14.3, 2.0, 20.0):  # the last one runs into the loop
            time.sleep(13)
            rater.page.evaluate("position => { Study.current.player.seek(position); }", position)
        time.sleep(max(0.0, end - time.monotonic()))
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        offsets = sorted(rater.page.evaluate("window.offsets"))
        assert rater.page.evaluate("Study.current.player.numSeeks") == 3
        assert len(offsets) > 300
        worst = offsets[int(0.95 * len(offsets))]
        print(f"{axis}: 95 % of {len(offsets)} frames below {1000 * worst:.1f} ms of {1000 / FPS:.1f}")
        assert worst < 1 / FPS
