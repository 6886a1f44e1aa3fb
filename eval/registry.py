"""Metrics and backbones by name, and their construction from a config.

`eval.catalog` holds the same names with a line of help each; a test compares the two.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.alignment.config import AlignmentConfig
from eval.alignment.ocr import OCRMetric
from eval.alignment.onsets import BounceOnsets, ReferenceOnsets
from eval.backbones.aisfx import Aisfx
from eval.backbones.cache import FeatureCache
from eval.backbones.config import UserProgramConfig
from eval.backbones.efficientnet_lite import EfficientNetLite0, EfficientNetLite0Clip
from eval.backbones.extractor import Extractor, Rows
from eval.backbones.user_program import UserProgram
from eval.bounce_checker.audio import BounceAudioMetric
from eval.bounce_checker.config import CheckerConfig
from eval.bounce_checker.identity import BounceIdentity
from eval.bounce_checker.metric import BounceMetric
from eval.bounce_checker.physics import BouncePhysics
from eval.catalog import METRIC_AXES, expand_metrics
from eval.core.axes import declare_axis
from eval.core.own_metrics import build_own_metric, is_own_metric, parameters_key
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item, Measurement, Metric, Score
from eval.distribution.diversity import Diversity
from eval.distribution.inception_score import paired_kl, softmax
from eval.distribution.memorization import Memorization
from eval.distribution.set_metric import SetMetric
from eval.network_registry import NETWORK_BACKBONES, NETWORK_METRICS, NetworkFactory
from eval.quality.config import QualityConfig
from eval.quality.consistency import Consistency
from eval.quality.dynamics import BlockMotion
from eval.quality.fidelity import Fidelity
from eval.quality.loudness import Loudness
from eval.quality.low_level import LowLevelQuality
from eval.quality.niqe import Niqe
from eval.quality.pitch import Pitch
from eval.quality.spectral import AudioFidelity
from eval.quality.speech import Speech
from eval.quality.speech_detection import SpeechFraction
from eval.quality.vmaf import Vmaf
from eval.vizdoom_checker.metric import VizdoomAudioMetric
from src.core.suggestions import did_you_mean


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """Constants of all metrics of single samples."""

    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    bounce: CheckerConfig = field(default_factory=CheckerConfig)


METRICS: dict[str, Callable[[MetricSettings], Metric]] = {
    "bounce": lambda s: BounceMetric(s.bounce),
    "bounce_onsets": lambda s: BounceOnsets(s.alignment.onsets),
    "bounce_audio": lambda s: BounceAudioMetric(s.bounce.audio),
    "bounce_identity": lambda s: BounceIdentity(s.bounce),
    "bounce_physics": lambda s: BouncePhysics(s.bounce),
    "vizdoom_audio": lambda _: VizdoomAudioMetric(),
    "low_level": lambda s: LowLevelQuality(s.quality.low_level),
    "block_motion": lambda _: BlockMotion(),
    "fidelity": lambda s: Fidelity(s.quality.fidelity, s.pairs),
    "vmaf": lambda s: Vmaf(s.quality.fidelity, s.pairs),
    "niqe": lambda _: Niqe(),
    "audio": lambda s: Loudness(s.quality.audio),
    "audio_fidelity": lambda s: AudioFidelity(s.quality.audio_fidelity),
    "speech": lambda s: Speech(s.quality.speech, s.quality.audio_fidelity),
    "onsets": lambda s: ReferenceOnsets(s.alignment.onsets),
    "speech_silero": lambda s: SpeechFraction(s.quality.voice),
    "f0_crepe": lambda s: Pitch(s.quality.f0, s.quality.audio_fidelity),
    "ocr_rapidocr": lambda s: OCRMetric(s.alignment.ocr),
}
SET_METRICS: dict[str, Callable[[], SetMetric]] = {"diversity": Diversity, "memorization": Memorization}
BACKBONES: dict[str, Callable[[], Extractor]] = {
    "efflite0": EfficientNetLite0,
    "efflite0_clip": EfficientNetLite0Clip,
    "aisfx": Aisfx,
}


@dataclass(frozen=True)
class Extraction:
    """Fills the cache for metrics of sets; for a sample it only records that extraction succeeded."""

    extractor: Extractor
    cache: FeatureCache
    scores = dict[str, Score]()

    @property
    def name(self) -> str:
        return f"features_{self.extractor.name}"

    def describe(self) -> dict[str, Any]:
        return self.extractor.describe()

    def load(self, key: str) -> Rows:
        """Return the rows of a sample by the key `features` of its record's detail."""
        return self.cache.load(self.extractor, key)

    def measure(self, item: Item) -> Measurement:
        key, rows = self.cache.load_or_extract_with_key(self.extractor, media_path(self.extractor, item))
        return Measurement({}, {"rows": len(rows["features"]), "features": key})


