"""One decode of audio for all metrics, in constant memory; audio and reference in pieces of equal length."""

import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest

from eval.alignment.onsets import BounceOnsets, ReferenceOnsets
from eval.backbones.audio_windows import audio_windows, count_samples
from eval.core import audio_pass
from eval.core.audio import Audio, read_audio, write_audio
from eval.core.audio_metric import AudioMetric, AudioPairMetric
from eval.core.audio_pass import AudioInfo, MonoStream, run_audio_pass
from eval.core.manifest import Sample
from eval.core.results import Item, Measurement
from eval.core.video import DecodeError
from eval.measurement import measure_sample
from eval.quality.loudness import Loudness
from eval.quality.pitch import Pitch
from eval.quality.spectral import AudioFidelity
from eval.quality.speech_detection import SpeechFraction

RATE = 8000


def noise(seconds, seed=0, channels=1, rate=RATE):
    return np.random.default_rng(seed).normal(0, 0.1, (channels, round(seconds * rate))).astype(np.float32)


class Listener(AudioMetric):
    """All samples that arrive."""

    name, scores = "listener", {}

    def __init__(self):
        self.pieces = []

    def observe_audio(self, item, info):
        while (samples := (yield)) is not None:
            self.pieces.append(samples)
        return Measurement({"rate": info.rate})


class PairListener(AudioPairMetric):
    name, scores = "pairs", {}

    def __init__(self):
        self.pieces = []

    def observe_audio_pairs(self, item, info):
        while (pair := (yield)) is not None:
            self.pieces.append(pair)
        return Measurement({"rate": info.rate})


@pytest.mark.parametrize(("first", "second"), [("long", "short"), ("short", "long"), ("long", "long")])
def test_pairs_are_pieces_of_equal_length_and_then_the_rest(tmp_path, first, second):
    signals = {"long": noise(2.5), "short": noise(1.3, 1)}
    for name, samples in signals.items():
        write_audio(tmp_path / f"{name}.wav", samples, RATE)
    listener = PairListener()
    item = Item(Sample(id="1", prompt="", audio=f"{first}.wav", reference=f"{second}.wav"), tmp_path)
    assert listener.measure(item).values == {"rate": RATE}
    common = [pair for pair in listener.pieces if len(pair[0]) and len(pair[1])]
    rest = listener.pieces[len(common) :]
    assert all(len(a) == len(b) for a, b in common)
    assert all(not len(a) or not len(b) for a, b in rest)
    for index, name in enumerate((first, second)):
        heard = np.concatenate([pair[index] for pair in listener.pieces])
        np.testing.assert_allclose(heard, signals[name][0], atol=1e-4)  # 16 bits


def test_pairs_have_the_rate_of_the_reference_and_one_channel(tmp_path):
    write_audio(tmp_path / "a.wav", noise(1.5, 0, channels=2, rate=16_000), 16_000)
    write_audio(tmp_path / "b.wav", noise(1.5), RATE)
    listener = PairListener()
    listener.measure(Item(Sample(id="1", prompt="", audio="a.wav", reference="b.wav"), tmp_path))
    expected = read_audio(tmp_path / "a.wav").resample(RATE).mono
    heard = np.concatenate([pair[0] for pair in listener.pieces])
    assert len(heard) == len(expected)
    np.testing.assert_allclose(heard, expected, atol=1e-5)


def test_audio_in_pieces_is_resampled_as_if_it_were_complete():
    audio = Audio(noise(3, channels=2, rate=48_000), 48_000)
    stream = MonoStream(AudioInfo(48_000), 16_000)
    parts = [stream.add(each) for each in np.array_split(audio.samples_CS, 7, axis=1)]
    found = np.concatenate([*parts, stream.finish()])
    np.testing.assert_allclose(found, audio.resample(16_000).mono, atol=1e-6)


