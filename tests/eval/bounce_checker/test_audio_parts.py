"""Parts of the audio checker against closed forms and other libraries."""

import numpy as np
import pytest
from scipy.signal import periodogram

from data.bounce.audio import MODES, strike
from data.bounce.vocabulary import SIZES
from eval.bounce_checker import audio_impacts
from eval.bounce_checker.audio import pooled_scores
from eval.bounce_checker.audio_degradations import DEGRADATIONS
from eval.bounce_checker.audio_spectra import (
    BANDS_HZ,
    SAMPLE_RATE,
    band_powers,
    floor_powers,
    window_powers,
)
from eval.bounce_checker.audio_tables import pool, track_row
from eval.bounce_checker.audio_templates import hit_templates
from eval.bounce_checker.audio_trials import AudioTrial, ImpactTrial
from eval.bounce_checker.config import AudioCheckerConfig

NOISE = np.random.default_rng(0).normal(0, 0.1, 15_000)
TIME_S = np.arange(SAMPLE_RATE) / SAMPLE_RATE


@pytest.mark.parametrize("count", [64, 500, 6001])
def test_band_powers_against_scipy(count):
    part_S = NOISE[:count]
    window = np.hanning(count)
    hertz, density = periodogram(part_S, SAMPLE_RATE, window, max(4096, count), detrend=False)
    power = density * SAMPLE_RATE * (window**2).sum() / 2 / count  # one-sided, of the unnormalized window
    bands = [(60 * 2 ** (i / 6), 60 * 2 ** ((i + 1) / 6)) for i in range(48)]
    expected = [power[(hertz >= low) & (hertz < high)] for low, high in bands]
    found = band_powers(part_S)
    assert found == pytest.approx([each.mean() if each.size else 0.0 for each in expected], rel=1e-9)
    assert not band_powers(part_S[:63]).any()
    assert (BANDS_HZ[0], BANDS_HZ[6], BANDS_HZ[-1]) == pytest.approx((60, 120, 15_360))


def test_windows_and_floor_are_parts_of_the_audio():
    edges = (0, 1200, 2400, 4800, 9600, 14_400)  # 0, 25, 50, 100, 200, 300 ms
    for start in (0, 100, -1500):
        found = window_powers(NOISE, start)
        assert found.shape == (5, 48)
        for row, low, high in zip(found, edges, edges[1:], strict=False):
            assert row == pytest.approx(band_powers(NOISE[max(start + low, 0) : max(start + high, 0)]))
    parts = [band_powers(NOISE[start : start + 4800]) for start in range(0, 10_200, 2400)]
    assert floor_powers(NOISE) == pytest.approx(np.percentile(parts, 25, axis=0))
    assert floor_powers(NOISE[:3000]) == pytest.approx(band_powers(NOISE[:3000]))


