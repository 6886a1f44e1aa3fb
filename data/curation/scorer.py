"""All scores of one clip: header, one pass over its frames, its audio, fingerprints and a preview.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data.curation import (
    audio_events,
    diegetic,
    fingerprints,
    joint_embedding,
    motion,
    scene_cuts,
    subjects,
    text_search,
)
from data.curation.borders import border_fraction
from data.curation.camera import measure_camera
from data.curation.clip_reader import ClipFrames, read_clip, read_header, read_mono
from data.curation.config import ScoringConfig
from src.core.media_io.errors import MediaError

PREVIEW_HEIGHT, PREVIEW_FRAMES = 90, 4


@dataclass(frozen=True)
class Clip:
    """An interval of a file. `end_s` None is the file's end; `id` is unique in a pool."""

    id: str
    path: str
    start_s: float = 0.0
    end_s: float | None = None
    captions: tuple[str, ...] = ()


def score_header(root: Path, clip: Clip) -> dict[str, Any]:
    """Return the scores that need no decoding, and the interval's end.

    Raises:
        MediaError: the file cannot be opened, or the interval is empty.
    """
    header = read_header(root / clip.path)
    length = header["duration_s"]
    end_s = min(clip.end_s if clip.end_s is not None else length, length)
    if end_s <= clip.start_s:
        raise MediaError("bad interval", f"{clip.start_s:g} to {end_s:g} s of {length:g} s")
    return header | {"end_s": end_s, "duration_s": end_s - clip.start_s}


def score_clip(root: Path, clip: Clip, config: ScoringConfig) -> dict[str, Any]:
    """Return a row of the table of scores: header, decoded scores, fingerprint, preview.

    Raises:
        MediaError: the file cannot be decoded.
        ValueError: a network is missing or does not fit.
    """
    row = score_header(root, clip)
    frames = read_clip(root / clip.path, clip.start_s, row["end_s"], row["fps"], config)
    row |= score_frames(frames, config)
    if "audio" in config.groups and row["has_audio"]:
        row |= score_audio(read_mono(root / clip.path, clip.start_s, row["end_s"]))
        if config.contrastive:
            cosine = diegetic.audio_video_cosine(
                root / clip.path, clip.start_s, row["end_s"], config.contrastive
            )
            row |= {} if cosine is None else {"audio_video_cosine": cosine}
    row["preview"] = draw_preview(frames.stills_THWC)
    return row


def score_frames(frames: ClipFrames, config: ScoringConfig) -> dict[str, Any]:
    """Return the scores of decoded frames, of the groups in the config."""
    row: dict[str, Any] = {"num_frames": frames.num_frames}
    groups = set(config.groups)
    gray_THW = frames.gray_THW if groups & {"motion", "camera", "subject"} else None
    if "text" in groups:
        row["text_score"], row["text_area"] = text_search.text_scores(
            frames.text_frames_THWC, config.text_side
        )
    if "borders" in groups:
        row["border_fraction"] = border_fraction(frames.stills_THWC)
    if "cuts" in groups:
        cuts = scene_cuts.find_cuts(frames.small_THWC, frames.fps, frames.content_T, frames.content_fps)
        row["num_cuts"] = len(cuts)
        row["shots_per_second"] = scene_cuts.shots_per_second(frames.content_T, frames.content_fps)
    if "motion" in groups:
        row["vmaf_motion"], row["motion_vectors"] = frames.vmaf_motion, frames.motion_vectors
        row["changed_fraction"] = motion.changed_fraction(gray_THW, frames.fps)
    if "camera" in groups:
        row |= measure_camera(gray_THW, frames.times_T).scores()
    if "subject" in groups:
        row["subject_fraction"] = (
            subjects.detected_fraction(frames.stills_THWC, config.detector)
            if config.detector
            else subjects.moving_fraction(gray_THW, frames.fps)
        )
    return row | _network_scores(frames, config, groups)


def _network_scores(frames: ClipFrames, config: ScoringConfig, groups: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    middle = frames.stills_THWC[len(frames.stills_THWC) // 2]
    if "fingerprint" in groups:
        row["hashes"] = [fingerprints.perceptual_hash(frame) for frame in frames.stills_THWC]
        row["embedding"] = fingerprints.embed(frames.stills_THWC, config.copy_detection)
    if config.clip_l14:
        row["clip_embedding"] = joint_embedding.load_clip(config.clip_l14).embed_frames(middle[None])[0]
        if "aesthetics" in groups and config.aesthetic_head:
            row["aesthetic_score"] = joint_embedding.aesthetic_score(
                middle, config.clip_l14, config.aesthetic_head
            )
    return row


def score_audio(mono_S: np.ndarray) -> dict[str, float]:
    """Return the scores of audio at audio_events.RATE."""
    return {
        "voice_fraction": audio_events.voice_fraction(mono_S),
        "music_fraction": audio_events.music_fraction(mono_S),
        "silence_fraction": audio_events.silence_fraction(mono_S),
        "loudness_dbfs": float(audio_events.level_dbfs(mono_S)),
    }


def draw_preview(stills_THWC: np.ndarray) -> bytes:
    """Return a JPEG of a few frames side by side, for the report."""
    indices = np.linspace(0, len(stills_THWC) - 1, PREVIEW_FRAMES).round().astype(int)
    scale = PREVIEW_HEIGHT / stills_THWC.shape[1]
    size = (max(1, round(stills_THWC.shape[2] * scale)), PREVIEW_HEIGHT)
    small = [cv2.resize(stills_THWC[i], size, interpolation=cv2.INTER_AREA) for i in indices]
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(small)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
