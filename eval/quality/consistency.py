"""Consistency of frames over time: VBench's formula over the features of any backbone."""

from typing import Any

from eval.backbones.cache import FeatureCache
from eval.backbones.extractor import Extractor
from eval.core.frame_consistency import frame_consistency
from eval.core.results import Item, Measurement, Score


class Consistency:
    """Mean over frames of the average similarity to the previous frame and to the first one.

    With DINO ViT-B/16 this is VBench's subject consistency, with CLIP ViT-B/32 its background consistency.
    Over other backbones the metric is named after the backbone.
    """

    def __init__(self, extractor: Extractor, cache: FeatureCache, name: str = "") -> None:
        self.extractor, self.cache = extractor, cache
        self.name = name or f"consistency_{extractor.name}"
        self.scores = {self.name: Score(1, "", "cosine of frames to the previous and to the first one")}

    def describe(self) -> dict[str, Any]:
        return self.extractor.describe()

    def measure(self, item: Item) -> Measurement:
        rows = self.cache.load_or_extract(self.extractor, item.frames_path)["features"]
        return Measurement({self.name: frame_consistency(rows)})