def test_templates_are_strikes_with_a_click_pairs_and_crackles():
    templates = hit_templates()
    singles = [(material, size) for material in MODES for size in SIZES]
    num = len(singles)
    assert len(templates.objects) == 3 * (num + num * (num + 1) // 2) + 8
    assert templates.num_objects.tolist() == 3 * ([1] * num + [2] * (num * (num + 1) // 2)) + [0] * 8
    strongest = np.abs(np.fft.rfft(templates.waves_KS[-8:])).argmax(1)  # 1 s: bins are Hz
    assert strongest == pytest.approx([900, 1088, 1316, 1591, 1923, 2326, 2812, 3400], abs=25)
    assert templates.powers_KWB[5] == pytest.approx(window_powers(templates.waves_KS[5], 0), rel=1e-4)
    # the click: a burst of noise between -1 and 1 that falls by 60 dB in 12 ms
    bursts = []
    for index, ((material, size),) in enumerate(templates.objects[:num]):
        ring = strike(material, size, 0.1, SAMPLE_RATE, SAMPLE_RATE) / 0.1
        bursts.append((templates.waves_KS[index] - ring) / MODES[material].click)
    assert np.ptp(np.stack(bursts), 0).max() < 1e-4
    envelope = np.abs(bursts[0])[:576] * 1000 ** (TIME_S[:576] / 0.012)
    assert 0.98 < envelope.max() <= 1.001
    assert envelope.mean() == pytest.approx(0.5, abs=0.03)
    # a pair is the sum of both, with the mean of their clicks
    pair = templates.objects.index((singles[0], singles[4]))
    clicks = [MODES[singles[i][0]].click for i in (0, 4)]
    rings = sum(templates.waves_KS[i] - c * bursts[0] for i, c in zip((0, 4), clicks, strict=True))
    assert templates.waves_KS[pair] == pytest.approx(rings + np.mean(clicks) * bursts[0], abs=1e-4)
    harder = 2 * (num + num * (num + 1) // 2)  # the third level
    assert templates.waves_KS[harder] == pytest.approx(
        strike(*singles[0], 0.6, SAMPLE_RATE, SAMPLE_RATE) / 0.6 + clicks[0] * bursts[0], abs=1e-4
    )


@pytest.mark.parametrize(("index", "level"), [(3, 0.3), (140, 0.8), (-2, 0.1)])
def test_a_template_explains_itself(index, level):
    templates = hit_templates()
    base = np.full((5, 48), 1e-9)
    observed = base + level**2 * templates.powers_KWB[index]
    fit = audio_impacts._fit(observed, base, 5, templates)
    assert templates.objects[fit.template] == templates.objects[index]
    assert fit.level == pytest.approx(level, rel=0.02)
    assert fit.similarity > 0.98
    nothing = audio_impacts._fit(base, base, 1, templates)
    assert nothing.similarity == 0


def test_gains_are_tried_from_an_eighth_to_eight_times_and_then_finely():
    assert pytest.approx([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]) == audio_impacts.COARSE_GAINS
    assert pytest.approx([0.7071, 0.8409, 1, 1.1892, 1.4142], abs=1e-4) == audio_impacts.FINE_GAINS
    windows = [audio_impacts._num_windows(0, end) for end in (0, 960, 2159, 2161, 4561, 9361, 14_161)]
    assert windows == [1, 1, 1, 2, 3, 4, 5]


def test_degradations_do_what_they_say():
    apply = {name: each.apply for name, each in DEGRADATIONS.items()}
    tone = 0.5 * np.sin(2 * np.pi * 1000 * TIME_S)
    assert apply["none"](tone) is tone
    assert apply["a third of the volume"](tone) == pytest.approx(tone / 3)
    assert (apply["white noise at -50 dB"](tone) - tone).std() == pytest.approx(10**-2.5, rel=0.02)
    faster = apply["detuned by 1.5 %"](tone)
    assert len(faster) == 47_290  # 48,000 / 1.015
    assert np.abs(np.fft.rfft(faster, SAMPLE_RATE)).argmax() == 1015
    assert DEGRADATIONS["detuned by 1.5 %"].speed == 1.015
    assert {each.speed for name, each in DEGRADATIONS.items() if "detuned" not in name} == {1.0}
    impulse = np.zeros(SAMPLE_RATE)
    impulse[100] = 1
    tail = apply["reverberated"](impulse) - impulse
    assert len(tail) == SAMPLE_RATE
    assert 10 * np.log10((tail**2).sum()) == pytest.approx(-12)
    late, early = (tail**2)[100 + 6000 : 100 + 12_000].sum(), (tail**2)[100:6100].sum()
    assert 10 * np.log10(late / early) == pytest.approx(-30, abs=1)  # half of 60 dB in half of the time
    assert np.abs(tail[12_101:]).max() < 1e-15
    coded = apply["Ogg Vorbis"](tone)
    assert len(coded) == SAMPLE_RATE
    assert 0.9 < np.corrcoef(coded, tone)[0, 1] < 0.99999
    high = 0.5 * np.sin(2 * np.pi * 10_000 * TIME_S)
    back = apply["16 kHz and back"](tone + high)
    assert len(back) == SAMPLE_RATE
    assert back[2000:-2000] == pytest.approx(tone[2000:-2000], abs=2e-3)
    assert len(apply["16 kHz and back"](tone[:1001])) == 1001
    assert not apply["silence"](tone).any()


def trial(*impacts, background="sand", right=True, num_hits=3, **more):
    return AudioTrial(background, impacts, num_hits, len(impacts), len(impacts), right, **more)


def test_rows_count_backgrounds_and_impacts_at_the_border():
    config = AudioCheckerConfig()
    at_the_border = trial(ImpactTrial("stone", config.close_s, -0.03, True, False))
    assert pooled_scores(at_the_border)["hit_material"] == (1, 1)
    assert pooled_scores(at_the_border)["hit_size"] == (0, 1)
    assert pooled_scores(at_the_border)["hit_lag"] == (0.03, 1)
    assert pooled_scores(at_the_border)["false_hits"] == (0, 0)
    assert pooled_scores(trial(num_hits=2))["false_hits"] == (2, 1)
    trials = [at_the_border, trial(right=False), trial(right=None, num_hits=1, music={"key": 1.0})]
    row = track_row("x", trials, config)
    assert row[:3] == ["x", "3", "1"]
    assert row[-1] == "50.0"  # of the two with a background
    assert row[-2:-1] == ["–"]
    assert "2.000" in row  # (3 + 1) / 2 false hits
    assert pool(trials, config)["music_key"] == (1, 1)
    assert track_row("x", trials[2:], config)[-1] == "–"
