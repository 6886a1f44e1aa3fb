import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eval.core.degradations import (
    DEGRADATIONS,
    blur,
    color_shift,
    frozen,
    noise,
    reversed_time,
    rotate_colors,
    shuffled,
)


def video(num=6, side=16):
    return np.random.default_rng(0).integers(0, 256, (num, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_all_keep_shape_and_type_and_repeat(name):
    frames = video()
    before = frames.copy()
    first, second = DEGRADATIONS[name](frames, 3), DEGRADATIONS[name](frames, 3)
    assert first.shape == frames.shape
    assert first.dtype == np.uint8
    differs = np.abs(first.astype(int) - second).mean()
    assert differs == 0 or (
        name.startswith("H.264") and differs < 2
    )  # x264 on noise this small; docs/log/2026-11.md
    assert np.array_equal(frames, before)


def test_what_they_do():
    frames = video()
    assert np.array_equal(frozen(frames, 0), frames[[0] * 6])
    assert np.array_equal(reversed_time(frames, 0)[0], frames[-1])
    assert sorted(f.tobytes() for f in shuffled(frames, 0)) == sorted(f.tobytes() for f in frames)
    assert rotate_colors(np.array([[[[228, 38, 44]]]], np.uint8), 0).tolist() == [[[[38, 44, 228]]]]
    assert blur(4)(frames, 0).std() < blur(1.5)(frames, 0).std() < frames.std()
    point = np.zeros((1, 16, 64, 3), np.uint8)
    point[0, 8, 32] = 255
    expected = gaussian_filter(point.astype(np.float32), (0, 2, 2, 0), mode="nearest")  # 4 pixels at 32
    assert np.array_equal(blur(4)(point, 0), expected.round().astype(np.uint8))
    gray = np.full((4, 32, 32, 3), 128, np.uint8)
    assert noise(10)(gray, 0).std() == pytest.approx(10, rel=0.05)
    assert not np.array_equal(noise(10)(gray, 0), noise(10)(gray, 1))
    assert np.ptp(color_shift(0.1)(gray, 0), axis=(0, 1, 2)).max() == 0
    tints = np.array([color_shift(0.1)(gray[:1], seed)[0, 0, 0] / 128 for seed in range(20)])
    assert 0.895 < tints.min() < 0.93 < 1.07 < tints.max() < 1.105
