"""Match of video or audio with the prompt: CLIP score, ViCLIP score, CLAP score."""

from typing import Any

import numpy as np

from eval.backbones.clip_clap import BATCH, CLAP, CLIP
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.preprocessing import sampled_indices
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches
from eval.core.results import FRACTION, Item, Measurement, Score

_CUT = Score(-1, FRACTION, "texts truncated to the network's context, with the end token kept")


class ClipScore(FrameMetric):
    """max(100 cos(text, frame), 0), mean over frames (Hessel et al. 2021, without its factor of 2.5)."""

    name = "clip_score"
    scores = {
        "clip_score": Score(1, "", "max(100 cosine, 0), mean over frames"),
        "clip_score_truncated": _CUT,
    }

    def __init__(self, clip: CLIP, num_frames: int) -> None:
        self.clip, self.num_frames = clip, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.clip.describe(), "frames": self.num_frames or "all"}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        text_D, cut = self.clip.embed_text(require_prompt(item))
        indices = sampled_indices(info.num_frames, self.num_frames)
        frames_TD = np.concatenate((yield from map_batches(indices, BATCH, self.clip.embed_frames)))
        cosines_T = frames_TD @ text_D
        score = float(np.maximum(100 * cosines_T, 0).mean())
        detail = {"cosines": np.round(cosines_T, 4).tolist()}
        return Measurement({"clip_score": score, "clip_score_truncated": float(cut)}, detail)


class ViCLIPScore(FrameMetric):
    """Cosine of the text and the full video by ViCLIP: VBench's overall consistency."""

    name = "viclip"
    scores = {"viclip": Score(1, "", "cosine of text and video"), "viclip_truncated": _CUT}

    def __init__(self, programs: ExportedPrograms) -> None:
        self.programs = programs

    def describe(self) -> dict[str, Any]:
        return self.programs.describe()

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        text_D, cut = self.programs.embed_text(require_prompt(item))
        video_D = yield from self.programs.observe_video(info)
        cosine = float(video_D @ text_D)
        return Measurement({"viclip": cosine, "viclip_truncated": float(cut)})


class CLAPScore:
    """Cosine of the text and the audio, by CLAP."""

    name = "clap"
    scores = {"clap": Score(1, "", "cosine of text and audio"), "clap_truncated": _CUT}

    def __init__(self, clap: CLAP) -> None:
        self.clap = clap

    def describe(self) -> dict[str, Any]:
        windows = "mean of channels; windows evenly over the audio, mean of their unit vectors"
        return {**self.clap.describe(), "windows": windows}

    def measure(self, item: Item) -> Measurement:
        text_D, cut = self.clap.embed_text(require_prompt(item))
        cosine = float(self.clap.embed_audio(item.audio_path) @ text_D)
        return Measurement({"clap": cosine, "clap_truncated": float(cut)})


def require_prompt(item: Item) -> str:
    """Return the sample's prompt; raise ValueError if it is empty."""
    if not item.sample.prompt.strip():
        raise ValueError("sample has no prompt")
    return item.sample.prompt
