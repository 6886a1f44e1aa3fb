"""Was the film edited as told, and nothing else? Direction, output, and what is left of its structure.

A sample names the edited film (`video`), the film before (`source`), and captions of both
(`source_caption`, `output_caption`); its prompt is the instruction.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from eval.backbones.clip_clap import Clip, unit
from eval.backbones.exported_programs import Towers
from eval.backbones.frame_networks import Dino
from eval.backbones.preprocessing import chosen
from eval.core.results import SHARE, Item, Measurement, Score
from eval.core.video import Video, read_video

Text = Callable[[str], tuple[np.ndarray, bool]]


class EditDirection:
    """Cosine of (output caption - source caption) with (output - source), and of output caption with output.

    With CLIP over pairs of frames (Gal et al. 2022), with ViCLIP over whole films: the
    paper's ViCLIP_dir and ViCLIP_out.
    """

    def __init__(self, kind: str, network: Clip | Towers, num_frames: int) -> None:
        self.name, self.kind, self.network, self.num_frames = f"edit_{kind}", kind, network, num_frames
        over = "films" if isinstance(network, Towers) else "mean over frames"
        self.scores = {
            f"{kind}_dir": Score(1, "", f"cosine of the captions' change with the film's, {over}"),
            f"{kind}_out": Score(1, "", f"cosine of output caption and output, {over}"),
            f"{kind}_edit_cut": Score(-1, SHARE, "samples with a caption longer than the network reads"),
        }

    def describe(self) -> dict[str, Any]:
        own = {} if isinstance(self.network, Towers) else {"frames": self.num_frames or "all"}
        return {**self.network.describe(), **own}

    def measure(self, item: Item) -> Measurement:
        captions = [_caption(item, key) for key in ("source_caption", "output_caption")]
        (before_D, cut_before), (after_D, cut_after) = map(self.network.text, captions)
        source_TD, output_TD = (self._rows(video) for video in (source_of(item), item.picture))
        if len(source_TD) != len(output_TD):
            raise ValueError(f"source and output differ in frames: {len(source_TD)}, {len(output_TD)}")
        if np.allclose(before_D, after_D):
            raise ValueError("source_caption and output_caption are one text to the network")
        change_TD = unit(output_TD - source_TD)  # nothing changed: 0, and so is the cosine
        direction = float((change_TD @ unit(after_D - before_D)).mean())
        values = {f"{self.kind}_dir": direction, f"{self.kind}_out": float((output_TD @ after_D).mean())}
        return Measurement(values | {f"{self.kind}_edit_cut": float(cut_before or cut_after)})

    def _rows(self, video: Video) -> np.ndarray:
        if isinstance(self.network, Towers):
            return self.network.video(video)[None]
        return self.network.frames(chosen(video.frames_THWC, self.num_frames))


class EditStructure:
    """Distance of the self-similarities of DINO's patches in source and output (Tumanyan et al. 2022).

    They take the keys of the last layer; these are its tokens, hence the name.
    """

    name = "structure_dino_tokens"
    scores = {name: Score(-1, "", "mean squared difference of the patches' cosines, mean over frames")}

    def __init__(self, dino: Dino, num_frames: int) -> None:
        self.dino, self.num_frames = dino, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.dino.describe(), "frames": self.num_frames or "all", "token": "patches, last layer"}

    def measure(self, item: Item) -> Measurement:
        films = (source_of(item).frames_THWC, item.picture.frames_THWC)
        if len(films[0]) != len(films[1]):
            raise ValueError(f"source and output differ in frames: {len(films[0])}, {len(films[1])}")
        before, after = (unit(self.dino.tokens_of(chosen(film, self.num_frames))[:, 1:]) for film in films)
        distances = [float(((a @ a.T - b @ b.T) ** 2).mean()) for a, b in zip(before, after, strict=True)]
        return Measurement({self.name: float(np.mean(distances))})


def source_of(item: Item) -> Video:
    """The film before the edit."""
    return read_video(item.path("source"))


def _caption(item: Item, key: str) -> str:
    text = getattr(item.sample, key)
    if not (text or "").strip():
        raise ValueError(f"names no {key}")
    return str(text)
