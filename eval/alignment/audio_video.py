"""Match of video and audio: content (ImageBind) and synchronization (Synchformer's DeSync)."""

from typing import Any

import numpy as np

from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.preprocessing import center_crop, normalize, padded_window, resample_frames
from eval.core.audio import Audio
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.core.video import Video
from eval.distribution.inception_score import softmax

NEAR_S = 0.2


class ImageBind:
    """Cosine of video and audio in a joint space. Insensitive to timing."""

    name = "imagebind"
    scores = {"imagebind": Score(1, "", "cosine of video and audio; papers print it times 100")}

    def __init__(self, programs: ExportedPrograms) -> None:
        self.programs = programs

    def describe(self) -> dict[str, Any]:
        return self.programs.describe()

    def measure(self, item: Item) -> Measurement:
        return Measurement(
            {
                "imagebind": float(
                    self.programs.embed_video(item.video) @ self.programs.embed_audio(item.audio)
                )
            }
        )


class DeSync:
    """Offset between audio and video predicted by Synchformer on the first and the last window."""

    name = "desync"
    scores = {
        "desync": Score(-1, "s", "absolute offset of the most probable class, mean of first and last window"),
        "desync_expected": Score(-1, "s", "absolute offset, mean over the classes' probabilities"),
        "desync_near": Score(1, FRACTION, f"windows whose most probable offset is at most {NEAR_S} s"),
    }

    def __init__(self, programs: ExportedPrograms) -> None:
        self.programs = programs

    def describe(self) -> dict[str, Any]:
        return {**self.programs.describe(), "windows": "first and last; shorter videos are dropped"}

    def measure(self, item: Item) -> Measurement:
        offsets_s = np.array(self.programs.specs["sync"].offsets_s)
        logits = np.concatenate([self._logits(*each) for each in self._windows(item.video, item.audio)])
        if logits.shape[1] != len(offsets_s):
            raise ValueError(
                f"{self.programs.model}: {logits.shape[1]} classes for {len(offsets_s)} offsets_s"
            )
        most_probable = offsets_s[logits.argmax(1)]
        values = {
            "desync": np.abs(most_probable).mean(),
            "desync_expected": (softmax(logits) @ np.abs(offsets_s)).mean(),
            "desync_near": (np.abs(most_probable) <= NEAR_S + 1e-9).mean(),
        }
        detail = {"offsets_s": most_probable.tolist()}
        return Measurement({name: float(value) for name, value in values.items()}, detail)

    def _windows(self, video: Video, audio: Audio) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return frames and samples of the first and the last window, aligned in time."""
        t = self.programs.specs["sync"]
        frames_THWC, mono_S = resample_frames(video, t.fps), audio.resample(t.rate).mono
        num_frames = round(t.fps * t.seconds)
        length_s = min(len(frames_THWC) / t.fps, len(mono_S) / t.rate)
        if length_s < t.seconds - 0.5 / t.fps:
            raise ValueError(
                f"{self.programs.model} needs {t.seconds:g} s of video and audio, got {length_s:.2f}"
            )
        last = max(0, round((length_s - t.seconds) * t.fps))
        last = min(last, len(frames_THWC) - num_frames)
        return [
            (
                frames_THWC[start : start + num_frames],
                padded_window(mono_S, round(start / t.fps * t.rate), round(t.rate * t.seconds)),
            )
            for start in (0, last)
        ]

    def _logits(self, frames_THWC: np.ndarray, samples_S: np.ndarray) -> np.ndarray:
        t = self.programs.specs["sync"]
        pixels = normalize(center_crop(frames_THWC, t.size), t.mean, t.std)[None]
        return self.programs.call("sync", pixels, samples_S[None])
