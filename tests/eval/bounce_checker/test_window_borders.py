"""The border test: smooth audio passes, joins of two takes do not, impacts are left out."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eval.bounce_checker import window_borders
from eval.bounce_checker.border_jumps import (
    BorderTrack,
    Samples,
    compare_borders,
    measure_borders,
    random_times,
)
from eval.bounce_checker.border_takes import JOINS
from eval.bounce_checker.window_borders import WindowBordersConfig, truth_tracks
from eval.core.manifest import Sample, write_manifest
from src.core import cli

RATE = 8_000
BORDERS = tuple(np.arange(1.4, 20, 1.4).tolist())


def tones(seed: int, seconds: float = 20.0) -> Samples:
    """Return a chord whose level swells slowly, over a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    knots = rng.uniform(0.1, 0.5, round(seconds / 0.9) + 2)
    swell = np.interp(time, 0.9 * (np.arange(len(knots)) - rng.random()), knots)
    chord = sum(np.sin(2 * np.pi * hertz * time + rng.random()) for hertz in rng.uniform(200, 2000, 3))
    return swell * chord * 0.2 + 0.002 * rng.normal(size=len(time))


def track(samples: Samples, **keys: tuple[float, ...]) -> BorderTrack:
    return BorderTrack(samples, RATE, BORDERS, **keys)


def test_smooth_audio_has_a_ratio_of_one_and_joined_takes_do_not() -> None:
    takes = [tones(seed) for seed in range(80)]
    found = compare_borders([track(each) for each in takes])
    assert (found.num_borders, found.num_tracks) == (80 * len(BORDERS), 80)
    assert found.is_smooth
    assert not found.is_found
    joined = []
    for one, other in itertools.pairwise(takes[:20]):
        out = one.copy()
        for k, start in enumerate(BORDERS):
            if k % 2 == 0:
                out[round(start * RATE) :] = other[round(start * RATE) :]
            else:
                out[round(start * RATE) :] = one[round(start * RATE) :]
        joined.append(track(out))
    found = compare_borders(joined)
    assert found.is_found
    assert not found.is_smooth
    assert min(found.lows) > 2


def test_times_are_away_from_borders_and_repeat() -> None:
    one = track(tones(0))
    times = random_times(one, 3)
    assert np.abs(times[:, None] - np.array(BORDERS)).min() >= 0.3
    assert np.array_equal(times, random_times(one, 3))
    assert not np.array_equal(times, random_times(one, 4))


def test_borders_near_impacts_are_left_out() -> None:
    samples = tones(0)
    at = round(BORDERS[2] * RATE)
    samples[at : at + 400] += 0.5
    loud = measure_borders(track(samples))
    assert loud.num_left_out == 0
    assert loud.ratios[2].max() > 5
    quiet = measure_borders(track(samples, impacts_s=(BORDERS[2] + 0.05,)))
    assert quiet.num_left_out == 1
    assert len(quiet.ratios) == len(BORDERS) - 1


@pytest.mark.parametrize("content", ["music", "swelling ambience"])
def test_joins_of_rendered_takes_change_the_audio_at_borders_alone(content: str) -> None:
    config = WindowBordersConfig(num_tracks=2, seconds=6.0)
    tracks = truth_tracks(content, config, 0)
    assert tracks.keys() == JOINS.keys()
    uncut, joined = tracks["none"][0], tracks["butt-joined takes"][0]
    first, second = (round(each * uncut.rate) for each in joined.borders_s[:2])
    assert np.array_equal(uncut.samples_S[:first], joined.samples_S[:first])
    assert not np.array_equal(uncut.samples_S[first:second], joined.samples_S[first:second])
    faded = tracks["takes with cross-fades of 10 ms"][0].samples_S
    differs = np.flatnonzero(faded != joined.samples_S)
    assert np.abs(differs[:, None] / uncut.rate - joined.borders_s).min(1).max() <= 0.0051


def test_the_command_tests_manifests_and_joins_of_their_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, first in (("a", 0), ("b", 100)):
        samples = []
        (tmp_path / folder).mkdir()
        for i in range(3):
            soundfile.write(tmp_path / folder / f"{i}.wav", tones(first + i), RATE)
            samples.append(
                Sample(id=str(i), prompt="", audio=f"{i}.wav", generation={"borders_s": list(BORDERS)})
            )
        write_manifest(tmp_path / folder / "manifest.jsonl", samples)
    one, two = (str(tmp_path / each / "manifest.jsonl") for each in "ab")
    table = tmp_path / "table.md"
    window_borders.main([f"manifests=[{one}]", f"takes=[{two}]", "impacts=false", f"out={table}"])
    rows = table.read_text().splitlines()[2:]
    assert [row.split("|")[1].strip().rpartition(", ")[2] for row in rows[1:]] == list(JOINS)[1:]
    assert "borders, fewer than 200 borders" in rows[1]
    assert "borders, fewer" not in rows[0].replace("fewer than 200 borders", "")
    write_manifest(tmp_path / "a/none.jsonl", [Sample(id="x", prompt="", audio="0.wav")])
    assert cli.run(window_borders.main, [f"manifests=[{tmp_path / 'a/none.jsonl'}]"]) == 2
    assert "no item was sampled in windows or segments" in capsys.readouterr().err