def test_windows_of_a_file_are_those_of_its_samples(tmp_path):
    write_audio(tmp_path / "a.wav", noise(3.3), RATE)
    samples = read_audio(tmp_path / "a.wav").samples_CS[0]
    assert count_samples(tmp_path / "a.wav", RATE) == len(samples) == 26_400
    starts = [0, 100, 9000, 25_000, 30_000]
    found = list(audio_windows(tmp_path / "a.wav", RATE, starts, 2000))
    padded = np.pad(samples, (0, 10_000))
    for start, window in zip(starts, found, strict=True):
        assert np.array_equal(window, padded[start : start + 2000])


def test_each_file_is_decoded_once_for_all_metrics(tmp_path, monkeypatch):
    opened, real = [], audio_pass.audio_pieces
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav", noise(1), RATE)

    def counted(path):
        opened.append(path.name)
        return real(path)

    monkeypatch.setattr(audio_pass, "audio_pieces", counted)
    sample = Sample(id="1", prompt="", audio="a.wav", reference="b.wav", facts={"impacts": []})
    metrics = [Loudness(), AudioFidelity(), ReferenceOnsets(), BounceOnsets(), Listener()]
    records = measure_sample(sample, root=tmp_path, metrics=metrics)
    assert [each.dropped for each in records] == [None] * len(metrics)
    assert sorted(opened) == ["a.wav", "b.wav"]


class Broken(Listener):
    name = "broken"

    def observe_audio(self, item, info):
        yield
        raise KeyError("key")


def test_what_fails_fails_alone(tmp_path):
    write_audio(tmp_path / "a.wav", noise(1), RATE)
    (tmp_path / "b.wav").write_text("no sound")

    def run(audio, reference):
        sample = Sample(id="1", prompt="", audio=audio, reference=reference)
        metrics = [Broken(), Listener(), PairListener()]
        return [each.dropped for each in measure_sample(sample, root=tmp_path, metrics=metrics)]

    assert run("a.wav", "a.wav") == ["KeyError: 'key'", None, None]
    broken, fine, pairs = run("a.wav", "b.wav")
    assert (broken, fine) == ("KeyError: 'key'", None)
    assert pairs.startswith("DecodeError: b.wav") or "b.wav" in pairs
    assert run("a.wav", None)[2] == "sample has no `reference`"
    assert all("b.wav" in reason for reason in run("b.wav", "a.wav"))
    assert run(None, "a.wav") == ["sample has no `audio`"] * 3


def metrics_of_packages():
    found = [SpeechFraction] if find_spec("silero_vad") else []
    return [*found, Pitch] if find_spec("torchcrepe") else found


@pytest.mark.parametrize("kinds", [[Loudness, AudioFidelity, ReferenceOnsets], metrics_of_packages()])
def test_memory_does_not_grow_with_the_length(kinds, monkeypatch, tmp_path):
    slow = kinds and kinds[0] is not Loudness
    rate, lengths = (16_000, (1, 3)) if slow else (48_000, (4, 24))

    def peak(seconds):
        def synthetic(path):
            pieces = (noise(1, seed, 1 if slow else 2, rate) for seed in range(seconds))
            return AudioInfo(rate), pieces

        monkeypatch.setattr(audio_pass, "open_audio", synthetic)
        metrics, tasks, pairs = [kind() for kind in kinds], {}, {}
        for metric in metrics:
            if isinstance(metric, AudioMetric):
                tasks[metric.name] = lambda info, metric=metric: metric.observe_audio(None, info)
            else:
                pairs[metric.name] = lambda info, metric=metric: metric.observe_audio_pairs(None, info)
        tracemalloc.start()
        found = run_audio_pass(tmp_path, tasks, pairs, lambda: tmp_path)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert not [each for each in found.values() if isinstance(each, Exception)]
        return used

    peak(1)  # imports
    short, long = (peak(seconds) for seconds in lengths)
    assert long - short < 4 * rate  # less than one second of mono; all samples would be much more


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    for name in ("a.wav", "none.wav"):
        with pytest.raises(DecodeError, match=name):
            read_audio(tmp_path / name)
    for metric, method in ((AudioMetric, "observe_audio"), (AudioPairMetric, "observe_audio_pairs")):
        with pytest.raises(NotImplementedError):
            getattr(metric(), method)(None, AudioInfo(1))
