"""Identity preservation: similarity of a video's frames to the reference image, and to each other."""

from typing import Any, Protocol

import numpy as np

from eval.backbones.clip_clap import BATCH, CLIP, unit_norm
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.frame_networks import Dino
from eval.backbones.preprocessing import sampled_indices
from eval.core.frame_consistency import frame_consistency
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.core.video import read_video


class SubjectEmbedder(Protocol):
    """An embedder of individuals: one row of unit norm for each frame that contains one."""

    def describe(self) -> dict[str, Any]: ...

    def embed(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return embeddings [at most T, D]."""
        ...


class ImageEmbedder:
    """Embedding of full images by DINO or CLIP, for objects and animals that fill them (Ruiz et al. 2023)."""

    def __init__(self, network: Dino | CLIP) -> None:
        self.network = network

    def describe(self) -> dict[str, Any]:
        return {**self.network.describe(), "individual": "the full image"}

    def embed(self, frames_THWC: np.ndarray) -> np.ndarray:
        return unit_norm(self.network.embed_frames(frames_THWC))


class FaceEmbedder:
    """Embedding of the most probable face of an image; of the full image if the model has no detector."""

    def __init__(self, programs: ExportedPrograms) -> None:
        self.programs = programs

    def describe(self) -> dict[str, Any]:
        detector = "detector" in self.programs.specs
        return {**self.programs.describe(), "individual": "best face" if detector else "the full image"}

    def embed(self, frames_THWC: np.ndarray) -> np.ndarray:
        found = (self._crop_face(frame) for frame in frames_THWC)
        rows = [self.programs.embed_image(face) for face in found if face is not None]
        return np.stack(rows) if rows else np.zeros((0, 1), np.float32)

    def _crop_face(self, frame_HWC: np.ndarray) -> np.ndarray | None:
        t = self.programs.specs.get("detector")
        if t is None:
            return frame_HWC
        boxes_N5 = self.programs.call("detector", np.moveaxis(frame_HWC, -1, 0)[None].astype(np.float32))
        boxes_N5 = boxes_N5[boxes_N5[:, 4] >= t.min_score]
        if not len(boxes_N5):
            return None
        x0, y0, x1, y1, _ = boxes_N5[boxes_N5[:, 4].argmax()]
        dx, dy = t.margin * (x1 - x0), t.margin * (y1 - y0)
        height, width = frame_HWC.shape[:2]
        left, right = (int(np.clip(np.round(x), 0, width)) for x in (x0 - dx, x1 + dx))
        top, bottom = (int(np.clip(np.round(y), 0, height)) for y in (y0 - dy, y1 + dy))
        return frame_HWC[top:bottom, left:right] if right > left and bottom > top else None


class Identity(FrameMetric):
    """Similarity of the best and the worst frame, and consistency: the questions to Movie Gen's raters."""

    def __init__(self, kind: str, embedder: SubjectEmbedder, num_frames: int) -> None:
        self.name, self.embedder, self.num_frames = f"identity_{kind}", embedder, num_frames
        self.scores = {
            f"{self.name}_best": Score(1, "", "cosine to the reference image, best frame"),
            f"{self.name}_worst": Score(1, "", "cosine to the reference image, worst frame"),
            f"{self.name}_mean": Score(1, "", "cosine to the reference image, mean over frames"),
            f"{self.name}_consistency": Score(1, "", "frames to the one before and to the first (VBench)"),
            f"{self.name}_found": Score(1, FRACTION, "frames in which the individual is detected"),
        }

    def describe(self) -> dict[str, Any]:
        reference = "the sample's own; of a video its first frame"
        return {**self.embedder.describe(), "frames": self.num_frames or "all", "reference": reference}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        real = self.embedder.embed(read_video(item.path("reference"), max_frames=1).frames_THWC)
        if not len(real):
            raise ValueError("no face found in the reference image")
        indices = sampled_indices(info.num_frames, self.num_frames)
        found = yield from map_batches(indices, BATCH, lambda each: (len(each), self.embedder.embed(each)))
        some = [each_ND for _, each_ND in found if len(each_ND)]
        rows = np.concatenate(some) if some else np.zeros((0, 1), np.float32)
        values = {"found": len(rows) / sum(num for num, _ in found)}
        if len(rows):
            cosines = rows @ real[0]
            values |= {"best": cosines.max(), "worst": cosines.min(), "mean": cosines.mean()}
        if len(rows) > 1:
            values["consistency"] = frame_consistency(rows)
        return Measurement({f"{self.name}_{key}": float(value) for key, value in values.items()})
