"""Score a manifest: every sample is read once, in any number of processes, in the manifest's order.

Metrics of sets are computed in one process from cached features, in the manifest's order and in blocks of
fixed size, so that results do not depend on the number of processes, bit for bit.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from eval.backbones.feature_memmap import FeatureMemmap
from eval.core.manifest import Sample, iter_manifest
from eval.core.results import ALL, Item, Measurement, Metric, Record, Row
from eval.distribution.inception_score import softmax
from eval.distribution.reference_statistics import ReferenceStatistics
from eval.distribution.suite import SetScore, compare_sets, score_inception
from eval.registry import Extraction

_worker: tuple[list[Metric], Path] | None = None


def score_samples(manifest: str, metrics: list[Metric], num_workers: int) -> Iterator[list[Record]]:
    """Yield the records of each sample, in the manifest's order for any number of workers."""
    samples = iter_manifest(manifest, check_files=False)
    root = Path(manifest).resolve().parent
    if not num_workers:
        for sample in samples:
            yield measure_sample(sample, root=root, metrics=metrics)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _start_worker, (metrics, root)) as pool:
        while block := list(islice(samples, 64 * num_workers)):
            yield from pool.map(_measure_in_worker, block, chunksize=8)


def _start_worker(metrics: list[Metric], root: Path) -> None:
    """Keep the metrics in the process, so that networks are loaded once and not for each sample."""
    global _worker
    _worker = metrics, root


def _measure_in_worker(sample: Sample) -> list[Record]:
    assert _worker is not None
    return measure_sample(sample, root=_worker[1], metrics=_worker[0])


def measure_sample(sample: Sample, *, root: Path, metrics: list[Metric]) -> list[Record]:
    """Score one sample by all metrics; a failure becomes a record with its reason."""
    identity = {"id": sample.id, "system": sample.system, "prompt": sample.prompt, "tags": sample.tags}
    item, found = Item(sample, root), []
    for metric in metrics:
        measured, dropped = Measurement({}), None
        try:
            measured = metric.measure(item)
            if bad := [name for name, value in measured.values.items() if not np.isfinite(value)]:
                dropped = f"{bad[0]}: the metric returned a value that is not finite"
        except ValueError as error:
            dropped = " ".join(str(error).replace(str(root) + "/", "").split())
        values = None if dropped else measured.values
        found.append(
            Record(
                **identity,
                metric=metric.name,
                values=values,
                detail={} if dropped else measured.detail,
                dropped=dropped,
            )
        )
    return found


@dataclass(frozen=True)
class CachedSample:
    """Key of a sample's features in the cache, and the group (prompt) it is resampled with."""

    key: str
    group: str


def distribution_rows(
    extraction: Extraction,
    generated: dict[str, list[CachedSample]],
    reference: list[CachedSample],
    num_samples: dict[str, int],
    seed: int,
    *,
    statistics: ReferenceStatistics | None = None,
    strict: bool = False,
) -> list[Row]:
    """Return the distances of every system to the reference, by one backbone.

    Features are copied from the cache to one file per set and read from there in blocks: memory holds blocks,
    a few numbers for each row and matrices of the feature dimension, for sets of any size.

    Args:
        generated: for each system the samples whose features are in the cache.
        reference: likewise; empty without a reference, when only the inception score can be computed.
        num_samples: for each system its number of samples, including dropped ones.
        statistics: precomputed statistics for the Frechet distance, instead of a reference.

    Raises:
        ValueError: with `strict`, for the first score that the sets are too small for.
    """
    backbone, rows = extraction.extractor.name, []
    folder = extraction.cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rows-", dir=folder) as temporary:
        y = _gather(extraction, reference, Path(temporary) / "reference")
        for system, cached in generated.items():
            x = _gather(extraction, cached, Path(temporary) / "generated")
            scores: list[SetScore] = []
            if len(reference) and len(cached):
                kind = extraction.extractor.distance
                groups = {"groups_x": x.groups, "groups_y": y.groups}
                scores += compare_sets(backbone, x.features, y.features, distance=kind, **groups, seed=seed)
            if statistics is not None and len(cached):
                name = f"{extraction.extractor.distance}_{backbone}"
                scores.append(statistics.distance(name, x.features, x.groups, seed))
            if x.probabilities is not None:
                scores.append(score_inception(backbone, x.probabilities, groups=x.groups, seed=seed))
            failed = [score for score in scores if score.error]
            if strict and failed:
                whose = f"system {system!r}: " if system else ""
                raise ValueError(f"{whose}{failed[0].name}: {failed[0].error}")
            notes = [f"{score.name}: not computed, {score.error}" for score in failed]
            notes += [f"{score.name}: {note}" for score in scores for note in score.notes]
            intervals = {score.name: score.interval for score in scores if score.interval is not None}
            rows.append(
                Row(
                    system=system,
                    metric=f"distribution_{backbone}",
                    slice=ALL,
                    num_samples=num_samples[system],
                    num_scored=len(cached),
                    intervals=intervals,
                    notes=tuple(notes),
                )
            )
    return rows


@dataclass(frozen=True)
class _FeatureSet:
    """Memory-mapped features [n, d] and, of a classifier, probabilities [n, classes]; each row's group."""

    features: NDArray[np.floating]
    probabilities: NDArray[np.floating] | None
    groups: list[str]


def _gather(extraction: Extraction, cached: list[CachedSample], path: Path) -> _FeatureSet:
    groups = list[str]()
    features, probabilities = (
        FeatureMemmap(path),
        FeatureMemmap(path.with_suffix(".probabilities"), np.float64),
    )
    with features, probabilities:
        for each in cached:
            rows = extraction.load(each.key)
            features.append(rows["features"])
            groups += [each.group] * len(rows["features"])
            if "logits" in rows:
                probabilities.append(softmax(rows["logits"]))
        return _FeatureSet(features.rows, probabilities.rows if probabilities.num else None, groups)
