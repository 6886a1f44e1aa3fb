"""Aesthetics and joint video-text embeddings by a CLIP model whose folder the user names.

Legend: T frames, H height, W width, C = 3 (RGB, uint8), D dimensions.
"""

from functools import cache
from pathlib import Path

import numpy as np

from eval.backbones.checksummed_weights import Network, load_state
from eval.backbones.clip_clap import CLIP
from eval.backbones.config import WeightsConfig


@cache
def load_clip(path: str) -> CLIP:
    """Return the CLIP model of a transformers folder.

    Raises:
        ValueError: the folder is missing or has another kind of model.
    """
    return CLIP(Network("clip_l14", WeightsConfig(path=path)))


@cache
def _head(path: str) -> tuple[np.ndarray, float]:
    state = load_state(Path(path))
    if set(state) != {"weight", "bias"} or state["weight"].ndim != 2 or len(state["weight"]) != 1:
        raise ValueError(f"scoring.aesthetic_head: {path} is not a linear head with one output")
    return state["weight"][0].float().numpy(), float(state["bias"][0])


def aesthetic_score(frame_HWC: np.ndarray, clip_path: str, head_path: str) -> float:
    """Return LAION's aesthetic score of a frame, about 0 to 10 (Movie Gen, app. J: the middle frame).

    Raises:
        ValueError: the head is for another CLIP.
    """
    weight_D, bias = _head(head_path)
    row_D = load_clip(clip_path).embed_frames(frame_HWC[None])[0]
    if len(row_D) != len(weight_D):
        raise ValueError(
            f"scoring.aesthetic_head: for {len(weight_D)} dimensions, {clip_path} has {len(row_D)}"
        )
    return float(row_D @ weight_D + bias)
