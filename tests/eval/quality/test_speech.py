"""PESQ and STOI over parts of the audio; without their packages, stand-ins tell which parts they receive."""

import sys
from types import ModuleType

import numpy as np
import pytest

from eval.core.audio import write_audio
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.quality.config import SpeechConfig
from eval.quality.speech import RATE, Speech


class PesqError(Exception):
    pass


@pytest.fixture
def parts(monkeypatch):
    """Modules in place of the packages: PESQ is the reference's length in seconds; silence is refused."""
    seen = []

    def pesq(rate, reference, generated, mode):
        assert (rate, mode, len(reference)) == (RATE, "wb", len(generated))
        seen.append(len(reference))
        if np.abs(reference).max() < 1e-4:
            raise PesqError(b"No utterances detected")
        return len(reference) / RATE

    for name, attributes in (("pesq", {"pesq": pesq, "PesqError": PesqError}), ("pystoi", {})):
        module = ModuleType(name)
        module.__dict__.update(attributes, stoi=lambda reference, generated, rate: 0.5)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    return seen


def measure(folder, samples, part_s=1.0):
    write_audio(folder / "a.wav", samples[None].astype(np.float32), RATE)
    item = Item(Sample(id="1", prompt="", audio="a.wav", reference="a.wav"), folder)
    return Speech(SpeechConfig(part_s=part_s)).measure(item)


def noise(seconds):
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))


def test_long_audio_is_measured_in_parts(parts, tmp_path):
    found = measure(tmp_path, noise(0.8))
    assert parts == [0.8 * RATE]
    assert found.values == {"pesq": pytest.approx(0.8), "stoi": 0.5}
    parts.clear()
    found = measure(tmp_path, noise(3.5))
    assert parts == [RATE, RATE, 0.75 * RATE, 0.75 * RATE]  # none is short
    assert found.values["pesq"] == pytest.approx((1 + 1 + 2 * 0.75**2) / 3.5)  # weighed by length
    assert found.detail == {"seconds": [3.5, 3.5], "parts": 4, "left_out": 0}


def test_parts_without_speech_are_left_out(parts, tmp_path):
    found = measure(tmp_path, np.concatenate([np.zeros(RATE), noise(2)]))
    assert found.values["pesq"] == 1
    assert found.detail["left_out"] == 1
    with pytest.raises(ValueError, match="pesq: No utterances detected"):
        measure(tmp_path, np.zeros(RATE))


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^speech: needs pip install pesq pystoi$"):
        Speech()
