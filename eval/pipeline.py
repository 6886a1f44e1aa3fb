"""From manifest to records: every sample is read once, in as many processes as asked, in the same order.

What is computed over whole sets is computed in one process from the cached features, in the manifest's
order and in blocks of fixed size, so that neither processes nor batches change a bit of any number.
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

from eval.backbones.feature_memmap import RowFile
from eval.core.manifest import Sample, iter_manifest
from eval.core.results import EVERYTHING, Item, Measurement, Metric, Record, Row
from eval.distribution.inception_score import softmax
from eval.distribution.reference_statistics import Published
from eval.distribution.suite import SetScore, compare, inception
from eval.registry import Extraction

_worker: tuple[list[Metric], Path] | None = None


def records(manifest: str, metrics: list[Metric], num_workers: int) -> Iterator[list[Record]]:
    """Records of every sample, in the manifest's order whatever the number of workers."""
    samples = iter_manifest(manifest, check_files=False)
    root = Path(manifest).resolve().parent
    if not num_workers:
        for sample in samples:
            yield judge_sample(sample, root=root, metrics=metrics)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _start_worker, (metrics, root)) as pool:
        while block := list(islice(samples, 64 * num_workers)):
            yield from pool.map(_judge_in_worker, block, chunksize=8)


def _start_worker(metrics: list[Metric], root: Path) -> None:
    """Networks are loaded once for each process, not once for each sample."""
    global _worker
    _worker = metrics, root


def _judge_in_worker(sample: Sample) -> list[Record]:
    assert _worker is not None
    return judge_sample(sample, root=_worker[1], metrics=_worker[0])


def judge_sample(sample: Sample, *, root: Path, metrics: list[Metric]) -> list[Record]:
    """Measure one sample; what cannot be measured becomes a record with its reason."""
    identity = {"id": sample.id, "system": sample.system, "prompt": sample.prompt, "tags": sample.tags}
    item, found = Item(sample, root), []
    for metric in metrics:
        measured, dropped = Measurement({}), None
        try:
            measured = metric.measure(item)
            if bad := [name for name, value in measured.values.items() if not np.isfinite(value)]:
                dropped = f"{bad[0]}: the metric gave a number that is not finite"
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
class Kept:
    """What is remembered of a sample whose features are in the cache: their key, and its prompt."""

    key: str
    group: str


def set_rows(
    extraction: Extraction,
    judged: dict[str, list[Kept]],
    reference: list[Kept],
    asked: dict[str, int],
    seed: int,
    *,
    published: Published | None = None,
    strict: bool = False,
) -> list[Row]:
    """Distances of every system from the reference, by one backbone.

    Features go from the cache to one file a set and are read from there in blocks: memory holds blocks, a few
    numbers for each row, and matrices of the features' dimension, however large the sets are.

    Args:
        judged: for each system the samples whose features are in the cache.
        reference: likewise; empty where there is none, then only the inception score can be computed.
        asked: for each system how many samples there were.
        published: statistics to measure the Frechet distance from, where there is no reference.

    Raises:
        ValueError: with `strict` for the first number that the sets are too small for.
    """
    backbone, rows = extraction.extractor.name, []
    folder = extraction.cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rows-", dir=folder) as temporary:
        real = _gathered(extraction, reference, Path(temporary) / "reference")
        for system, kept in judged.items():
            made = _gathered(extraction, kept, Path(temporary) / "judged")
            scores: list[SetScore] = []
            if len(reference) and len(kept):
                kind = extraction.extractor.distance
                groups = {"groups_x": made.groups, "groups_y": real.groups}
                scores += compare(backbone, made.features, real.features, distance=kind, **groups, seed=seed)
            if published is not None and len(kept):
                name = f"{extraction.extractor.distance}_{backbone}"
                scores.append(published.distance(name, made.features, made.groups, seed))
            if made.probabilities is not None:
                scores.append(inception(backbone, made.probabilities, groups=made.groups, seed=seed))
            refused = [score for score in scores if score.refused]
            if strict and refused:
                whose = f"system {system!r}: " if system else ""
                raise ValueError(f"{whose}{refused[0].name}: {refused[0].refused}")
            notes = [f"{score.name}: not computed, {score.refused}" for score in refused]
            notes += [f"{score.name}: {note}" for score in scores for note in score.notes]
            intervals = {score.name: score.interval for score in scores if score.interval is not None}
            rows.append(
                Row(
                    system=system,
                    metric=f"distribution_{backbone}",
                    slice=EVERYTHING,
                    asked=asked[system],
                    used=len(kept),
                    intervals=intervals,
                    notes=tuple(notes),
                )
            )
    return rows


@dataclass(frozen=True)
class _Gathered:
    """Features [n, d] and, of a classifier, probabilities [n, classes], on disk; each row's group."""

    features: NDArray[np.floating]
    probabilities: NDArray[np.floating] | None
    groups: list[str]


def _gathered(extraction: Extraction, kept: list[Kept], path: Path) -> _Gathered:
    groups = list[str]()
    features, probabilities = RowFile(path), RowFile(path.with_suffix(".probabilities"), np.float64)
    with features, probabilities:
        for each in kept:
            rows = extraction.stored(each.key)
            features.append(rows["features"])
            groups += [each.group] * len(rows["features"])
            if "logits" in rows:
                probabilities.append(softmax(rows["logits"]))
        return _Gathered(features.rows, probabilities.rows if probabilities.num else None, groups)
