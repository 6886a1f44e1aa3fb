import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from data.bounce.audio import MODES, ambience, damped, loudness, pitch_hz, strike
from data.bounce.vocabulary import BACKGROUNDS, MATERIALS, SIZES
from data.bounce.world import VideoFacts, WorldConfig, make_video, render_audio

RATE = 48_000


def facts_of(seed: int, **settings) -> VideoFacts:
    config = WorldConfig(bounce_prob=1.0, still_prob=0.0, appear_prob=0.0, vanish_prob=0.0, **settings)
    return make_video(seed, config, num_frames=16, height=32, width=32, fps=16).facts


def test_damped_equals_its_closed_form():
    t = 1e-5 + np.arange(5000) / RATE
    cos, sin = damped(440.0, 0.2, 5000, RATE, lag=1e-5)
    fall = np.exp(-math.log(1000) / 0.2 * t)
    np.testing.assert_allclose(cos, fall * np.cos(math.tau * 440 * t), atol=1e-12)
    np.testing.assert_allclose(sin, fall * np.sin(math.tau * 440 * t), atol=1e-12)


def test_impacts_start_at_their_sample():
    heard = 0
    for seed in range(12):
        facts = facts_of(seed)
        if not facts.impacts:
            continue
        rung = render_audio(facts)[0] - render_audio(replace(facts, impacts=()))[0]
        start = math.ceil(facts.impacts[0].time_s * RATE)
        assert (rung[:start] == 0).all()
        assert np.abs(rung[start : start + 24]).max() > 0.01  # within half a millisecond
        heard += 1
    assert heard >= 8


def test_every_impact_is_heard():
    facts = facts_of(2, min_objects=3)
    assert len(facts.impacts) >= 2
    full = render_audio(facts)
    for k in range(len(facts.impacts)):
        fewer = render_audio(replace(facts, impacts=facts.impacts[:k] + facts.impacts[k + 1 :]))
        assert np.abs(full - fewer).max() > 0.05


@pytest.mark.parametrize("material", MATERIALS)
def test_pitch_falls_with_size_by_the_table(material):
    pitches = []
    for size in SIZES:
        ring = strike(material, size, 0.5, RATE // 2, RATE)
        spectrum = np.abs(np.fft.rfft(ring * np.hanning(2 * len(ring))[len(ring) :], 4 * RATE))
        peak = spectrum.argmax() / 4
        assert peak == pytest.approx(pitch_hz(material, size), rel=0.03)
        pitches.append(peak)
    assert pitches[0] > 1.2 * pitches[1] > 1.4 * pitches[2]  # small, medium, large


def test_materials_ring_differently():
    def spread(material):
        spectrum = np.abs(np.fft.rfft(strike(material, "medium", 0.5, RATE, RATE))) ** 2
        return (spectrum * np.arange(len(spectrum))).sum() / spectrum.sum()

    assert len({round(math.log2(spread(m)) * 2) for m in MATERIALS}) == len(MATERIALS)
    assert set(MODES) == set(MATERIALS)


def test_faster_is_louder():
    assert loudness(0.2) < loudness(0.5) < loudness(1.2) < 0.7
    facts = next(f for f in map(facts_of, range(9)) if f.impacts)
    hit = facts.impacts[0]
    quiet, loud = (render_audio(replace(facts, impacts=(replace(hit, speed=s),))) for s in (0.2, 1.2))
    assert np.abs(loud).max() > 1.5 * np.abs(quiet).max()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_ambiences_are_quiet_and_their_own(background):
    here = ambience(background, RATE, RATE, 0)
    assert 0.0005 < np.sqrt((here**2).mean()) < 0.03
    others = [ambience(b, RATE, RATE, 0) for b in BACKGROUNDS if b != background]
    assert all(abs(np.corrcoef(here, o)[0, 1]) < 0.9 for o in others)


def test_length_range_and_other_rates():
    for seed in range(6):
        facts = facts_of(seed, collide_prob=1.0, min_objects=2)
        for rate in (16_000, 48_000):
            heard = render_audio(facts, rate)
            assert heard.shape == (1, rate)
            assert heard.dtype == np.float32
            assert np.abs(heard).max() < 1


def test_golden_audio():
    """If it changes, raise WORLD_VERSION."""
    heard = render_audio(facts_of(2, min_objects=3))
    assert hashlib.sha256(heard.tobytes()).hexdigest()[:16] == "00c49fa15912d2e6"


def test_images_are_silent():
    image = make_video(0, WorldConfig(), num_frames=1, height=32, width=32, fps=16).facts
    with pytest.raises(ValueError, match="seed 0 is an image"):
        render_audio(image)
