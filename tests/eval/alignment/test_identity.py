"""Identity against a reference image, with an embedder whose rows are the frames' mean colors."""

import numpy as np
import pytest
from PIL import Image

from eval.alignment.identity import Identity
from eval.core.frame_consistency import frame_consistency
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import frames_of, run_task
from eval.core.manifest import Sample
from eval.core.results import Item

RED, GREEN, BLACK = (200, 0, 0), (0, 200, 0), (0, 0, 0)


class Colors:
    """Unit rows of the mean color; black frames show no one."""

    def describe(self):
        return {"backbone": "colors"}

    def embed(self, frames_THWC):
        means = frames_THWC.reshape(len(frames_THWC), -1, 3).mean(1)
        return (
            np.stack([m / np.linalg.norm(m) for m in means if m.any()]) if means.any() else np.zeros((0, 3))
        )


def measure(folder, *colors, num_frames=0, reference=RED):
    Image.fromarray(np.full((8, 8, 3), reference, np.uint8)).save(folder / "who.png")
    video = np.stack([np.full((8, 8, 3), color, np.uint8) for color in colors])
    item = Item(Sample(id="a", prompt="", video="a.mp4", reference="who.png"), folder)
    metric = Identity("colors", Colors(), num_frames)
    task = metric.observe(item, StreamInfo(len(video), 8.0, 8, 8))
    found = run_task(task, frames_of(video, 8.0)).values
    return {name.removeprefix("identity_colors_"): value for name, value in found.items()}


def test_best_worst_and_mean_frame(tmp_path):
    found = measure(tmp_path, RED, GREEN, BLACK, RED)
    assert found["found"] == 0.75
    assert (found["best"], found["worst"]) == (1, 0)
    assert found["mean"] == pytest.approx(2 / 3)
    assert found["consistency"] == pytest.approx(0.25)  # green: 0 and 0; red again: 0 before, 1 at first
    assert measure(tmp_path, RED, RED)["consistency"] == 1
    assert set(measure(tmp_path, RED)) == {"found", "best", "worst", "mean"}
    assert measure(tmp_path, BLACK, BLACK) == {"found": 0}
    with pytest.raises(ValueError, match="no face found in the reference image"):
        measure(tmp_path, RED, reference=BLACK)


def test_evenly_spaced_frames_and_long_videos(tmp_path):
    assert measure(tmp_path, RED, GREEN, RED, num_frames=2)["mean"] == 1
    assert measure(tmp_path, *[RED] * 40, *[GREEN] * 40)["mean"] == 0.5  # batches


def test_consistency_is_vbenchs():
    rows = np.array([[1.0, 0], [0.6, 0.8], [1, 0], [0, 2]])
    assert frame_consistency(rows) == pytest.approx(np.mean([0.6, (0.6 + 1) / 2, (0 + 0) / 2]))
