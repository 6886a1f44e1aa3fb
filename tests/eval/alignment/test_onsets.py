import numpy as np
import pytest

from data.bounce.audio import render_audio as render
from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.alignment.onsets import (
    BounceOnsets,
    ReferenceOnsets,
    detect_onsets,
    estimate_offset,
    match_onsets,
    merge_close_times,
)
from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample
from eval.core.results import Item

RATE = 48_000


def clicks(times, seconds=2.0):
    samples = np.random.default_rng(0).normal(0, 0.001, round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        n = np.arange(min(4000, len(samples) - start))
        samples[start : start + len(n)] += 0.4 * np.sin(2 * np.pi * 700 * n / RATE) * np.exp(-n / 900)
    return Audio(samples[None].astype(np.float32), RATE)


def test_onsets_are_found_where_they_are():
    times = [0.0, 0.31, 0.5, 1.02, 1.7]
    found = detect_onsets(clicks(times))
    assert len(found) == 5
    np.testing.assert_allclose(found, times, atol=0.012)
    assert len(detect_onsets(Audio(np.zeros((1, RATE), np.float32), RATE))) == 0


def test_pairs_are_one_to_one():
    assert match_onsets(np.array([0.1, 0.13]), np.array([0.12])) == [(0, 0)]
    assert match_onsets(np.array([0.1, 0.5]), np.array([0.5, 0.9])) == [(1, 0)]
    assert match_onsets(np.array([]), np.array([0.5])) == []
    assert merge_close_times(np.array([0.1, 0.12, 0.2])).tolist() == [0.1, 0.2]


def test_the_shift_is_found_beyond_the_tolerance():
    expected = np.array([0.2, 0.5, 1.1, 1.3])
    for late in (-0.36, -0.04, 0.0, 0.2, 0.48):
        assert estimate_offset(expected + late, expected) == pytest.approx(late)
    assert estimate_offset(np.array([0.7, 0.9]), np.array([0.5, 3.0])) == pytest.approx(
        0.2
    )  # of equals the nearest
    assert estimate_offset(np.array([0.0]), np.array([1.5])) is None
    assert estimate_offset(np.array([]), expected) is None


def test_bounce_videos_and_their_own_audio(tmp_path):
    world = WorldConfig(max_objects=1, holdout="include", split="all")
    scores, late, silent = [], [], []
    for seed in range(40):
        clip = make_video(seed, world, num_frames=32, height=16, width=16, fps=16)
        if not clip.facts.impacts:
            continue
        samples = render(clip.facts)
        shifted = np.concatenate([np.zeros((1, 9600), np.float32), samples], 1)[:, : samples.shape[1]]
        for name, wave in (("a", samples), ("b", shifted), ("c", 0 * samples)):
            write_audio(tmp_path / f"{name}.wav", wave, RATE)
        values = [
            BounceOnsets().measure(
                Item(Sample(id="", prompt="", audio=f"{n}.wav", facts=clip.facts.to_dict()), tmp_path)
            )
            for n in "abc"
        ]
        scores.append(values[0].values["onset_f1"])
        late.append(values[1].values["onset_f1"])
        silent.append(values[2].values["onset_f1"])
    assert np.mean(scores) > 0.8
    assert np.mean(late) < 0.35
    assert max(silent) == 0


def test_against_a_reference(tmp_path):
    write_audio(tmp_path / "a.wav", clicks([0.3, 1.0]).samples_CS, RATE)
    write_audio(tmp_path / "b.wav", clicks([0.32, 1.5]).samples_CS, RATE)
    item = Item(Sample(id="", prompt="", audio="b.wav", reference="a.wav"), tmp_path)
    found = ReferenceOnsets().measure(item)
    assert found.values["onset_precision"] == found.values["onset_recall"] == found.values["onset_f1"] == 0.5
    assert found.values["onset_lag"] == pytest.approx(0.02, abs=0.011)
    with pytest.raises(ValueError, match="sample has no `facts` with impacts"):
        BounceOnsets().measure(item)
