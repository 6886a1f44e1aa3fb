"""One clock for tics, frames and samples."""

import numpy as np
import soxr

from data.vizdoom.timing import GAME_RATE, RATE, SAMPLES_PER_TIC, count_tics, frame_tics, resample_clip

FIRST = 14


def recording(num_tics: int) -> np.ndarray:
    """Return a tone that grows, int16 [S, 2]; the right channel is half as loud."""
    time_s = np.arange(num_tics * SAMPLES_PER_TIC) / GAME_RATE
    tone_S = np.sin(2 * np.pi * 440 * time_s) * 20_000 * time_s / time_s[-1]
    return np.stack([tone_S, tone_S / 2], axis=1).astype(np.int16)


def test_frames_are_those_on_the_screen() -> None:
    assert count_tics(3.0) == 105
    assert count_tics(0.1) == 4
    assert frame_tics(4, 16.0).tolist() == [0, 2, 4, 6]  # 0, 2.19, 4.38, 6.56
    assert frame_tics(35, 35.0).tolist() == list(range(35))
    assert frame_tics(48, 16.0)[-1] == 102


def test_a_clip_is_cut_from_its_resampled_recording() -> None:
    samples_SC = recording(60)
    clip_CS = resample_clip(samples_SC, FIRST, 48_000, 2)
    start = FIRST * SAMPLES_PER_TIC / GAME_RATE * RATE
    assert start == round(start)
    time_s = (np.arange(48_000) + start) / RATE
    expected_S = np.sin(2 * np.pi * 440 * time_s) * 20_000 / 32768 * time_s / (60 / 35)
    assert np.abs(clip_CS[0] - expected_S).max() < 2e-3
    assert np.abs(clip_CS[1] - expected_S / 2).max() < 2e-3
    assert np.abs(resample_clip(samples_SC, FIRST, 48_000, 1)[0] - 0.75 * expected_S).max() < 2e-3


def test_resampling_each_tic_by_itself_would_click() -> None:
    samples_SC = recording(60)
    pieces = [
        soxr.resample(samples_SC[i : i + SAMPLES_PER_TIC, 0] / 32768.0, GAME_RATE, RATE)
        for i in range(0, len(samples_SC), SAMPLES_PER_TIC)
    ]
    clip_CS = resample_clip(samples_SC, 0, 60 * 48_000 // 35, 2)
    by_tic_S = np.concatenate(pieces)[: clip_CS.shape[1]]
    assert np.abs(by_tic_S - clip_CS[0, : len(by_tic_S)]).max() > 0.02
