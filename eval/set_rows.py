"""Rows of tables about sets: every system's features, from the cache, against those of the reference.

Sets are computed in one process, in the manifest's order and in blocks of fixed size, so that results do not
depend on the number of processes, bit for bit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from eval.backbones.extractor import Extractor
from eval.backbones.feature_memmap import FeatureMemmap
from eval.core.results import ALL, Row
from eval.distribution.config import SetsConfig
from eval.distribution.inception_score import softmax
from eval.distribution.reference_statistics import ReferenceStatistics
from eval.distribution.set_metric import SetMetric, score_set_metric
from eval.distribution.suite import FeatureSet, SetScore, compare_sets, score_inception
from eval.registry import Extraction


@dataclass(frozen=True)
class CachedSample:
    """Key of a sample's features in the cache, the group (prompt) it is resampled with, and its id."""

    key: str
    group: str
    id: str = ""


def distribution_rows(
    extraction: Extraction,
    generated: dict[str, list[CachedSample]],
    reference: list[CachedSample],
    num_samples: dict[str, int],
    seed: int,
    *,
    num_reference: int = 0,
    reference_dropped: Sequence[dict[str, str]] = (),
    settings: SetsConfig | None = None,
    statistics: ReferenceStatistics | None = None,
    set_metrics: Sequence[SetMetric] = (),
    strict: bool = False,
) -> list[Row]:
    """Return the distances of every system to the reference by one backbone, and values of metrics of sets.

    Features are copied from the cache to one file per set and read from there in blocks: memory holds blocks,
    a few numbers for each row and matrices of the feature dimension, for sets of any size.

    Args:
        generated: for each system the samples whose features are in the cache.
        reference: likewise; empty without a reference, when only the inception score can be computed.
        num_samples: for each system its number of samples, including dropped ones.
        num_reference: likewise of the reference; reference_dropped: those of it that could not be read.
        statistics: precomputed statistics for the Frechet distance, instead of a reference.
        set_metrics: further metrics of the features, each with a row of its own.

    Raises:
        ValueError: with `strict`, for the first score that the sets are too small for.
    """
    backbone, rows = extraction.extractor.name, []
    folder = extraction.cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rows-", dir=folder) as temporary:
        y = gather_features(extraction, reference, Path(temporary) / "reference")
        for system, cached in generated.items():
            x = gather_features(extraction, cached, Path(temporary) / "generated")
            found = {
                f"distribution_{backbone}": _distances(extraction.extractor, x, y, settings, statistics, seed)
            }
            for each in set_metrics:
                known = FeatureSet.of(y.features, y.videos, y.groups) if y.videos else None
                own = FeatureSet.of(x.features, x.videos, x.groups)
                found[f"{each.name}_{backbone}"] = (
                    score_set_metric(each, backbone, own, known) if x.videos else []
                )
            for metric, scores in found.items():
                if set_metrics and not scores:
                    continue
                failed = [score for score in scores if score.error]
                if strict and failed:
                    whose = f"system {system!r}: " if system else ""
                    raise ValueError(f"{whose}{failed[0].name}: {failed[0].error}")
                rows.append(
                    Row(
                        system=system,
                        metric=metric,
                        slice=ALL,
                        num_samples=num_samples[system],
                        num_scored=len(cached),
                        intervals={each.name: each.interval for each in scores if each.interval is not None},
                        notes=(*_notes(scores), *_lost_notes(reference_dropped, num_reference)),
                        reference_scored=len(reference) if num_reference else None,
                        reference_samples=num_reference or None,
                        reference_key=_key_of_set(reference) if statistics is None else statistics.sha256,
                    )
                )
    return rows


def _distances(
    extractor: Extractor,
    x: "GatheredRows",
    y: "GatheredRows",
    settings: SetsConfig | None,
    statistics: ReferenceStatistics | None,
    seed: int,
) -> list[SetScore]:
    """Return distances to the reference, or to its statistics, and a classifier's inception score."""
    scores: list[SetScore] = []
    if y.videos and x.videos:
        scores += compare_sets(
            extractor.name,
            x.features,
            y.features,
            distance=extractor.distance,
            videos_x=x.videos,
            videos_y=y.videos,
            groups_x=x.groups,
            groups_y=y.groups,
            settings=settings,
            seed=seed,
        )
    if statistics is not None and x.videos:
        name = f"{extractor.distance}_{extractor.name}"
        scores.append(statistics.distance(name, x.features, videos=x.videos, groups=x.groups))
    if x.probabilities is not None:
        found = score_inception(extractor.name, x.probabilities, videos=x.videos, groups=x.groups, seed=seed)
        scores.append(found)
    return scores


def _notes(scores: list[SetScore]) -> list[str]:
    notes = [f"{score.name}: not computed, {score.error}" for score in scores if score.error]
    return notes + [f"{score.name}: {note}" for score in scores for note in score.notes]


def _lost_notes(dropped: Sequence[dict[str, str]], num_reference: int) -> list[str]:
    if not dropped:
        return []
    first = f"first {dropped[0]['id']}: {dropped[0]['reason']}"
    return [f"reference: {len(dropped)} of {num_reference} samples could not be read, {first}"]


def _key_of_set(samples: list[CachedSample]) -> str:
    """Return a hash of a set's features; empty for no set."""
    text = "\n".join(each.key for each in samples)
    return hashlib.sha256(text.encode()).hexdigest() if samples else ""


@dataclass(frozen=True)
class GatheredRows:
    """Memory-mapped features [n, d] and, of a classifier, probabilities [n, classes]; each row's labels.

    `videos`: number of the row's sample; `groups`: its prompt.
    """

    features: NDArray[np.floating]
    probabilities: NDArray[np.floating] | None
    videos: list[int]
    groups: list[str]


def gather_features(extraction: Extraction, cached: list[CachedSample], path: Path) -> GatheredRows:
    """Copy the features of samples from the cache to a file at `path`, and return them mapped into memory."""
    videos, groups = list[int](), list[str]()
    features, probabilities = (
        FeatureMemmap(path),
        FeatureMemmap(path.with_suffix(".probabilities"), np.float64),
    )
    with features, probabilities:
        for number, each in enumerate(cached):
            rows = extraction.load(each.key)
            features.append(rows["features"])
            videos += [number] * len(rows["features"])
            groups += [each.group] * len(rows["features"])
            if "logits" in rows:
                probabilities.append(softmax(rows["logits"]))
        classes = probabilities.rows if probabilities.num else None
        return GatheredRows(features.rows, classes, videos, groups)
