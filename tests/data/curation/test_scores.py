"""Scores on arrays whose right values are known, and against the ffmpeg program and PySceneDetect."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from data.curation import motion, scene_cuts
from data.curation.borders import border_fraction
from data.curation.clip_reader import read_clip
from data.curation.config import ScoringConfig
from data.curation.dissolves import find_dissolves
from data.curation.score_table import GROUPS
from data.curation.scorer import score_frames
from data.curation.store import SCHEMA
from data.curation.subjects import moving_fraction
from data.curation.truth.encoders import encode
from data.curation.truth.overlays import add_text
from tests.fixtures.curation import moving_square, noise_image

FPS = 16.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a square of 48 pixels that moves 3 pixels a frame over a still background."""
    return encode(tmp_path_factory.mktemp("clip"), "square", moving_square(32, 3), FPS, "x264-18")


def test_vmaf_motion_is_ffmpeg_s(clip: Path) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-hide_banner", "-i", str(clip), "-vf", "vmafmotion", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    expected = float(re.search(r"VMAF Motion avg: ([\d.]+)", log)[1])
    found = read_clip(clip, 0, 2, FPS, ScoringConfig()).vmaf_motion
    assert expected > 0.5
    assert found == pytest.approx(expected, rel=0.03)


def test_motion_vectors_are_those_of_the_codec(tmp_path: Path) -> None:
    image = noise_image(128, 192)
    shifted = np.stack([np.roll(image, 2 * t, 1)[:, 32:160] for t in range(24)])
    path = encode(tmp_path, "pan", shifted, FPS, "mpeg4")
    found = read_clip(path, 0, 1.5, FPS, ScoringConfig()).motion_vectors
    assert found == pytest.approx(2 * 768 / 128, rel=0.15)  # 2 pixels at a shorter side of 128


def test_codecs_without_motion_vectors_lack_the_score(tmp_path: Path) -> None:
    path = encode(tmp_path, "square", moving_square(8, 3), FPS, "vp9")
    assert read_clip(path, 0, 0.5, FPS, ScoringConfig()).motion_vectors is None


def test_changes_of_content_are_pyscenedetect_s() -> None:
    scenedetect = pytest.importorskip("scenedetect")
    frames = moving_square(12, 9)
    frames[6:] = 255 - frames[6:]
    detector = scenedetect.ContentDetector()
    stats = scenedetect.StatsManager()
    detector.stats_manager = stats
    for t, frame in enumerate(frames):
        detector.process_frame(scenedetect.FrameTimecode(t, FPS), np.ascontiguousarray(frame[..., ::-1]))
    expected = [
        stats.get_metrics(scenedetect.FrameTimecode(t, FPS), ["content_val"])[0]
        for t in range(1, len(frames))
    ]
    found = scene_cuts.ContentChange()
    for frame in frames:
        found.add(frame)
    assert found.values[1:] == pytest.approx(expected, abs=1e-3)


def test_shots_per_second_are_those_of_the_adaptive_detector() -> None:
    scenedetect = pytest.importorskip("scenedetect")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (1, 64, 96, 3), np.uint8).repeat(48, 0)  # cuts among still frames
    for start in (12, 20, 30):
        frames[start:] = rng.integers(0, 256, (64, 96, 3), np.uint8)
    pan = np.stack([np.roll(frames[0], 9 * t, 1) for t in range(48)])  # each frame changes much
    for video in (frames, pan):
        detector = scenedetect.AdaptiveDetector(min_scene_len=1, min_content_val=scene_cuts.CONTENT_THRESHOLD)
        cuts = [
            cut
            for t, frame in enumerate(video)
            for cut in detector.process_frame(scenedetect.FrameTimecode(t, FPS), frame[..., ::-1].copy())
        ]
        content = scene_cuts.ContentChange()
        for frame in video:
            content.add(frame)
        values = np.array(content.values)
        assert scene_cuts.shots_per_second(values, FPS) == pytest.approx((1 + len(cuts)) / 3)
        assert (values >= scene_cuts.CONTENT_THRESHOLD).sum() == (3 if video is frames else 47)


