"""Score candidates by one metric, and keep networks that ranked samples from scoring them.

A checkpoint that chose the best of several candidates would praise its own choice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Networks
from eval.backbones.config import WeightsConfig
from eval.core.manifest import Sample
from eval.core.results import Metric
from eval.measurement import measure_sample
from eval.network_registry import NetworkFactory
from eval.registry import build_metrics
from src.core.errors import UserError

SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


def make_metric(
    name: str, score: str, weights: Mapping[str, WeightsConfig], cache: Path
) -> tuple[Metric, str]:
    """Return a metric of single samples and the name of the score that ranks.

    Args:
        cache: folder of features, for metrics over a network's features.

    Raises:
        UserError: an unknown score, several without `score`, or one of which neither end is better.
        ValueError: an unknown metric, or a network that is missing.
    """
    factory = NetworkFactory(networks=Networks(weights), cache=FeatureCache(cache))
    metrics = build_metrics([name], [], factory)
    if len(metrics) != 1:
        raise UserError(f"metric={name}: names {len(metrics)} metrics; candidates are ranked by one")
    scores = metrics[0].scores
    if not score and len(scores) == 1:
        score = next(iter(scores))
    if score not in scores:
        what = f"no score {score!r}" if score else f"has {len(scores)} scores, give one as score=..."
        raise UserError(f"metric={name}: {what}; known: {', '.join(scores)}")
    if not scores[score].better:
        raise UserError(f"score={score}: neither high nor low values are better")
    return metrics[0], score


def score_candidates(
    metric: Metric, score: str, samples: Iterable[Sample], root: Path
) -> Iterator[tuple[Sample, float | str]]:
    """Yield each sample with its score, or the reason why it has none."""
    for sample in samples:
        (record,) = measure_sample(sample, root=root, metrics=[metric])
        if record.values is None:
            yield sample, record.dropped or "not scored"
        elif score not in record.values:
            yield sample, f"no {score} for this sample"
        else:
            yield sample, record.values[score]


def network_hashes(metric: Metric) -> list[str]:
    """Return checksums of what a metric's network is: its file, and the checkpoint it was exported from."""
    described = metric.describe()
    return sorted(
        set(SHA256.findall(f"{described.get('weights_sha256', '')} {described.get('backbone', '')}"))
    )


def refuse_ranking_networks(samples: Iterable[Sample], metrics: Iterable[Metric]) -> list[str]:
    """Refuse to score samples by a network that chose them.

    Returns:
        Names of metrics without a network that chose some of the samples: their scores say how well the
        choice worked, not how good the generator is.

    Raises:
        UserError: a metric's network, or one exported from the same checkpoint, ranked a sample.
    """
    hashes: dict[str, str] = {}
    names: set[str] = set()
    for sample in samples:
        for each in (sample.generation or {}).get("ranked_by", []):
            names.add(each["metric"])
            hashes = dict.fromkeys(each["networks"], sample.id) | hashes
    for metric in metrics:
        for found in network_hashes(metric):
            if found in hashes:
                raise UserError(
                    f"metric {metric.name}: its network (sha256 {found[:12]}) chose sample {hashes[found]!r} "
                    "of several candidates; score by another checkpoint"
                )
    return sorted(names & {metric.name for metric in metrics})
