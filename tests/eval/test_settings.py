"""Constants of metrics are settings: each changes what it says, and the record names it."""

import json
from dataclasses import fields
from importlib.util import find_spec

import numpy as np
import pytest

from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker.camera import classify_camera
from eval.bounce_checker.checker import analyze_video
from eval.bounce_checker.config import CheckerConfig
from eval.bounce_checker.metric import BounceMetric
from eval.config import EvalConfig
from eval.core.audio import write_audio
from eval.core.audio_pass import AudioInfo
from eval.core.frame_metric import measure_arrays
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import frames_of, run_task, take_evenly
from eval.core.manifest import Sample
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item
from eval.core.video import write_video
from eval.quality.config import (
    FidelityConfig,
    FreezeConfig,
    LoudnessConfig,
    PitchConfig,
    QualityConfig,
    SpectralConfig,
)
from eval.quality.fidelity import Fidelity
from eval.quality.loudness import AudioMeter
from eval.quality.low_level import LowLevelQuality
from eval.quality.pitch import PitchCounts
from eval.quality.spectral import AudioFidelity, compare_audio
from eval.quality.speech_detection import SpeechFraction
from eval.run import main
from src.core.fields import Config
from tests.fixtures.odd_media import ffmpeg
from tests.fixtures.videos import waves

RATE = 16_000


def tone(hertz=997, level=0.5, seconds=1.0):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_low_level_and_fidelity():
    video = np.repeat(np.arange(100, 108, dtype=np.uint8), 8 * 8 * 3).reshape(8, 8, 8, 3)  # one level a frame

    def values(**settings):
        return measure_arrays(LowLevelQuality(FreezeConfig(**settings)), video, fps=8.0).values

    assert (values()["frozen"], values()["freeze"]) == (0, 0)
    coarse = values(same=0.1)
    assert (coarse["frozen"], coarse["freeze"]) == (1, 1)
    assert values(same=0.1, min_freeze_s=2)["freeze"] == 0
    limited = Fidelity(FidelityConfig(max_db=60))
    assert measure_arrays(limited, video, video, fps=8.0).values["psnr"] == 60


