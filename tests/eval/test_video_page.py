"""The page that plays generated videos, on disk and in a browser."""

from pathlib import Path

import numpy as np
import pytest

from eval import video_page
from eval.core.audio import Audio
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from src.core import cli


def write_samples(folder: Path) -> Path:
    """Two videos of a second with tones, whose names and prompts need escaping."""
    (folder / "videos").mkdir(parents=True)
    samples = []
    for k, name in enumerate(("a", "b #1")):
        time = np.arange(48_000) / 48_000
        tone = (0.3 * np.sin(2 * np.pi * 300 * (k + 1) * time)).astype(np.float32)[None]
        frames = np.full((16, 32, 32, 3), 60 * k, np.uint8)
        write_video(folder / "videos" / f"{name}.mp4", frames, 16, audio=Audio(tone, 48_000))
        stated = {"loudness_lufs": -13.0, "peak_db": -10.5, "channels": 1}
        prompt = f'a <star> "{k}"'
        samples.append(Sample(id=name, prompt=prompt, video=f"videos/{name}.mp4", generation=stated))
    write_manifest(folder / "manifest.jsonl", samples)
    return folder / "manifest.jsonl"


def test_the_page_links_to_every_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_samples(tmp_path / "run/samples")
    page = tmp_path / "run/index.html"
    video_page.main([f"manifest={manifest}", f"out={page}"])
    text = page.read_text()
    assert 'src="samples/videos/a.mp4"' in text
    assert 'src="samples/videos/b%20%231.mp4"' in text
    assert "a &lt;star&gt; &quot;0&quot;" in text
    assert "-13.0 LUFS, peak -10.5 dB, mono" in text
    write_manifest(tmp_path / "none.jsonl", [Sample(id="x", prompt="y")])
    assert cli.run(video_page.main, [f"manifest={tmp_path / 'none.jsonl'}", f"out={page}"]) == 2
    assert "none.jsonl: no videos" in capsys.readouterr().err


@pytest.mark.services
def test_the_videos_of_the_page_are_heard_in_a_browser(tmp_path: Path) -> None:
    """Chromium decodes audio and plays each video to its end; nothing is silent or clipped."""
    from eval.human.demo.browser_rater import open_chromium

    manifest = write_samples(tmp_path / "run/samples")
    video_page.main([f"manifest={manifest}", f"out={tmp_path / 'run/index.html'}"])
    with open_chromium() as browser:
        page = browser.new_page()
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        page.goto((tmp_path / "run/index.html").as_uri())
        assert page.locator("video").count() == 2
        page.locator("h1").click()
        found = page.evaluate(
            """async () => Promise.all([...document.querySelectorAll('video')].map(async v => {
              v.loop = false;
              const ended = new Promise(resolve => v.addEventListener('ended', resolve));
              await v.play(); await ended;
              return {error: v.error, time: v.currentTime, bytes: v.webkitAudioDecodedByteCount};
            }))"""
        )
        assert not failed
        for each in found:
            assert each["error"] is None
            assert each["time"] == pytest.approx(1.0, abs=0.1)
            assert each["bytes"] > 1000
