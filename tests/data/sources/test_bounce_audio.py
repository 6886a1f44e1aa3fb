"""Prepared Bounce sets with audio: videos, audio alone, prompts, folders of packages."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data import prepare
from data.bounce import audio_prompts
from data.bounce.audio import render_audio
from data.bounce.audio_scene import is_test_audio
from data.bounce.facts import VideoFacts
from data.curation.truth.speech import ALSA
from data.sources.audio import audio_folder
from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.core.media_io.audio_writer import write_audio
from src.streaming.reader import Dataset
from src.streaming.schema.clip_audio import decode_audio

PARTS = "[impacts,ambience,music]"


def read(root: Path) -> list:
    dataset = Dataset(root)
    return [reader[i] for reader in dataset.readers.values() for i in range(len(reader))]


def test_videos_with_audio(tmp_path: Path) -> None:
    out = tmp_path / "videos"
    prepare.main(
        [
            f"out={out}",
            "num_workers=0",
            "world.a.num_videos=2",
            "world.a.num_val_videos=0",
            "world.a.num_frames=24",
            "world.a.height=16",
            "world.a.width=16",
            "world.a.wordings=[plain]",
            "world.a.with_audio=true",
            f"world.a.audio.parts={PARTS}",
            "world.a.audio.min_impacts=1",
            "world.a.audio.stems=true",
        ]
    )
    for record in read(out / "train"):
        facts = VideoFacts.from_dict(record.facts)
        assert record.audio_CS.shape == (1, 72_000)
        expected = torch.from_numpy(render_audio(facts) * 32768).round().to(torch.int16)
        assert (record.audio_CS - expected).abs().max() <= 1
        stems = {name: decode_audio(stem) for name, stem in record.stems.items()}
        assert set(stems) == {"impacts", "ambience", "music"}
        assert (sum(stems.values()) - record.audio_CS).abs().max() <= 3
        first = round(facts.impacts[0].time_s * 48_000)
        assert stems["impacts"][:, : first - 1].abs().max() == 0
        (caption,) = record.audio_captions
        assert facts.music.instrument in AudioCaption.parse(caption).music_description
        assert record.captions[0].startswith(facts.camera.capitalize())
        assert record.source["audio_levels"]["silence_fraction"] < 1
    card = (out / "DATA.md").read_text(encoding="utf-8")
    assert "LUFS" in card


def test_audio_alone_has_captions_without_looks(tmp_path: Path) -> None:
    out = tmp_path / "audio"
    prepare.main(
        [
            f"out={out}",
            "source=audio",
            "num_workers=0",
            "audio.seconds=2.0",
            "audio.bounce.a.num_clips=2",
            "audio.bounce.a.num_val_clips=0",
            "audio.bounce.a.audio.min_impacts=1",
            "audio.bounce.a.audio.stems=true",
            "audio.bounce.a.audio.split=train",
        ]
    )
    for record in read(out / "train"):
        facts = VideoFacts.from_dict(record.facts)
        assert not is_test_audio(facts)
        assert (sum(record.stems.values()) - record.audio_CS).abs().max() <= 3
        assert not record.stems["music"].any()
        for text in record.captions:
            description = AudioCaption.parse(text).description
            assert "object" in description
            assert not any(one.color in description for one in facts.objects)
        assert record.source["audio_levels"]["bandwidth_hz"] > 1000


def test_prompts_are_never_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    audio_prompts.main([str(path), "num_prompts=6", "quality=7.0", "max_impacts=5"])
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({entry["prompt"] for entry in entries}) == 6
    for entry in entries:
        facts = VideoFacts.from_dict(entry["facts"])
        assert is_test_audio(facts)
        assert 1 <= len(facts.impacts) <= 5
        caption = AudioCaption.parse(entry["prompt"])
        assert caption.quality == 7.0
        assert f"instrument:{facts.music.instrument}" in entry["tags"]
        assert all(f"material:{facts.objects[i].material}" in entry["tags"] for i in facts.heard_objects)
    with pytest.raises(UserError, match="only about"):
        audio_prompts.main([str(path), "num_prompts=500", "parts=[ambience,music]", "seconds=1.0", *NARROW])


NARROW = ("world.backgrounds=[sand]", "world.max_objects=1")


@pytest.mark.skipif(not ALSA.is_dir(), reason="alsa-utils is not installed")
def test_clips_with_speech_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "out", tmp_path / "files"
    folder.mkdir()
    for name in ("Front_Center", "Noise"):
        (folder / f"{name}.wav").symlink_to(ALSA / f"{name}.wav")
    settings = [f"out={out}", "source=audio", f"audio.folder={folder}", "audio.seconds=1.3", "num_workers=0"]
    prepare.main([*settings, "audio.max_voice_fraction=0.2"])
    assert [record.id for record in read(out / "train")] == ["Noise.wav#0"]
    rejected = [json.loads(line) for line in (out / "train/rejected.jsonl").read_text().splitlines()]
    speech = next(one for one in rejected if one["reason"] == "speech or singing")
    assert speech["source"] == "Front_Center.wav#0"
    assert "of the time, max_voice_fraction=0.2" in speech["detail"]


def test_folders_of_packages_and_short_files(tmp_path: Path) -> None:
    assert audio_folder("json:").name == "json"
    assert audio_folder("some/folder") == Path("some/folder")
    with pytest.raises(UserError, match="the Python package no_such_package is not installed"):
        audio_folder("no_such_package:data")
    folder = tmp_path / "files"
    folder.mkdir()
    write_audio(folder / "short.wav", np.full((1, 24_000), 0.1, np.float32), 48_000)
    write_audio(folder / "long.flac", np.full((1, 60_000), 0.1, np.float32), 48_000)
    settings = ["source=audio", f"audio.folder={folder}", "audio.seconds=1.0", "num_workers=0"]
    prepare.main([f"out={tmp_path / 'a'}", *settings, "audio.pad_short=true"])
    records = {record.id: record for record in read(tmp_path / "a/train")}
    assert sorted(records) == ["long.flac#0", "short.wav#0"]
    assert records["short.wav#0"].audio_CS[0, 23_999] != 0
    assert not records["short.wav#0"].audio_CS[0, 24_000:].any()
    prepare.main([f"out={tmp_path / 'b'}", *settings, "audio.names=['*.flac']"])
    assert [record.id for record in read(tmp_path / "b/train")] == ["long.flac#0"]
