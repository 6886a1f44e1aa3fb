"""Match of video and audio: content (ImageBind) and synchronization (Synchformer's DeSync)."""

from typing import Any

import numpy as np

from eval.alignment.config import SyncConfig
from eval.backbones.audio_windows import audio_windows, count_samples
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.preprocessing import center_crop, normalize, num_resampled, resampled
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_frames
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.distribution.inception_score import softmax

DEFAULTS = SyncConfig()


class ImageBind(FrameMetric):
    """Cosine of video and audio in a joint space. Insensitive to timing."""

    name = "imagebind"
    scores = {"imagebind": Score(1, "", "cosine of video and audio; papers print it times 100")}

    def __init__(self, programs: ExportedPrograms) -> None:
        self.programs = programs

    def describe(self) -> dict[str, Any]:
        return self.programs.describe()

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        audio_D = self.programs.embed_audio(item.audio_path)
        video_D = yield from self.programs.observe_video(info)
        return Measurement({self.name: float(video_D @ audio_D)})


class Contrastive(ImageBind):
    """Cosine of video and audio by a contrastive model of ours, which compares them part by part in time."""

    name = "contrastive"
    scores = {"contrastive": Score(1, "", "cosine of video and audio, mean over equal parts of the clip")}


class DeSync(FrameMetric):
    """Offset between audio and video predicted by Synchformer on the first and the last window."""

    name = "desync"
    scores = {
        "desync": Score(-1, "s", "absolute offset of the most probable class, mean of first and last window"),
        "desync_expected": Score(-1, "s", "absolute offset, mean over the classes' probabilities"),
        "desync_near": Score(1, FRACTION, "windows whose most probable offset is at most `near_s`"),
    }

    def __init__(self, programs: ExportedPrograms, settings: SyncConfig = DEFAULTS) -> None:
        self.programs, self.settings = programs, settings

    def describe(self) -> dict[str, Any]:
        windows = "first and last; shorter videos are dropped"
        return {**self.programs.describe(), "windows": windows, "near_s": self.settings.near_s}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        offsets_s = np.array(self.programs.specs["sync"].offsets_s)
        windows = yield from self._windows(item, info)
        logits = np.concatenate([self._logits(*each) for each in windows])
        if logits.shape[1] != len(offsets_s):
            raise ValueError(
                f"{self.programs.model}: {logits.shape[1]} classes for {len(offsets_s)} offsets_s"
            )
        most_probable = offsets_s[logits.argmax(1)]
        values = {
            "desync": np.abs(most_probable).mean(),
            "desync_expected": (softmax(logits) @ np.abs(offsets_s)).mean(),
            "desync_near": (np.abs(most_probable) <= self.settings.near_s + 1e-9).mean(),
        }
        detail = {"offsets_s": most_probable.tolist()}
        return Measurement({name: float(value) for name, value in values.items()}, detail)

    def _windows(self, item: Item, info: StreamInfo) -> FrameTask:
        """Return frames and samples of the first and the last window, aligned in time."""
        t = self.programs.specs["sync"]
        total, num_samples = num_resampled(info, t.fps), count_samples(item.audio_path, t.rate)
        num_frames = round(t.fps * t.seconds)
        length_s = min(total / t.fps, num_samples / t.rate)
        if length_s < t.seconds - 0.5 / t.fps:
            raise ValueError(
                f"{self.programs.model} needs {t.seconds:g} s of video and audio, got {length_s:.2f}"
            )
        last = max(0, round((length_s - t.seconds) * t.fps))
        last = min(last, total - num_frames)
        indices = np.unique(np.array([0, last])[:, None] + np.arange(num_frames))
        frames_THWC = yield from resampled(t.fps, take_frames(indices))
        starts = [round(start / t.fps * t.rate) for start in (0, last)]
        heard = audio_windows(item.audio_path, t.rate, starts, round(t.rate * t.seconds))
        return [
            (frames_THWC[first : first + num_frames], samples_S)
            for first, samples_S in zip(np.searchsorted(indices, (0, last)), heard, strict=True)
        ]

    def _logits(self, frames_THWC: np.ndarray, samples_S: np.ndarray) -> np.ndarray:
        t = self.programs.specs["sync"]
        pixels = normalize(center_crop(frames_THWC, t.size), t.mean, t.std)[None]
        return self.programs.call("sync", pixels, samples_S[None])
