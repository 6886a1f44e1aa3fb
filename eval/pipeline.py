"""Score a manifest: every sample is read once, in any number of processes, in the manifest's order.

Metrics of sets are computed in one process from cached features, in the manifest's order and in blocks of
fixed size, so that results do not depend on the number of processes, bit for bit.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from eval.backbones.feature_memmap import FeatureMemmap
from eval.core.journal import Journal
from eval.core.manifest import Sample
from eval.core.results import ALL, Metric, Record, Row
from eval.distribution.config import SetsConfig
from eval.distribution.inception_score import softmax
from eval.distribution.reference_statistics import ReferenceStatistics
from eval.distribution.suite import SetScore, compare_sets, score_inception
from eval.measurement import measure_sample
from eval.registry import Extraction
from src.core.process_guard import ParentWatchdog

_worker: tuple[list[Metric], Path, Journal] | None = None


def score_samples(
    samples: Iterable[Sample], root: Path, metrics: list[Metric], num_workers: int, journal: Path
) -> Iterator[list[Record]]:
    """Yield the records of each sample, in the order of the samples for any number of workers.

    Args:
        root: folder of the samples' media.
        journal: folder of the measurements, where those of an interrupted run are found.

    Raises:
        ValueError: a worker process was killed.
    """
    if not num_workers:
        with closing(Journal(journal)) as found:
            for sample in samples:
                yield measure_sample(sample, root=root, metrics=metrics, journal=found)
        return
    context = get_context("spawn")
    watchdog, stream = ParentWatchdog(context), iter(samples)
    arguments = watchdog.exit_with_parent, metrics, root, journal
    with ProcessPoolExecutor(num_workers, context, _start_worker, arguments) as pool:
        try:
            while block := list(islice(stream, 64 * num_workers)):
                yield from pool.map(_measure_in_worker, block, chunksize=8)
        except BrokenProcessPool:
            raise ValueError(
                "a worker process was killed (out of memory?); the same command resumes where it stopped, "
                "with num_workers=0 in one process"
            ) from None


def _start_worker(
    exit_with_parent: Callable[[], None], metrics: list[Metric], root: Path, journal: Path
) -> None:
    """Keep the metrics in the process, so that networks are loaded once and not for each sample."""
    global _worker
    exit_with_parent()
    _worker = metrics, root, Journal(journal)


def _measure_in_worker(sample: Sample) -> list[Record]:
    assert _worker is not None
    return measure_sample(sample, root=_worker[1], metrics=_worker[0], journal=_worker[2])


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
    num_reference: int = 0,
    reference_dropped: Sequence[dict[str, str]] = (),
    settings: SetsConfig | None = None,
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
        num_reference: likewise of the reference; reference_dropped: those of it that could not be read.
        statistics: precomputed statistics for the Frechet distance, instead of a reference.

    Raises:
        ValueError: with `strict`, for the first score that the sets are too small for.
    """
    backbone, rows = extraction.extractor.name, []
    folder = extraction.cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rows-", dir=folder) as temporary:
        y = _gather(extraction, reference, Path(temporary) / "reference")
        reference_key = statistics.sha256 if statistics is not None else _key_of_set(reference)
        for system, cached in generated.items():
            x = _gather(extraction, cached, Path(temporary) / "generated")
            scores: list[SetScore] = []
            if len(reference) and len(cached):
                scores += compare_sets(
                    backbone,
                    x.features,
                    y.features,
                    distance=extraction.extractor.distance,
                    videos_x=x.videos,
                    videos_y=y.videos,
                    groups_x=x.groups,
                    groups_y=y.groups,
                    settings=settings,
                    seed=seed,
                )
            if statistics is not None and len(cached):
                name = f"{extraction.extractor.distance}_{backbone}"
                found = statistics.distance(name, x.features, videos=x.videos, groups=x.groups)
                scores.append(found)
            if x.probabilities is not None:
                classes = x.probabilities
                found = score_inception(backbone, classes, videos=x.videos, groups=x.groups, seed=seed)
                scores.append(found)
            failed = [score for score in scores if score.error]
            if strict and failed:
                whose = f"system {system!r}: " if system else ""
                raise ValueError(f"{whose}{failed[0].name}: {failed[0].error}")
            notes = [f"{score.name}: not computed, {score.error}" for score in failed]
            notes += [f"{score.name}: {note}" for score in scores for note in score.notes]
            if reference_dropped:
                first = f"first {reference_dropped[0]['id']}: {reference_dropped[0]['reason']}"
                lost = f"{len(reference_dropped)} of {num_reference} samples could not be read"
                notes.append(f"reference: {lost}, {first}")
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
                    reference_scored=len(reference) if num_reference else None,
                    reference_samples=num_reference or None,
                    reference_key=reference_key,
                )
            )
    return rows


def _key_of_set(samples: list[CachedSample]) -> str:
    """Return a hash of a set's features; empty for no set."""
    text = "\n".join(each.key for each in samples)
    return hashlib.sha256(text.encode()).hexdigest() if samples else ""


@dataclass(frozen=True)
class _FeatureSet:
    """Memory-mapped features [n, d] and, of a classifier, probabilities [n, classes]; each row's labels.

    `videos`: number of the row's sample; `groups`: its prompt.
    """

    features: NDArray[np.floating]
    probabilities: NDArray[np.floating] | None
    videos: list[int]
    groups: list[str]


def _gather(extraction: Extraction, cached: list[CachedSample], path: Path) -> _FeatureSet:
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
        return _FeatureSet(features.rows, classes, videos, groups)
