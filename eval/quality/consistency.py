"""Does the subject stay itself? VBench's formula for consistency over any backbone's frames."""

from typing import Any

import numpy as np

from eval.backbones.cache import FeatureCache
from eval.backbones.extractor import Extractor
from eval.core.results import Item, Measurement, Score


class Consistency:
    """Mean over frames of half the similarity to the frame before and half that to the first one.

    VBench's subject consistency with DINO ViT-B/16, its background consistency with CLIP ViT-B/32; with
    other backbones a relative of them, named after the backbone.
    """

    def __init__(self, extractor: Extractor, cache: FeatureCache, name: str = "") -> None:
        self.extractor, self.cache = extractor, cache
        self.name = name or f"consistency_{extractor.name}"
        self.scores = {self.name: Score(1, "", "cosine of frames to the one before and to the first")}

    def describe(self) -> dict[str, Any]:
        return self.extractor.describe()

    def measure(self, item: Item) -> Measurement:
        rows = self.cache.rows(self.extractor, item.path("video"))["features"]
        return Measurement({self.name: consistency(rows)})


def consistency(features_TD: np.ndarray) -> float:
    """0..1; negative cosines count as 0.

    Raises:
        ValueError: for fewer than two frames.
    """
    if len(features_TD) < 2:
        raise ValueError("consistency needs two or more frames, got 1")
    unit = features_TD / np.maximum(np.linalg.norm(features_TD, axis=1, keepdims=True), 1e-12)
    before = np.einsum("td,td->t", unit[1:], unit[:-1])
    first = unit[1:] @ unit[0]
    return float((np.maximum(before, 0) / 2 + np.maximum(first, 0) / 2).mean())
