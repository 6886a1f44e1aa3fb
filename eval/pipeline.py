"""From manifest to records: every sample is read once, in as many processes as asked, in the same order.

What is computed over whole sets is computed in one process from the cached features, in the manifest's
order and in blocks of fixed size, so that neither processes nor batches change a bit of any number.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from eval.manifest import Sample, iter_manifest
from eval.metrics import Extraction
from eval.quality.classes import softmax
from eval.quality.distribution import SetScore, compare, inception
from eval.results import EVERYTHING, Item, Measurement, Metric, Record, Row

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


def set_rows(
    extraction: Extraction,
    judged: dict[str, list[Item]],
    reference: list[Item],
    asked: dict[str, int],
    seed: int,
) -> list[Row]:
    """Distances of every system from the reference, by one backbone.

    Args:
        judged: for each system the items whose features are in the cache.
        reference: likewise; empty where there is none, then only the inception score can be computed.
        asked: for each system how many items there were.
    """
    backbone, rows = extraction.extractor.name, []
    real, real_groups, _ = _stacked(extraction, reference)
    for system, items in judged.items():
        made, groups, logits = _stacked(extraction, items)
        scores: list[SetScore] = []
        if len(reference) and len(items):
            kind = extraction.extractor.distance
            scores += compare(
                backbone, made, real, distance=kind, groups_x=groups, groups_y=real_groups, seed=seed
            )
        if logits is not None:
            scores.append(inception(backbone, softmax(logits), groups=groups, seed=seed))
        notes = [f"{score.name}: not computed, {score.refused}" for score in scores if score.refused]
        notes += [f"{score.name}: {note}" for score in scores for note in score.notes]
        intervals = {score.name: score.interval for score in scores if score.interval is not None}
        rows.append(
            Row(
                system=system,
                metric=f"distribution_{backbone}",
                slice=EVERYTHING,
                asked=asked[system],
                used=len(items),
                intervals=intervals,
                notes=tuple(notes),
            )
        )
    return rows


def _stacked(extraction: Extraction, items: list[Item]) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """All rows [n, d] of these items, each row's group (its prompt), and all logits."""
    features, logits, groups = [], [], list[str]()
    for item in items:
        rows = extraction.rows(item)
        features.append(rows["features"])
        groups += [item.sample.prompt or item.sample.id] * len(features[-1])
        if "logits" in rows:
            logits.append(rows["logits"])
    if not features:
        return np.zeros((0, 1), np.float32), groups, None
    return np.concatenate(features), groups, np.concatenate(logits) if logits else None