def test_text_in_either_of_two_frames_is_found(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    frames = noise_image(128, 192)[None].repeat(16, 0)
    titled = frames.copy()
    titled[8:] = add_text(
        frames[8:], np.random.default_rng(1), 24
    )  # the second frame searched, not the first
    config = ScoringConfig(groups=("text",))
    for name, video, found in (("plain", frames, False), ("titled", titled, True)):
        clip_frames = read_clip(encode(tmp_path, name, video, FPS, "x264-18"), 0, 1, FPS, config)
        assert len(clip_frames.text_frames_THWC) == 2
        row = score_frames(clip_frames, config)
        assert (row["text_score"] > 0.6) == found
        assert (row["text_area"] > 0.01) == found


def cuts_of(frames_THWC: np.ndarray) -> list[float]:
    content = scene_cuts.ContentChange()
    for frame in frames_THWC:
        content.add(frame)
    return scene_cuts.find_cuts(frames_THWC, FPS, np.array(content.values), FPS)


def test_cuts_dissolves_and_fades_are_found_where_they_are() -> None:
    a, b = moving_square(32, 2, seed=1), moving_square(32, 2, seed=2)
    assert cuts_of(a) == []
    assert cuts_of(np.concatenate([a[:16], b[16:]])) == [pytest.approx(1.0, abs=0.07)]
    ramp = np.clip((np.arange(32) - 10) / 12, 0, 1)[:, None, None, None]
    assert cuts_of((a * (1 - ramp) + b * ramp).astype(np.uint8)) == [pytest.approx(1.0, abs=0.5)]
    assert len(cuts_of((a * (1 - ramp)).astype(np.uint8))) == 1


def test_a_dissolve_between_shots_that_pan_is_found_and_a_pan_alone_is_not() -> None:
    a, b = (np.stack([np.roll(noise_image(128, 128, seed), 4 * t, 1) for t in range(32)]) for seed in (3, 4))
    ramp = np.clip((np.arange(32) - 11) / 10, 0, 1)[:, None, None, None]
    dissolve = (a * (1 - ramp) + b * ramp).astype(np.uint8)
    assert cuts_of(dissolve) == [pytest.approx(1.0, abs=0.3)]
    assert cuts_of(a) == []
    assert set(find_dissolves(dissolve, FPS)) <= set(range(11, 22))
    assert find_dissolves(dissolve, FPS)
    faint = (100 + 0.2 * (b.astype(np.float32) - 128)).clip(0, 255)  # a fifth of the contrast
    assert find_dissolves((a * (1 - ramp) + faint * ramp).astype(np.uint8), FPS)


def test_a_pan_onto_another_scene_and_an_object_that_crosses_are_no_dissolve() -> None:
    """Parts of both scenes are seen at once, but never both at one place."""
    wide = np.concatenate([noise_image(128, 128, 3), 255 - noise_image(128, 128, 4)], 1)
    pan = np.stack([wide[:, 4 * t : 4 * t + 128] for t in range(32)])
    crossing = np.repeat(wide[None, :, :128], 32, 0)
    for t in range(32):
        crossing[t, :, 2 * t : 2 * t + 60] = wide[:, 128:188]
    for frames in (pan, crossing):
        assert find_dissolves(frames, FPS) == []


def test_a_flash_is_no_cut() -> None:
    frames = moving_square(32, 2).astype(np.float32)
    frames[14:16] += 120
    assert cuts_of(np.clip(frames, 0, 255).astype(np.uint8)) == []


@pytest.mark.parametrize("color", [0, 90, 255])
def test_the_width_of_a_border_is_measured(color: int) -> None:
    frames = moving_square(4, 2)
    frames[:, :16] = color
    frames[:, -16:] = color
    assert border_fraction(frames) == pytest.approx(16 / 128, abs=0.01)
    assert border_fraction(frames.transpose(0, 2, 1, 3)) == pytest.approx(16 / 128, abs=0.01)


def test_a_plain_background_is_no_border() -> None:
    frames = np.full((4, 128, 128, 3), 200, np.uint8)
    y, x = np.mgrid[:128, :128]
    inside = ((y - 64) / 38) ** 2 + ((x - 60) / 30) ** 2 < 1
    frames[:, inside] = noise_image(128, 128)[inside]
    assert border_fraction(frames) == 0


def test_changed_fraction_ignores_noise_and_flicker_and_sees_a_small_object() -> None:
    rng = np.random.default_rng(0)
    still = np.repeat(noise_image(128, 128)[None, ..., 0], 24, 0).astype(np.float32)
    flicker = still * (1 + 0.04 * np.sin(np.arange(24)))[:, None, None] + rng.normal(0, 4, still.shape)
    assert motion.changed_fraction(flicker.clip(0, 255).astype(np.uint8), 12.0) < 0.005
    moving = moving_square(24, 3, side=20)[..., 0]
    assert 0.02 < motion.changed_fraction(moving, 12.0) < 0.2


def test_flicker_that_a_codec_writes_unevenly_is_no_change() -> None:
    rng = np.random.default_rng(0)
    still = 90 + 0.3 * np.repeat(noise_image(128, 128)[None, ..., 0], 24, 0).astype(np.float32)
    frames = still * (1 + 0.06 * np.sin(0.7 * np.arange(24)))[:, None, None]
    for t in range(1, 24):
        late = np.kron(rng.random((16, 16)) < 0.2, np.ones((8, 8))) > 0
        frames[t][late] = frames[t - 1][late]
    gray_THW = frames.clip(0, 255).astype(np.uint8)
    assert (np.abs(motion.block_changes(gray_THW, 12.0, 0.5)) > motion.CHANGE).mean() > 0.1
    assert motion.changed_fraction(gray_THW, 12.0) < 0.02


def test_the_moving_region_is_the_subject() -> None:
    small, large = (moving_fraction(moving_square(24, 4, side=side)[..., 0], 12.0) for side in (16, 64))
    assert small < 0.1 < large


def test_every_documented_score_is_written(clip: Path) -> None:
    groups = tuple(name for name in GROUPS if name not in ("aesthetics", "audio", "text", "fingerprint"))
    row = score_frames(read_clip(clip, 0, 2, FPS, ScoringConfig(groups=groups)), ScoringConfig(groups=groups))
    assert {name for group in groups for name in GROUPS[group]} <= set(row) <= set(SCHEMA.names)


def test_small_frames_are_evenly_spaced(clip: Path) -> None:
    frames = read_clip(clip, 0, 2, FPS, ScoringConfig(fps=5))
    assert np.diff(frames.times_T) == pytest.approx(3 / FPS, abs=1e-3)
    assert frames.num_frames == 32
