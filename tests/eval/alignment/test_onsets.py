import numpy as np
import pytest

from data.bounce.audio import render_audio as render
from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.alignment.config import OnsetsConfig
from eval.alignment.onsets import (
    SCORES,
    BounceOnsets,
    ReferenceOnsets,
    detect_onsets,
    estimate_offset,
    match_onsets,
    merge_close_times,
    onset_scores,
)
from eval.core.aggregation import Aggregator
from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample
from eval.core.results import Item, Record

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


def record(name, measured):
    return Record(
        id=name, system="", prompt="", tags=(), metric="bounce_onsets", values=measured.values,
        detail=measured.detail, dropped=None, pooled=measured.pooled,
    )  # fmt: skip


def pooled(measurements):
    """The table's values over many samples."""
    aggregator = Aggregator()
    for index, measured in enumerate(measurements):
        aggregator.add(record(str(index), measured))
    (row,) = aggregator.summarize(scores={"bounce_onsets": SCORES})
    return row.intervals


def test_bounce_videos_and_their_own_audio(tmp_path):
    """Most short videos are without impacts: silence must not be rewarded for them."""
    world = WorldConfig(max_objects=1, holdout="include", split="all")
    own, late, silent, num_quiet = [], [], [], 0
    for seed in range(40):
        clip = make_video(seed, world, num_frames=32, height=16, width=16, fps=16)
        num_quiet += not clip.facts.impacts
        samples = render(clip.facts)
        shifted = np.concatenate([np.zeros((1, 9600), np.float32), samples], 1)[:, : samples.shape[1]]
        for found, wave in ((own, samples), (late, shifted), (silent, 0 * samples)):
            write_audio(tmp_path / "a.wav", wave, RATE)
            sample = Sample(id="", prompt="", audio="a.wav", facts=clip.facts.to_dict())
            found.append(BounceOnsets().measure(Item(sample, tmp_path)))
    assert num_quiet > 10
    assert pooled(own)["onset_f1"].mean > 0.8
    assert pooled(own)["onset_recall"].num == 40 - num_quiet
    assert pooled(own)["onset_false"].num == num_quiet
    assert pooled(late)["onset_f1"].mean < 0.35
    assert pooled(silent)["onset_f1"].mean == 0
    assert "onset_precision" not in pooled(silent)
    assert pooled(silent)["onset_recall"].mean == 0


def test_scores_are_pooled_over_samples():
    cases = [([0.1, 0.5, 0.9], [0.12, 0.52]), ([], []), ([0.3], []), ([], [1.0, 1.5])]
    found = pooled([onset_scores(np.array(a), np.array(b)) for a, b in cases] * 2)
    assert found["onset_precision"].mean == pytest.approx(2 / 4)
    assert found["onset_recall"].mean == pytest.approx(2 / 4)
    assert found["onset_f1"].mean == pytest.approx(4 / 8)
    assert found["onset_lag"].mean == pytest.approx(0.02)
    assert found["onset_false"].mean == pytest.approx(0.5)  # 0 and 1 in the two without an expected onset
    assert [found[name].num for name in ("onset_precision", "onset_recall", "onset_f1", "onset_false")] == [
        4, 4, 6, 4,
    ]  # fmt: skip
    quiet = onset_scores(np.array([]), np.array([]))
    assert quiet.values == {"onset_count": 0, "onset_false": 0}
    assert onset_scores(np.array([0.3]), np.array([])).values["onset_f1"] == 0


def test_the_tolerance_is_exact_and_a_setting():
    expected = np.array([0.5, 1.0])
    for late, settings, f1 in (
        (0.049, OnsetsConfig(), 1),
        (0.051, OnsetsConfig(), 0),
        (0.09, OnsetsConfig(tolerance_s=0.1), 1),
        (0.02, OnsetsConfig(tolerance_s=0.01), 0),
    ):
        for sign in (1, -1):
            found = onset_scores(expected + sign * late, expected, settings)
            assert found.values["onset_f1"] == f1
            assert found.values["onset_shift"] == pytest.approx(late)
    far = np.array([1.4])
    assert "onset_shift" in onset_scores(far, np.array([0.5])).values
    assert "onset_shift" not in onset_scores(far, np.array([0.5]), OnsetsConfig(max_offset_s=0.8)).values
    two = clicks([0.3, 0.42])
    assert len(detect_onsets(two)) == 2
    assert len(detect_onsets(two, OnsetsConfig(min_gap_s=0.2))) == 1
    assert BounceOnsets(OnsetsConfig(tolerance_s=0.1)).describe()["settings"]["tolerance_s"] == 0.1


def test_against_a_reference(tmp_path):
    write_audio(tmp_path / "a.wav", clicks([0.3, 1.0]).samples_CS, RATE)
    write_audio(tmp_path / "b.wav", clicks([0.32, 1.5]).samples_CS, RATE)
    item = Item(Sample(id="", prompt="", audio="b.wav", reference="a.wav"), tmp_path)
    found = ReferenceOnsets().measure(item)
    assert found.values["onset_precision"] == found.values["onset_recall"] == found.values["onset_f1"] == 0.5
    assert found.values["onset_lag"] == pytest.approx(0.02, abs=0.011)
    with pytest.raises(ValueError, match="sample has no `facts` with impacts"):
        BounceOnsets().measure(item)
