import re
import subprocess
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from scipy.signal import stft

from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.quality.config import SpectralConfig
from eval.quality.loudness import AudioMeter, Loudness, measure_audio
from eval.quality.spectral import (
    AudioDistance,
    AudioFidelity,
    _SpectralDistance,
    compare_audio,
    mel_bank,
    si_sdr,
)
from eval.quality.speech import Speech
from tests.fixtures.odd_media import X264, ffmpeg

RATE = 48_000


def sine(level=0.5, hertz=997.0, seconds=1.0, channels=1):
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return Audio(np.repeat(wave[None], channels, 0).astype(np.float32), RATE)


def noise(seed=0, level=0.1, seconds=1.0):
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def test_loudness_of_the_standards_tones():
    # EBU Tech 3341, case 1: a stereo 1 kHz sine with peaks at -23 dBFS reads -23.0 LUFS (+-0.1)
    tone = sine(10 ** (-23 / 20), 1000, 20, channels=2)
    assert integrated_loudness(tone) == pytest.approx(-23.0, abs=0.1)
    assert integrated_loudness(sine(10 ** (-33 / 20), 1000, 20, 2)) == pytest.approx(-33.0, abs=0.1)
    assert integrated_loudness(sine(10 ** (-23 / 20), 1000, 0.2, 2)) == pytest.approx(-23.0, abs=0.3)


def integrated_loudness(audio):
    return measure_audio(audio)["lufs"]


def program_lufs(path):
    """Integrated loudness as the ffmpeg program prints it."""
    command = [get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-i", path, "-af", "ebur128", "-f", "null", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(\S+) LUFS", text)[-1])


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "5.1(side)", "7.1", "2.1"])
def test_loudness_is_that_of_the_ffmpeg_program_for_each_layout(layout, tmp_path):
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    sources = [f"sine=f={300 + 170 * n}:r=48000:d=2" for n in range(len(names))]
    inputs = [part for each in sources for part in ("-f", "lavfi", "-i", each)]
    joined = "".join(f"[{n}]" for n in range(len(names)))
    mapping = "|".join(f"{n}.0-{name}" for n, name in enumerate(names))
    graph = f"{joined}join=inputs={len(names)}:channel_layout={layout}:map={mapping}"
    path = tmp_path / "a.wav"
    program = [get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", *inputs, "-filter_complex", graph]
    subprocess.run([*program, "-c:a", "pcm_f32le", path], check=True)
    found = Loudness().measure(Item(Sample(id="1", prompt="", audio="a.wav"), tmp_path)).values
    assert found["lufs"] == pytest.approx(program_lufs(path), abs=0.06)  # it prints one decimal


def test_audio_in_pieces_has_the_values_of_the_complete_signal():
    samples = np.concatenate([sine(channels=2).samples_CS, np.zeros((2, RATE), np.float32)], 1)
    samples[:, 5000:9000] += noise(seconds=4000 / RATE)
    meter = AudioMeter(RATE, ("FL", "FR"))
    for start, stop in pairwise([0, 1, 700, 3000, 50_000, samples.shape[1]]):
        meter.add(samples[:, start:stop])
    assert meter.values() == pytest.approx(measure_audio(Audio(samples, RATE)), rel=1e-9, abs=1e-6)


def test_spectral_distances_do_not_depend_on_the_rate():
    """Sounds without anything above 3 kHz, stored at other rates: windows in ms and bands in Hz."""
    target = sum(sine(0.1, hertz).mono for hertz in (300, 700, 1500, 2900))
    changed = 0.5 * target + sine(0.02, 2000).mono
    found = [
        compare_audio(
            *(Audio(each[None].astype(np.float32), RATE).resample(rate).mono for each in (changed, target)),
            rate=rate,
        )
        for rate in (16_000, 24_000, 44_100, 48_000, 96_000)
    ]
    for values in found:
        assert values["mel"] == pytest.approx(found[3]["mel"], rel=0.1)
        assert values["stft"] == pytest.approx(found[3]["stft"], rel=0.15)
        assert values["si_sdr"] == pytest.approx(found[3]["si_sdr"], abs=0.1)


def test_values_of_known_signals():
    found = measure_audio(sine())
    assert found["peak_db"] == pytest.approx(-6.02, abs=0.01)
    assert found["clipped"] == 0
    assert found["silent"] == 0
    assert found["bandwidth_hz"] == pytest.approx(997, abs=200)  # the window's skirt
    half = np.concatenate([sine().samples_CS, np.zeros((1, RATE), np.float32)], 1)
    assert measure_audio(Audio(half, RATE))["silent"] == pytest.approx(0.5, abs=0.02)
    hard = Audio(np.clip(4 * sine().samples_CS, -1, 1), RATE)
    assert measure_audio(hard)["clipped"] == pytest.approx(2 / 3, abs=0.01)  # asin(1/2) of a quarter turn
    assert measure_audio(Audio(sine().samples_CS + 0.25, RATE))["offset"] == pytest.approx(0.25, abs=1e-3)
    silence = measure_audio(Audio(np.zeros((2, 900), np.float32), RATE))
    assert silence == {"clipped": 0.0, "silent": 1.0, "offset": 0.0}
    assert measure_audio(Audio(np.full((1, 1), 0.5, np.float32), RATE))["silent"] == 0


def test_bandwidth_sees_a_low_pass():
    full = Audio(noise()[None], RATE)
    low = full.resample(16_000).resample(RATE)
    assert measure_audio(full)["bandwidth_hz"] > 23_000
    assert measure_audio(low)["bandwidth_hz"] == pytest.approx(8_000, rel=0.3)


def test_si_sdr_against_torchmetrics_and_closed_form():
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as reference

    target, generated = noise(0), noise(0) * 0.3 + noise(1, 0.02)
    theirs = reference(
        torch.from_numpy(generated).double(), torch.from_numpy(target).double(), zero_mean=True
    )
    assert si_sdr(generated, target) == pytest.approx(float(theirs), abs=1e-6)
    assert si_sdr(2 * target, target) == 100
    assert si_sdr(np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])) == -100  # nothing in common
    assert si_sdr(np.zeros(9), np.arange(9.0)) is None


