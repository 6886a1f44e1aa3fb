"""The checker of game audio on audio that is composed of its own templates' spectra."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.core.audio import write_audio
from eval.vizdoom_checker import calibrate, validate
from eval.vizdoom_checker.metric import score_audio
from eval.vizdoom_checker.shots import find_shots
from eval.vizdoom_checker.sides import check_sides, off_axis_events
from eval.vizdoom_checker.spectrum import HOP_S, RATE, mel_magnitudes
from eval.vizdoom_checker.templates import Templates, read_templates
from src.core.media_io.audio import Audio
from src.core.rng import numpy_generator

WEAPONS = ("pistol", "shotgun")


def weapon_sample(weapon: str) -> np.ndarray:
    """Return noise of 150 ms: a short bright one, or one that begins dull and swells."""
    noise = numpy_generator(0, weapon).normal(0, 0.2, RATE * 15 // 100)
    time_s = np.arange(len(noise)) / RATE
    if weapon == "pistol":
        return noise * np.exp(-time_s / 0.03)
    dull = np.convolve(noise, np.ones(24) / 5, mode="same")
    return dull * (0.3 + time_s / 0.1)


def clip(
    shots: list[tuple[float, str]], flashes: list[tuple[float, float]] = ()
) -> tuple[Audio, dict[str, Any]]:
    """Return 2 s of stereo audio and its facts: shots in the middle, hums right (azimuth > 0) or left."""
    samples_CS = numpy_generator(1, "hiss").normal(0, 1e-4, (2, 2 * RATE))
    events = []
    for time_s, weapon in shots:
        start, sample = round(time_s * RATE), weapon_sample(weapon)
        stop = min(start + len(sample), 2 * RATE)
        samples_CS[:, start:stop] += sample[: stop - start]
        events.append({"time_s": time_s, "kind": "shot", "name": weapon, "azimuth_deg": None, "count": 1})
    for time_s, azimuth in flashes:
        start = round(time_s * RATE)
        hum = 0.1 * np.sin(2 * np.pi * 500 * np.arange(RATE // 4) / RATE)
        samples_CS[1 if azimuth > 0 else 0, start : start + len(hum)] += hum
        samples_CS[0 if azimuth > 0 else 1, start : start + len(hum)] += 0.4 * hum
        events.append({"time_s": time_s, "kind": "flash", "name": "", "azimuth_deg": azimuth, "count": 1})
    return Audio(samples_CS.astype(np.float32), RATE), {"events": events, "num_frames": 32, "fps": 16.0}


SHOTS = [(0.3, "pistol"), (0.9, "shotgun"), (1.2, "pistol")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings with a manifest, and templates made from them by the command."""
    folder = tmp_path_factory.mktemp("recordings")
    lines = []
    for i in range(6):
        shots = [(time_s + 0.01 * i, weapon) for time_s, weapon in SHOTS] if i < 5 else []
        audio, facts = clip(shots, [(1.6, 60.0 if i % 2 else -60.0)])
        write_audio(folder / f"{i}.wav", audio.samples_CS, audio.rate)
        lines.append(json.dumps({"id": str(i), "prompt": "", "audio": f"{i}.wav", "facts": facts}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    calibrate.main([f"manifest={folder / 'manifest.jsonl'}", f"out={folder / 'templates.json'}"])
    return folder


@pytest.fixture(scope="module")
def templates(files: Path) -> Templates:
    return read_templates(files / "templates.json")


def test_shots_are_found_with_their_weapons_and_times(templates: Templates) -> None:
    audio, _ = clip(SHOTS, [(1.6, 90.0)])
    found = find_shots(audio, templates)
    assert [shot.weapon for shot in found] == [weapon for _, weapon in SHOTS]
    assert [shot.time_s for shot in found] == pytest.approx([time_s for time_s, _ in SHOTS], abs=2 * HOP_S)


def test_other_rates_and_levels_change_little_but_far_shots_are_not_the_players(templates: Templates) -> None:
    audio, _ = clip(SHOTS)
    assert len(find_shots(audio.resample(48_000), templates)) == 3
    assert len(find_shots(Audio(audio.samples_CS * np.float32(0.5), RATE), templates)) == 3
    assert not find_shots(Audio(audio.samples_CS * np.float32(0.1), RATE), templates)
    assert not find_shots(Audio(np.zeros((2, RATE), np.float32), RATE), templates)


def test_scores_are_pooled_and_late_shots_left_out(templates: Templates) -> None:
    audio, facts = clip([*SHOTS, (1.98, "pistol")])
    scores = score_audio(audio, facts, templates)
    assert scores.pooled["shot_f1"] == (6.0, 6.0)
    assert scores.pooled["shot_weapon"] == (3.0, 3.0)
    moved = facts | {"events": [e | {"time_s": e["time_s"] + 0.06} for e in facts["events"]]}
    assert score_audio(audio, moved, templates).values["shot_f1"] == 0.0
    assert score_audio(audio, moved, templates, tolerance_s=0.08).values["shot_f1"] == 1.0
    no_shots = facts | {"events": []}
    assert score_audio(audio, no_shots, templates).values["shot_false"] >= 3


def test_sides_come_from_the_louder_channel() -> None:
    audio, facts = clip([(0.1, "pistol")], [(0.2, 60.0), (1.3, -100.0), (1.7, 10.0)])
    assert len(off_axis_events(facts)) == 2
    assert [each["found"] for each in check_sides(audio, facts)] == [1, -1]
    exchanged = Audio(audio.samples_CS[::-1], RATE)
    assert [each["found"] for each in check_sides(exchanged, facts)] == [-1, 1]
    assert [each["found"] for each in check_sides(audio.mixdown(1), facts)] == [0, 0]


def test_mel_magnitudes_of_a_tone_are_in_its_band() -> None:
    tone_S = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    bands_F = mel_magnitudes(Audio(tone_S[None], RATE))[0, 100]
    assert bands_F.argmax() == pytest.approx(10, abs=1)
    assert bands_F.max() == pytest.approx(0.5, abs=0.15)


def test_validation_prints_degraded_and_mismatched_rows(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(validate, "read_templates", lambda: read_templates(files / "templates.json"))
    validate.main([f"manifest={files / 'manifest.jsonl'}"])
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in capsys.readouterr().out.splitlines()
    }
    assert float(rows["as recorded"][2]) == 1.0
    assert rows["as recorded"][7].split()[0] == "1.000"
    assert rows["left and right exchanged"][7].split()[0] == "0.000"
    assert rows["one channel"][7].split()[0] == "0.000"
    assert float(rows["silence"][2]) == 0.0


def test_committed_templates_are_those_of_three_weapons() -> None:
    templates = read_templates()
    assert set(templates.magnitudes) == set(templates.thresholds) == {"pistol", "shotgun", "plasma rifle"}
    assert all(each.max() > 1e-3 for each in templates.magnitudes.values())
