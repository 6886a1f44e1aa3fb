"""Does it show, or sound like, what the text says? CLIP score, ViCLIP's score, CLAP's score."""

from typing import Any

import numpy as np

from eval.backbones.clip_clap import Clap, Clip
from eval.backbones.exported_programs import Towers
from eval.backbones.preprocessing import chosen
from eval.core.results import SHARE, Item, Measurement, Score

_CUT = Score(-1, SHARE, "texts longer than the network reads: their end is cut, the mark of the end kept")


class ClipScore:
    """max(100 cos(text, frame), 0), mean over frames (Hessel et al. 2021, without its factor of 2.5)."""

    name = "clip_score"
    scores = {"clip_score": Score(1, "", "max(100 cosine, 0), mean over frames"), "clip_score_cut": _CUT}

    def __init__(self, clip: Clip, num_frames: int) -> None:
        self.clip, self.num_frames = clip, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.clip.describe(), "frames": self.num_frames or "all"}

    def measure(self, item: Item) -> Measurement:
        text_D, cut = self.clip.text(prompt(item))
        frames_TD = self.clip.frames(chosen(item.picture.frames_THWC, self.num_frames))
        cosines_T = frames_TD @ text_D
        score = float(np.maximum(100 * cosines_T, 0).mean())
        detail = {"cosines": np.round(cosines_T, 4).tolist()}
        return Measurement({"clip_score": score, "clip_score_cut": float(cut)}, detail)


class VideoText:
    """Cosine of the text and the film as a whole: VBench's overall consistency, with ViCLIP."""

    name = "viclip"
    scores = {"viclip": Score(1, "", "cosine of text and film"), "viclip_cut": _CUT}

    def __init__(self, towers: Towers) -> None:
        self.towers = towers

    def describe(self) -> dict[str, Any]:
        return self.towers.describe()

    def measure(self, item: Item) -> Measurement:
        text_D, cut = self.towers.text(prompt(item))
        cosine = float(self.towers.video(item.video) @ text_D)
        return Measurement({"viclip": cosine, "viclip_cut": float(cut)})


class SoundText:
    """Cosine of the text and the sound, by CLAP."""

    name = "clap"
    scores = {"clap": Score(1, "", "cosine of text and sound"), "clap_cut": _CUT}

    def __init__(self, clap: Clap) -> None:
        self.clap = clap

    def describe(self) -> dict[str, Any]:
        windows = "mean of channels; windows evenly over the sound, mean of their unit vectors"
        return {**self.clap.describe(), "windows": windows}

    def measure(self, item: Item) -> Measurement:
        text_D, cut = self.clap.text(prompt(item))
        cosine = float(self.clap.sound(item.sound) @ text_D)
        return Measurement({"clap": cosine, "clap_cut": float(cut)})


def prompt(item: Item) -> str:
    """The text that a sample was made from."""
    if not item.sample.prompt.strip():
        raise ValueError("has no prompt")
    return item.sample.prompt
