"""Is it still that individual? Similarity of a film's frames to the reference picture, and to each other."""

from typing import Any, Protocol

import numpy as np

from eval.backbones.clip_clap import Clip, unit
from eval.backbones.exported_programs import Towers
from eval.backbones.frame_networks import Dino
from eval.backbones.preprocessing import chosen
from eval.core.results import SHARE, Item, Measurement, Score
from eval.core.video import read_video
from eval.quality.consistency import consistency


class Portraits(Protocol):
    """What embeds an individual: rows of length 1, one for each frame that shows one."""

    def describe(self) -> dict[str, Any]: ...

    def rows(self, frames_THWC: np.ndarray) -> np.ndarray:
        """[at most T, D]."""
        ...


class Whole:
    """The whole picture, by DINO or CLIP: objects and animals that fill it (Ruiz et al. 2023)."""

    def __init__(self, network: Dino | Clip) -> None:
        self.network = network

    def describe(self) -> dict[str, Any]:
        return {**self.network.describe(), "individual": "the whole picture"}

    def rows(self, frames_THWC: np.ndarray) -> np.ndarray:
        return unit(self.network.frames(frames_THWC))


class Face:
    """The likeliest face of a picture; the whole picture where the folder names no detector."""

    def __init__(self, towers: Towers) -> None:
        self.towers = towers

    def describe(self) -> dict[str, Any]:
        detector = "detector" in self.towers.towers
        return {**self.towers.describe(), "individual": "best face" if detector else "the whole picture"}

    def rows(self, frames_THWC: np.ndarray) -> np.ndarray:
        found = (self._cut(frame) for frame in frames_THWC)
        rows = [self.towers.image(face) for face in found if face is not None]
        return np.stack(rows) if rows else np.zeros((0, 1), np.float32)

    def _cut(self, frame_HWC: np.ndarray) -> np.ndarray | None:
        t = self.towers.towers.get("detector")
        if t is None:
            return frame_HWC
        boxes_N5 = self.towers.call("detector", np.moveaxis(frame_HWC, -1, 0)[None].astype(np.float32))
        boxes_N5 = boxes_N5[boxes_N5[:, 4] >= t.least_score]
        if not len(boxes_N5):
            return None
        x0, y0, x1, y1, _ = boxes_N5[boxes_N5[:, 4].argmax()]
        dx, dy = t.margin * (x1 - x0), t.margin * (y1 - y0)
        height, width = frame_HWC.shape[:2]
        left, right = (int(np.clip(np.round(x), 0, width)) for x in (x0 - dx, x1 + dx))
        top, bottom = (int(np.clip(np.round(y), 0, height)) for y in (y0 - dy, y1 + dy))
        return frame_HWC[top:bottom, left:right] if right > left and bottom > top else None


class Identity:
    """The paper asks raters for the best and for the worst frame, and for consistency."""

    def __init__(self, kind: str, portraits: Portraits, num_frames: int) -> None:
        self.name, self.portraits, self.num_frames = f"identity_{kind}", portraits, num_frames
        self.scores = {
            f"{self.name}_best": Score(1, "", "cosine to the reference picture, best frame"),
            f"{self.name}_worst": Score(1, "", "cosine to the reference picture, worst frame"),
            f"{self.name}_mean": Score(1, "", "cosine to the reference picture, mean over frames"),
            f"{self.name}_steady": Score(1, "", "frames to the one before and to the first (VBench)"),
            f"{self.name}_found": Score(1, SHARE, "frames in which the individual was found"),
        }

    def describe(self) -> dict[str, Any]:
        reference = "the sample's own; of a film its first frame"
        return {**self.portraits.describe(), "frames": self.num_frames or "all", "reference": reference}

    def measure(self, item: Item) -> Measurement:
        real = self.portraits.rows(read_video(item.path("reference"), max_frames=1).frames_THWC)
        if not len(real):
            raise ValueError("nobody was found in the reference picture")
        frames = chosen(item.picture.frames_THWC, self.num_frames)
        rows = self.portraits.rows(frames)
        values = {"found": len(rows) / len(frames)}
        if len(rows):
            cosines = rows @ real[0]
            values |= {"best": cosines.max(), "worst": cosines.min(), "mean": cosines.mean()}
        if len(rows) > 1:
            values["steady"] = consistency(rows)
        return Measurement({f"{self.name}_{key}": float(value) for key, value in values.items()})
