"""Faithfulness of video edits: direction of the change, match with the output caption, preserved structure.

A sample has the edited video (`video`), the video before (`source`), and captions of both
(`source_caption`, `output_caption`); its prompt is the instruction.
"""

from typing import Any

import numpy as np

from eval.backbones.clip_clap import BATCH, CLIP, unit_norm
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.frame_networks import Dino
from eval.backbones.preprocessing import sampled_indices
from eval.core.frame_metric import FrameMetric
from eval.core.frame_pass import run_pass
from eval.core.frame_source import StreamInfo, open_frames
from eval.core.frame_tasks import FrameStart, FrameTask, frame_batches, map_batches
from eval.core.results import FRACTION, Item, Measurement, Score


class EditDirection(FrameMetric):
    """Cosine of (output caption - source caption) with (output - source), and of output caption with output.

    With CLIP over pairs of frames (Gal et al. 2022), with ViCLIP over full videos: ViCLIP_dir and ViCLIP_out
    of Movie Gen.
    """

    def __init__(self, kind: str, network: CLIP | ExportedPrograms, num_frames: int) -> None:
        self.name, self.kind, self.network, self.num_frames = f"edit_{kind}", kind, network, num_frames
        over = "videos" if isinstance(network, ExportedPrograms) else "mean over frames"
        self.scores = {
            f"{kind}_dir": Score(1, "", f"cosine of the captions' change with the video's, {over}"),
            f"{kind}_out": Score(1, "", f"cosine of output caption and output, {over}"),
            f"{kind}_edit_truncated": Score(
                -1, FRACTION, "samples with a caption longer than the network reads"
            ),
        }

    def describe(self) -> dict[str, Any]:
        frames = {} if isinstance(self.network, ExportedPrograms) else {"frames": self.num_frames or "all"}
        return {**self.network.describe(), **frames}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        captions = [_caption(item, key) for key in ("source_caption", "output_caption")]
        (before_D, cut_before), (after_D, cut_after) = map(self.network.embed_text, captions)
        source_TD = observe_source(item, self._rows)
        output_TD = yield from self._rows(info)
        if len(source_TD) != len(output_TD):
            raise ValueError(f"source and output differ in frames: {len(source_TD)}, {len(output_TD)}")
        if np.allclose(before_D, after_D):
            raise ValueError("source_caption and output_caption have the same embedding")
        change_TD = unit_norm(output_TD - source_TD)  # zero, as is the cosine, if nothing changed
        direction = float((change_TD @ unit_norm(after_D - before_D)).mean())
        values = {f"{self.kind}_dir": direction, f"{self.kind}_out": float((output_TD @ after_D).mean())}
        return Measurement(values | {f"{self.kind}_edit_truncated": float(cut_before or cut_after)})

    def _rows(self, info: StreamInfo) -> FrameTask:
        if isinstance(self.network, ExportedPrograms):
            return (yield from self.network.observe_video(info))[None]
        indices = sampled_indices(info.num_frames, self.num_frames)
        return np.concatenate((yield from map_batches(indices, BATCH, self.network.embed_frames)))


class EditStructure(FrameMetric):
    """Distance of the self-similarities of DINO's patches in source and output (Tumanyan et al. 2022).

    Their distance uses keys of the last layer, this one its tokens, hence the name.
    """

    name = "structure_dino_tokens"
    scores = {name: Score(-1, "", "mean squared difference of the patches' cosines, mean over frames")}

    def __init__(self, dino: Dino, num_frames: int) -> None:
        self.dino, self.num_frames = dino, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.dino.describe(), "frames": self.num_frames or "all", "token": "patches, last layer"}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        with open_frames(item.path("source")) as source:
            if source.info.num_frames != info.num_frames:
                counts = f"{source.info.num_frames}, {info.num_frames}"
                raise ValueError(f"source and output differ in frames: {counts}")
            before = frame_batches(source.frames, indices, BATCH)  # read along, so that neither is held

            def distances(output_THWC: np.ndarray) -> list[float]:
                source_THWC = next(before, None)
                if source_THWC is None or len(source_THWC) != len(output_THWC):
                    raise ValueError("source and output differ in frames")
                pairs = zip(self._tokens(source_THWC), self._tokens(output_THWC), strict=True)
                return [float(((a @ a.T - b @ b.T) ** 2).mean()) for a, b in pairs]

            found = yield from map_batches(indices, BATCH, distances)
        return Measurement({self.name: float(np.mean(np.concatenate(found)))})

    def _tokens(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return the unit tokens [T, patches, D] of frames."""
        return unit_norm(self.dino.all_tokens(frames_THWC)[:, 1:])


def observe_source(item: Item, start: FrameStart) -> Any:
    """Return the result of a task over the video before the edit."""
    result = run_pass(item.path("source"), {"source": start})["source"]
    if isinstance(result, Exception):
        raise result
    return result


def _caption(item: Item, key: str) -> str:
    text = getattr(item.sample, key)
    if not (text or "").strip():
        raise ValueError(f"sample has no `{key}`")
    return str(text)
