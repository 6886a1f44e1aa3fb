"""Do film and sound belong together (ImageBind), and at the same time (Synchformer's DeSync)?"""

from typing import Any

import numpy as np

from eval.backbones.exported_programs import Towers
from eval.backbones.preprocessing import at_rate, cropped, normalised, window
from eval.core.audio import Sound
from eval.core.results import SHARE, Item, Measurement, Score
from eval.core.video import Video
from eval.distribution.inception_score import softmax

NEAR_S = 0.2


class ImageBind:
    """Cosine of film and sound in one space. Blind to when things sound; against music without a source."""

    name = "imagebind"
    scores = {"imagebind": Score(1, "", "cosine of film and sound; papers print it times 100")}

    def __init__(self, towers: Towers) -> None:
        self.towers = towers

    def describe(self) -> dict[str, Any]:
        return self.towers.describe()

    def measure(self, item: Item) -> Measurement:
        return Measurement(
            {"imagebind": float(self.towers.video(item.video) @ self.towers.sound(item.sound))}
        )


class DeSync:
    """How far sound and film are apart, as Synchformer hears the first and the last window."""

    name = "desync"
    scores = {
        "desync": Score(-1, "s", "absolute offset of the likeliest class, mean of first and last window"),
        "desync_expected": Score(-1, "s", "absolute offset, mean over the classes' probabilities"),
        "desync_near": Score(1, SHARE, f"windows whose likeliest offset is at most {NEAR_S} s"),
    }

    def __init__(self, towers: Towers) -> None:
        self.towers = towers

    def describe(self) -> dict[str, Any]:
        return {**self.towers.describe(), "windows": "first and last; shorter films are dropped"}

    def measure(self, item: Item) -> Measurement:
        offsets_s = np.array(self.towers.towers["sync"].offsets_s)
        logits = np.concatenate([self._logits(*each) for each in self._windows(item.video, item.sound)])
        if logits.shape[1] != len(offsets_s):
            raise ValueError(f"{self.towers.model}: {logits.shape[1]} classes for {len(offsets_s)} offsets_s")
        likeliest = offsets_s[logits.argmax(1)]
        values = {
            "desync": np.abs(likeliest).mean(),
            "desync_expected": (softmax(logits) @ np.abs(offsets_s)).mean(),
            "desync_near": (np.abs(likeliest) <= NEAR_S + 1e-9).mean(),
        }
        detail = {"offsets_s": likeliest.tolist()}
        return Measurement({name: float(value) for name, value in values.items()}, detail)

    def _windows(self, video: Video, sound: Sound) -> list[tuple[np.ndarray, np.ndarray]]:
        """Frames and samples of the first and the last window, which begin at one time in both."""
        t = self.towers.towers["sync"]
        frames_THWC, mono_S = at_rate(video, t.fps), sound.at_rate(t.rate).mono
        num_frames = round(t.fps * t.seconds)
        length_s = min(len(frames_THWC) / t.fps, len(mono_S) / t.rate)
        if length_s < t.seconds - 0.5 / t.fps:
            raise ValueError(
                f"{self.towers.model} needs {t.seconds:g} s of film and sound, got {length_s:.2f}"
            )
        last = max(0, round((length_s - t.seconds) * t.fps))
        last = min(last, len(frames_THWC) - num_frames)
        return [
            (
                frames_THWC[start : start + num_frames],
                window(mono_S, round(start / t.fps * t.rate), round(t.rate * t.seconds)),
            )
            for start in (0, last)
        ]

    def _logits(self, frames_THWC: np.ndarray, samples_S: np.ndarray) -> np.ndarray:
        t = self.towers.towers["sync"]
        pixels = normalised(cropped(frames_THWC, t.size), t.mean, t.std)[None]
        return self.towers.call("sync", pixels, samples_S[None])