def test_audio():
    def values(samples, **settings):
        meter = AudioMeter(RATE, settings=LoudnessConfig(**settings))
        meter.add(samples[None])
        return meter.values()

    assert values(tone())["clipped"] == 0
    assert values(tone(), clip_level=0.25)["clipped"] == pytest.approx(2 / 3, abs=0.01)  # asin(1/2)
    assert values(tone(), silence_db=-8)["silent"] == 1  # a sine's RMS is 3 dB below its peak of -6
    assert values(tone(), silence_db=-10)["silent"] == 0
    clicks = np.zeros(RATE, np.float32)
    clicks[:: RATE // 10] = 1
    assert values(clicks, silence_window_s=0.02)["silent"] == pytest.approx(0.8, abs=0.01)
    assert values(clicks, silence_window_s=0.1)["silent"] == 0
    two = tone(1000) + tone(5000, 0.005)  # 40 dB below
    assert values(two)["bandwidth_hz"] > 4900
    assert values(two, roll_off_db=-30)["bandwidth_hz"] < 1300
    skirts = [values(tone(), spectrum_size=size)["bandwidth_hz"] - 1000 for size in (256, 4096)]
    assert skirts[0] > 150 > 60 > skirts[1]


def test_audio_fidelity(tmp_path):
    real, other = tone(1000), tone(1000) + tone(6000, 0.05)

    def mel(**settings):
        return compare_audio(other, real, rate=RATE, settings=SpectralConfig(**settings))["mel"]

    usual = mel()
    assert mel(max_hz=4000.0) < usual / 5  # what differs is above
    assert mel(floor=1.0) == 0
    assert mel(num_bands=20) != pytest.approx(usual, rel=0.02)
    assert mel(windows_s=(0.1,)) != pytest.approx(usual, rel=0.02)
    with pytest.raises(ValueError, match="windows_s: expected one or more positive numbers"):
        SpectralConfig(windows_s=())
    with pytest.raises(ValueError, match="windows_s"):
        SpectralConfig(windows_s=(0.1, 0.0))
    write_audio(tmp_path / "a.wav", real[None], RATE)
    write_audio(tmp_path / "b.wav", real[None, : RATE // 4], RATE)
    item = Item(Sample(id="1", prompt="", audio="a.wav", reference="b.wav"), tmp_path)
    with pytest.raises(ValueError, match=r"differ in length: 1\.000 s, 0\.250 s"):
        AudioFidelity().measure(item)
    assert AudioFidelity(SpectralConfig(min_common=0.25)).measure(item).values["mel"] == 0


def test_pitch_and_voice(tmp_path):
    voiced = np.ones(4, bool)
    for near, expected in ((50.0, 0.5), (20.0, 0.25), (100.0, 0.75)):
        counts = PitchCounts(PitchConfig(near_cents=near))
        counts.add(np.array([0.0, 40, 80, 300]), voiced, np.zeros(4), voiced)
        assert counts.values()["f0_accuracy_crepe"] == expected
    if find_spec("silero_vad") is None:
        pytest.skip("needs silero_vad")
    write_audio(tmp_path / "a.wav", tone()[None], RATE)
    item = Item(Sample(id="1", prompt="", audio="a.wav"), tmp_path)
    assert SpeechFraction(QualityConfig().voice).measure(item).values == {"speech_silero": 0}
    assert (
        SpeechFraction(type(QualityConfig().voice)(threshold=1e-9)).measure(item).values["speech_silero"] == 1
    )


def test_pairs(tmp_path):
    write_video(tmp_path / "a.mp4", waves(1, 12), 12, crf=0)
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", "scale=32:24", "-c:v", "ffv1", tmp_path / "wide.mkv")
    write_video(tmp_path / "slow.mp4", waves(1, 12), 8, crf=0)

    def psnr(video, **settings):
        sample = Sample(id="1", prompt="", video=video, reference="a.mp4")
        return Fidelity(pairs=PairsConfig(**settings)).measure(Item(sample, tmp_path)).values["psnr"]

    with pytest.raises(ValueError, match="differ in shape"):
        psnr("wide.mkv")
    assert psnr("wide.mkv", aspect_tolerance=0.5) > 15
    with pytest.raises(ValueError, match="differ in length"):
        psnr("slow.mp4")
    assert psnr("slow.mp4", rate_tolerance=0.5) == 100
    assert psnr("a.mp4", time_tolerance_s=0.0) == 100
    assert "0.5" in Fidelity(pairs=PairsConfig(rate_tolerance=0.5)).describe()["preprocessing"]


def test_the_checker():
    world = WorldConfig(max_objects=1, cameras=("static shot",), holdout="include", split="all")
    video = make_video(6, world, num_frames=24, height=48, width=48, fps=16).video_THWC
    (seen,) = analyze_video(video, 16).objects
    assert str(seen) == "white triangle, moves up-left, bounces"
    for name, value in (("min_area", 0.9), ("min_strength", 50.0)):
        assert not analyze_video(video, 16, CheckerConfig(**{name: value})).objects
    assert not analyze_video(video, 16, CheckerConfig(min_chroma=5.0, min_lightness=1.0)).objects
    unknown = analyze_video(video, 16, CheckerConfig(min_similarity=1.0))
    assert {each.shape for each in unknown.objects} == {"unknown shape"}
    erratic = analyze_video(video, 16, CheckerConfig(max_rmse=1e-9))
    assert {each.direction for each in erratic.objects} == {"erratic"}
    still = analyze_video(video, 16, CheckerConfig(min_displacement=9.0))
    assert {each.direction for each in still.objects} == {"still"}
    assert not any(
        each.bounces for each in analyze_video(video, 16, CheckerConfig(min_deviation=9.0)).objects
    )
    assert not any(each.bounces for each in analyze_video(video, 16, CheckerConfig(min_turn=9.0)).objects)


def test_the_camera():
    ramp, still = np.linspace(0, 1, 16), np.zeros(16)
    moves = {
        "min_pan": np.column_stack([0.3 * 64 * ramp, still, np.ones(16)]),
        "min_zoom": np.column_stack([still, still, np.exp(0.3 * ramp)]),
        "min_shake": np.column_stack([2.0 * (-1.0) ** np.arange(16), still, np.ones(16)]),
    }
    for name, view in moves.items():
        assert classify_camera(view, 64) != "static shot"
        above = CheckerConfig(**{"min_shake": 9.0, name: 9.0})
        assert classify_camera(view, 64, above) == "static shot"


def test_long_videos_are_thinned():
    frames = np.arange(21, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    for num, expected, fps in ((30, range(21), 10.0), (6, range(0, 21, 4), 2.5), (21, range(21), 10.0)):
        info = StreamInfo(21, 10.0, 2, 2)
        found, rate = run_task(take_evenly(info, num), frames_of(frames, 10.0))
        assert found[:, 0, 0, 0].tolist() == list(expected)
        assert rate == pytest.approx(fps)
    assert BounceMetric(CheckerConfig(max_frames=9)).describe()["settings"]["max_frames"] == 9
    assert AudioInfo(1).channels == ()


def test_settings_are_checked_shown_and_recorded(tmp_path, capsys):
    write_audio(tmp_path / "in" / "a.wav", tone()[None], RATE)
    main([f"videos={tmp_path}/in", f"out={tmp_path}/out", "quality.audio.silence_db=-8", "sheet_rows=0"])
    lines = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    silent = next(each for each in map(json.loads, lines) if each["score"] == "silent")
    assert silent["mean"] == 1
    assert silent["measured"]["settings"]["silence_db"] == -8
    capsys.readouterr()
    main(["--help"])
    text = capsys.readouterr().out
    for group in ("quality", "pairs", "bounce", "alignment"):
        assert group in text
    wrong = {
        "same": -1, "min_freeze_s": -1, "max_db": 0, "clip_level": 0, "silence_window_s": 0, "roll_off_db": 0,
        "spectrum_size": 15, "num_bands": 0, "max_hz": 0, "floor": 0, "min_common": 0, "part_s": 0.5,
        "voiced": 0, "near_cents": -1, "threshold": 1, "aspect_tolerance": -0.1, "rate_tolerance": -0.1,
        "time_tolerance_s": -1, "max_frames": 1, "min_chroma": 0, "min_lightness": 1.1, "min_area": 0,
        "min_strength": 0, "min_similarity": 1.1, "min_displacement": 0, "min_turn": 0, "min_deviation": 0,
        "max_rmse": 0, "min_zoom": 0, "min_pan": 0, "min_shake": 0,
    }  # fmt: skip
    too_large = {"min_common": 1.1, "voiced": 1, "of_strongest": 1.1, "num_neighbors": 0}
    right = {  # at the edge of what is allowed, or next to it
        "same": 0, "min_freeze_s": 0, "max_db": 0.5, "clip_level": 0.5, "silence_window_s": 0.5,
        "roll_off_db": -0.5, "spectrum_size": 16, "num_bands": 1, "max_hz": 0.5, "floor": 0.5,
        "min_common": 1, "part_s": 1, "voiced": 0.01, "near_cents": 0, "threshold": 0.99,
        "aspect_tolerance": 0, "rate_tolerance": 0, "time_tolerance_s": 0, "max_frames": 2,
        "min_chroma": 0.5, "min_lightness": 1, "min_area": 0.5, "min_strength": 0.5, "min_similarity": 1,
        "min_displacement": 0.5, "min_turn": 0.5, "min_deviation": 0.5, "max_rmse": 0.5, "min_zoom": 0.5,
        "min_pan": 0.5, "min_shake": 0.5, "above_around": 0, "above_silence": 0, "of_strongest": 0,
        "compression": 0.5, "max_offset_s": 0.5, "num_frames": 1, "near_s": 0, "num_neighbors": 1,
        "fd_inf_points": 3, "fd_inf_orders": 2,
    }  # fmt: skip
    tried = set()
    for group in groups_of(EvalConfig(videos="x"), "quality", "alignment", "pairs", "bounce", "sets"):
        for field in fields(group):
            for values in (wrong, too_large):
                if field.name in values:
                    with pytest.raises(ValueError, match=field.name):
                        type(group)(**{field.name: values[field.name]})
            if field.name in right:
                assert getattr(type(group)(**{field.name: right[field.name]}), field.name) is not None
            tried.add(field.name)
    assert tried >= set(wrong) | set(too_large) | set(right)


def groups_of(config, *names):
    """Yield the groups of settings of these names, and those in them."""
    for name in names:
        group = getattr(config, name)
        assert isinstance(group, Config)
        below = [field.name for field in fields(group) if isinstance(getattr(group, field.name), Config)]
        yield from groups_of(group, *below)
        yield group