class PairedKL:
    """KL(reference || generated) of a classifier's mean probabilities over the rows of a sample."""

    def __init__(self, extractor: Extractor, cache: FeatureCache) -> None:
        self.extractor, self.cache = extractor, cache
        self.name = f"kl_{extractor.name}"
        self.scores = {
            self.name: Score(-1, "nats", "softmax, mean over rows; 1e-6 added to the generated probabilities")
        }

    def describe(self) -> dict[str, Any]:
        return {**self.extractor.describe(), "reference": "the sample's own"}

    def measure(self, item: Item) -> Measurement:
        generated = self._probabilities(media_path(self.extractor, item))
        reference = self._probabilities(item.path("reference"))
        return Measurement({self.name: float(paired_kl(reference, generated)[0])})

    def _probabilities(self, path: Path) -> np.ndarray:
        rows = self.cache.load_or_extract(self.extractor, path)
        if "logits" not in rows:
            raise ValueError(f"{self.extractor.name} is not a classifier: KL divergence needs its logits")
        return softmax(rows["logits"]).mean(0, keepdims=True)


def media_path(extractor: Extractor, item: Item) -> Path:
    """Return the file of a sample that an extractor reads."""
    if extractor.media == "audio":
        return item.audio_path
    return item.path("image" if item.sample.video is None and item.sample.image else "video")


def build_extractors(
    backbones: Iterable[str], local: dict[str, UserProgramConfig], factory: NetworkFactory
) -> list[Extractor]:
    """Construct backbones by name: those in Python packages, those given by role, and the user's own.

    Raises:
        ValueError: a name is unknown or taken, a package is missing, or a checksum is wrong.
    """
    extractors: list[Extractor] = []
    known = (*BACKBONES, *NETWORK_BACKBONES)
    for name in dict.fromkeys((*backbones, *local)):
        if (name in known) == (name in local):
            why = "is built in, choose another name" if name in known else "is unknown"
            hint = f"built in: {', '.join(known)}" if name in known else did_you_mean(name, known)
            raise ValueError(f"backbones: {name!r} {why}; {hint}")
        if name in local:
            extractors.append(UserProgram(name, local[name]))
        else:
            extractors.append(
                BACKBONES[name]() if name in BACKBONES else NETWORK_BACKBONES[name](factory, name)
            )
    for extractor in extractors:
        extractor.describe()  # reports missing packages and wrong checksums before any media is read
    return extractors


def build_metrics(
    names: Iterable[str],
    backbones: list[Extractor],
    factory: NetworkFactory,
    settings: MetricSettings | None = None,
) -> list[Metric]:
    """Construct metrics of single samples; those over features once for every backbone they can use.

    Those of sets and of own code are left out: `build_set_metrics`, `build_own_metrics`.

    Raises:
        ValueError: a metric's network or backbone is not given; raised before any media is read.
    """
    metrics: list[Metric] = []
    for name in expand_metrics(names):
        if name in SET_METRICS or (name not in METRIC_AXES and is_own_metric(name)):
            continue
        if name in METRICS:
            metrics.append(METRICS[name](settings or MetricSettings()))
            continue
        if name in NETWORK_METRICS:
            metrics.append(NETWORK_METRICS[name](factory, name))
            metrics[-1].describe()
            continue
        usable = [each for each in backbones if name == "kl" or each.describe()["rows"] == "frames"]
        if not usable:
            raise ValueError(f"metrics: {name} needs a backbone, for example backbones=[efflite0]")
        kind = {"consistency": Consistency, "kl": PairedKL}[name]
        metrics += [kind(extractor, factory.cache) for extractor in usable]
    return metrics


def build_set_metrics(names: Iterable[str], backbones: list[Extractor]) -> list[SetMetric]:
    """Construct the metrics of sets among the names.

    Raises:
        ValueError: there is no backbone.
    """
    found = [SET_METRICS[name]() for name in expand_metrics(names) if name in SET_METRICS]
    if found and not backbones:
        raise ValueError(f"metrics: {found[0].name} needs a backbone, for example backbones=[efflite0]")
    return found


def build_own_metrics(
    names: Iterable[str], parameters: dict[str, dict[str, Any]], backbones: list[Extractor]
) -> tuple[list[Metric], list[SetMetric]]:
    """Construct metrics of the user's own code, of single samples and of sets.

    Args:
        parameters: arguments of constructors, by name of the class or entry point.

    Raises:
        ValueError: one cannot be constructed, parameters are of none of them, or a backbone is missing.
    """
    own = [name for name in expand_metrics(names) if name not in METRIC_AXES and is_own_metric(name)]
    keys = [parameters_key(name) for name in own]
    for key in parameters:
        if key not in keys:
            raise ValueError(f"own: no metric of this run is called {key!r}; {did_you_mean(key, keys)}")
    metrics, set_metrics, taken = list[Metric](), list[SetMetric](), set(METRIC_AXES)
    for name, key in zip(own, keys, strict=True):
        metric = build_own_metric(name, parameters.get(key) or {}, taken)
        taken.add(metric.name)
        if not hasattr(metric, "measure_set"):
            metrics.append(metric)
            continue
        if not backbones:
            raise ValueError(f"metrics: {name} measures sets and needs a backbone: backbones=[efflite0]")
        set_metrics.append(metric)
        for each in backbones:
            declare_axis(f"{metric.name}_{each.name}", metric.axis)
    return metrics, set_metrics