def test_mel_bands_against_their_definition():
    for size, rate in ((2048, 48_000), (512, 16_000)):
        hertz = np.arange(size // 2 + 1) * rate / size
        mels = 2595 * np.log10(1 + 24_000 / 700) * np.arange(82) / 81
        low, mid, high = (700 * (10 ** (mels[k : 80 + k] / 2595) - 1) for k in range(3))
        bank = mel_bank(size, rate)
        assert len(bank) == (mid <= rate / 2).sum()
        for m, row in enumerate(bank):
            rising, falling = (hertz - low[m]) / (mid[m] - low[m]), (high[m] - hertz) / (high[m] - mid[m])
            expected = np.maximum(0, np.minimum(rising, falling))
            if not expected.any():
                expected[np.abs(hertz - mid[m]).argmin()] = 1
            np.testing.assert_allclose(row, expected / expected.sum(), atol=1e-12)


def test_distances_in_pieces_are_those_of_complete_spectra():
    """Against scipy's short-time transform of the complete signals."""
    generated, reference = noise(0, seconds=0.3), noise(1, seconds=0.3)
    meter = AudioDistance(RATE)
    for start, stop in pairwise([0, 1, 100, 3000, 9001, len(reference)]):
        meter.add(generated[start:stop], reference[start:stop])
    mels, convergence = [], []
    for size in (512, 1024, 2048):
        a, b = (
            np.abs(stft(x.astype(float), nperseg=size, noverlap=size * 3 // 4)[2])
            for x in (generated, reference)
        )
        bands = [np.log10(np.maximum(mel_bank(size, RATE) @ x, 1e-5)) for x in (a, b)]
        mels.append(np.abs(bands[0] - bands[1]).mean())
        logs = np.abs(np.log(np.maximum(a, 1e-5)) - np.log(np.maximum(b, 1e-5))).mean()
        convergence.append(np.linalg.norm(a - b) / np.linalg.norm(b) + logs)
    found = meter.values()
    assert found["mel"] == pytest.approx(np.mean(mels), rel=1e-9)
    assert found["stft"] == pytest.approx(np.mean(convergence), rel=1e-9)
    assert found["si_sdr"] == pytest.approx(si_sdr(generated, reference), abs=1e-9)
    short = compare_audio(generated[:100], reference[:100], rate=RATE)  # less than a window
    assert short["mel"] > 0
    assert _SpectralDistance(1e-9, 8000, SpectralConfig()).size == 8


def test_distances_grow_with_noise():
    target = sine().mono
    found = [compare_audio(target + noise(1, level), target, rate=RATE) for level in (0.0, 0.003, 0.03, 0.3)]
    assert found[0]["mel"] == found[0]["stft"] == 0
    for name, sign in (("mel", 1), ("stft", 1), ("si_sdr", -1)):
        assert (sign * np.diff([each[name] for each in found]) > 0).all()
    assert compare_audio(10 * target, target, rate=RATE)["mel"] <= 1.0001  # one decade


def test_metrics_on_files(tmp_path):
    write_audio(tmp_path / "a.wav", noise()[None], RATE)
    write_audio(tmp_path / "b.wav", noise(seconds=0.4)[None], RATE)
    write_audio(tmp_path / "c.wav", noise()[None, : RATE - 100], RATE)

    def item(audio, reference):
        return Item(Sample(id="1", prompt="", audio=audio, reference=reference), tmp_path)

    assert AudioFidelity().measure(item("a.wav", "a.wav")).values["si_sdr"] > 90
    assert AudioFidelity().measure(item("a.wav", "c.wav")).values["si_sdr"] > 90
    with pytest.raises(ValueError, match=r"differ in length: 1\.000 s, 0\.400 s"):
        AudioFidelity().measure(item("a.wav", "b.wav"))
    with pytest.raises(ValueError, match="sample has no `reference`"):
        AudioFidelity().measure(item("a.wav", None))
    assert Loudness().measure(item("a.wav", None)).values["lufs"] < 0


def test_speech(tmp_path):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    time = np.arange(3 * 16_000) / 16_000
    voice = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 20)) * (np.sin(8 * time) > -0.3)
    voice = (0.1 * voice).astype(np.float32)
    rough = voice + np.random.default_rng(0).normal(0, 0.05, len(voice)).astype(np.float32)
    for name, wave in (("a", voice), ("b", rough)):
        write_audio(tmp_path / f"{name}.wav", wave[None], 16_000)
    good, bad = (
        Speech().measure(Item(Sample(id="1", prompt="", audio=a, reference="a.wav"), tmp_path)).values
        for a in ("a.wav", "b.wav")
    )
    assert good["pesq"] > 4.5 > bad["pesq"]
    assert good["stoi"] > 0.99 > bad["stoi"]


def test_a_video_at_8_khz_is_compared_with_its_own_samples(tmp_path):
    """The encoder pads to packets of 1,024 samples: 2.048 s of sound for 2 s."""
    tone = "sine=f=440:r=8000:d=2,volume='0.2+0.8*mod(t,0.5)':eval=frame"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=16:d=2", "-f", "lavfi", "-i", tone, *X264, "-c:a", "aac",
           "-b:a", "48k", "-ar", 8000, "-ac", 1, tmp_path / "rate8k.mp4")  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", tone, tmp_path / "own.wav")
    sample = Sample(id="a", prompt="", video="rate8k.mp4", reference="own.wav")
    found = AudioFidelity().measure(Item(sample, tmp_path))
    lengths = found.detail["seconds"]
    assert lengths[1] == 2.0
    assert 2.0 <= lengths[0] <= 2.3
    assert found.values["si_sdr"] > 15
    ffmpeg("-i", tmp_path / "rate8k.mp4", "-vn", "-t", "1.9", tmp_path / "decoded.wav")
    copy = AudioFidelity().measure(Item(Sample(**{**vars(sample), "reference": "decoded.wav"}), tmp_path))
    assert copy.values["si_sdr"] > 60  # 16 bits of a sample
    assert copy.values["mel"] < 0.01
