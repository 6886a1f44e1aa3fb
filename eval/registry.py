"""The metrics by name, the suites that gather them, and how they are made from a config."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.alignment.ocr import RenderedText
from eval.alignment.onsets import BounceSound, ReferenceOnsets
from eval.backbones.aisfx import Aisfx
from eval.backbones.cache import FeatureCache
from eval.backbones.efficientnet_lite import EffLite0, EffLite0Clip
from eval.backbones.extractor import Extractor, Rows
from eval.backbones.user_program import LocalConfig, LocalExtractor
from eval.bounce_checker.audio import BounceHearing
from eval.bounce_checker.identity import BounceIdentity
from eval.bounce_checker.metric import BounceMetric
from eval.core.results import Item, Measurement, Metric, Score
from eval.distribution.inception_score import paired_divergence, softmax
from eval.network_registry import NETWORK_BACKBONES, NETWORKED, Setup
from eval.quality.consistency import Consistency
from eval.quality.dynamics import BlockMotion
from eval.quality.fidelity import Fidelity
from eval.quality.loudness import Loudness
from eval.quality.low_level import Frames
from eval.quality.niqe import Niqe
from eval.quality.pitch import Pitch
from eval.quality.spectral import SoundFidelity, Speech
from eval.quality.speech_detection import SpeechShare
from eval.quality.vmaf import Vmaf

METRICS: dict[str, Callable[[], Metric]] = {
    "bounce": BounceMetric,
    "bounce_sound": BounceSound,
    "bounce_hearing": BounceHearing,
    "bounce_identity": BounceIdentity,
    "frames": Frames,
    "block_motion": BlockMotion,
    "fidelity": Fidelity,
    "vmaf": Vmaf,
    "niqe": Niqe,
    "sound": Loudness,
    "sound_fidelity": SoundFidelity,
    "speech": Speech,
    "onsets": ReferenceOnsets,
    "speech_silero": SpeechShare,
    "f0_crepe": Pitch,
    "ocr_rapidocr": RenderedText,
}
SUITES: dict[str, tuple[str, ...]] = {
    "bounce_av": ("bounce", "bounce_sound", "bounce_hearing", "frames", "sound"),
    "video": ("frames", "consistency"),
    "vbench": (
        *("subject_consistency", "background_consistency", "frames", "motion_smoothness"),
        *("dynamic_degree", "aesthetic", "imaging", "viclip"),
    ),
    "edit": ("edit_clip", "edit_viclip", "structure"),
    "codec": ("fidelity", "frames"),
    "audio": ("sound",),
    "audio_codec": ("sound_fidelity", "sound"),
    "video_to_audio": ("onsets", "sound"),
}
PER_BACKBONE = ("consistency", "kl")
KNOWN = (*METRICS, *PER_BACKBONE, *NETWORKED)
BACKBONES: dict[str, Callable[[], Extractor]] = {
    "efflite0": EffLite0,
    "efflite0_clip": EffLite0Clip,
    "aisfx": Aisfx,
}


@dataclass(frozen=True)
class Extraction:
    """Fills the cache for what is computed over whole sets; per sample it only says that it worked."""

    extractor: Extractor
    cache: FeatureCache
    scores = dict[str, Score]()

    @property
    def name(self) -> str:
        return f"features_{self.extractor.name}"

    def describe(self) -> dict[str, Any]:
        return self.extractor.describe()

    def stored(self, key: str) -> Rows:
        """The rows of a sample whose record's detail has this key of `features`."""
        return self.cache.stored(self.extractor, key)

    def measure(self, item: Item) -> Measurement:
        key, rows = self.cache.keyed(self.extractor, media_path(self.extractor, item))
        return Measurement({}, {"rows": len(rows["features"]), "features": key})


class Divergence:
    """KL(reference || made) of a classifier's mean probabilities: does it hear or see the same things?"""

    def __init__(self, extractor: Extractor, cache: FeatureCache) -> None:
        self.extractor, self.cache = extractor, cache
        self.name = f"kl_{extractor.name}"
        self.scores = {self.name: Score(-1, "nats", "softmax, mean over rows, made kept from 0 by 1e-6")}

    def describe(self) -> dict[str, Any]:
        return {**self.extractor.describe(), "reference": "the sample's own"}

    def measure(self, item: Item) -> Measurement:
        made, real = (
            self._probabilities(path) for path in (media_path(self.extractor, item), item.path("reference"))
        )
        return Measurement({self.name: float(paired_divergence(real, made)[0])})

    def _probabilities(self, path: Path) -> np.ndarray:
        rows = self.cache.rows(self.extractor, path)
        if "logits" not in rows:
            raise ValueError(f"{self.extractor.name} is no classifier, it has no KL divergence")
        return softmax(rows["logits"]).mean(0, keepdims=True)


def media_path(extractor: Extractor, item: Item) -> Path:
    """The file that an extractor reads of a sample."""
    if extractor.media == "sound":
        return item.sound_path
    return item.path("image" if item.sample.video is None and item.sample.image else "video")


def extractors(backbones: Iterable[str], local: dict[str, LocalConfig], setup: Setup) -> list[Extractor]:
    """Backbones by name: those that arrive in packages, those by role, and the user's own."""
    made: list[Extractor] = []
    known = (*BACKBONES, *NETWORK_BACKBONES)
    for name in dict.fromkeys((*backbones, *local)):
        if (name in known) == (name in local):
            why = "is built in, give yours another name" if name in known else "is unknown"
            raise ValueError(f"backbones: {name!r} {why}; built in: {', '.join(known)}")
        if name in local:
            made.append(LocalExtractor(name, local[name]))
        else:
            made.append(BACKBONES[name]() if name in BACKBONES else NETWORK_BACKBONES[name](setup, name))
    for each in made:
        each.describe()  # missing packages and wrong checksums are told before any film is read
    return made


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Suites replaced by their metrics, each metric once.

    Raises:
        ValueError: for a name that is neither.
    """
    expanded = [part for name in names for part in SUITES.get(name, (name,))]
    for name in expanded:
        if name not in KNOWN:
            raise ValueError(
                f"metrics: expected some of {', '.join(KNOWN)} or a suite of {', '.join(SUITES)}, got {name}"
            )
    return tuple(dict.fromkeys(expanded))


def build(names: Iterable[str], backbones: list[Extractor], setup: Setup) -> list[Metric]:
    """Metrics of single samples; those over features once for every backbone they can use.

    Raises:
        ValueError: for a metric whose network or backbone is not given, before any film is read.
    """
    made: list[Metric] = []
    for name in expand(names):
        if name in METRICS:
            made.append(METRICS[name]())
            continue
        if name in NETWORKED:
            made.append(NETWORKED[name](setup, name))
            made[-1].describe()
            continue
        fitting = [each for each in backbones if name == "kl" or each.describe()["rows"] == "frames"]
        if not fitting:
            raise ValueError(f"metrics: {name} needs a backbone, for example backbones=[efflite0]")
        kind = {"consistency": Consistency, "kl": Divergence}[name]
        made += [kind(extractor, setup.cache) for extractor in fitting]
    return made
