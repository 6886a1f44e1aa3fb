"""Steps that balance a set: proportions of two parts, and inverse-square-root resampling of clusters.

Every draw is keyed by the clip's id, so a clip's luck does not depend on the others.

Legend: N clips, D dimensions, K clusters.
"""

from pathlib import Path
from typing import Any

import numpy as np

from data.curation.config import MixConfig, ResampleConfig
from data.curation.joint_embedding import load_clip
from data.curation.text_features import text_rows
from src.core.errors import UserError
from src.core.rng import key

MAX_ITERATIONS = 100


def draw(seed: int, stream: str, clip_id: str) -> float:
    """Return a number in 0..1 that depends on the clip's id alone."""
    return key(seed, f"curation/{stream}:{clip_id}") / 2.0**63


def mix_values(rows: list[dict[str, Any]], config: MixConfig, clip_path: str) -> list[float | None]:
    """Return what divides the clips: a score, or the largest cosine with the embedding of a phrase.

    Raises:
        UserError: the phrases cannot be read, or there is no CLIP to compare them with.
    """
    if not config.phrases:
        return [row.get(config.score) for row in rows]
    if not clip_path:
        raise UserError(f"mixes: phrases={config.phrases} need scoring.clip_l14=FOLDER")
    clip = load_clip(clip_path)
    phrases_KD = np.stack([clip.embed_text(phrase)[0] for phrase in read_lines(config.phrases)])
    return [_largest_cosine(phrases_KD, row.get("clip_embedding")) for row in rows]


def _largest_cosine(phrases_KD: np.ndarray, embedding_D: Any) -> float | None:
    return None if embedding_D is None else float((phrases_KD @ np.asarray(embedding_D, np.float32)).max())


def read_lines(path: str) -> list[str]:
    """Return the different lines of a text file that are neither empty nor comments (#).

    Raises:
        UserError: the file cannot be read, or has no such line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    lines = [line.strip() for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not found:
        raise UserError(f"{path}: no concept or phrase in it")
    return found


def mix(rows: list[dict[str, Any]], values: list[float | None], config: MixConfig, seed: int) -> list[bool]:
    """Return which clips to keep so that the first part makes up the fraction; the scarcer part stays.

    Clips without a value belong to the second part.
    """
    first = [value is not None and value >= config.min for value in values]
    num_first, num_second = sum(first), len(first) - sum(first)
    if not num_first or not num_second:
        return [True] * len(rows)
    room_first = min(num_first, round(num_second * config.fraction / (1 - config.fraction)))
    room_second = min(num_second, round(num_first * (1 - config.fraction) / config.fraction))
    order = sorted(range(len(rows)), key=lambda i: draw(seed, "mix", rows[i]["id"]))
    keep, left = [False] * len(rows), {True: max(room_first, 1), False: max(room_second, 1)}
    for i in order:
        if left[first[i]]:
            left[first[i]] -= 1
            keep[i] = True
    return keep


def resample(rows: list[dict[str, Any]], config: ResampleConfig, seed: int) -> tuple[list[bool], list[int]]:
    """Return which clips to keep, and the cluster of each (-1 without an embedding: those are kept).

    A clip of a cluster of n clips is kept with a probability proportional to 1 / sqrt(n), at most 1, scaled
    so that `keep_fraction` of all remain (Movie Gen, sec. 3.2.1).
    """
    known = [i for i, row in enumerate(rows) if _embedding(row) is not None]
    clusters = [-1] * len(rows)
    if len(known) < 2:
        return [True] * len(rows), clusters
    labels = cluster([rows[i] for i in known], config, seed)
    for i, label in zip(known, labels, strict=True):
        clusters[i] = int(label)
    probabilities = keep_probabilities(labels, config.keep_fraction)
    keep = [True] * len(rows)
    for i, probability in zip(known, probabilities, strict=True):
        keep[i] = draw(seed, "resample", rows[i]["id"]) < probability
    return keep, clusters


def keep_probabilities(labels: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Return min(1, c / sqrt(size of the clip's cluster)), with c such that the mean is `keep_fraction`."""
    sizes = np.bincount(labels)[labels]
    weights = 1 / np.sqrt(sizes)
    low, high = 0.0, float(np.sqrt(sizes.max()))
    for _ in range(MAX_ITERATIONS):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.minimum(1, middle * weights).mean() < keep_fraction else (low, middle)
        )
    return np.minimum(1, high * weights)


def cluster(rows: list[dict[str, Any]], config: ResampleConfig, seed: int) -> np.ndarray:
    """Return labels of k-means over joint video-text embeddings; clusters with near centers are merged."""
    from sklearn.cluster import MiniBatchKMeans

    joint_ND = joint_rows(rows, config.text_weight)
    count = min(config.num_clusters or max(2, round(np.sqrt(len(rows)))), len(rows))
    means = MiniBatchKMeans(count, random_state=key(seed, "curation/clusters") % 2**32, n_init=3)
    labels = means.fit_predict(joint_ND)
    centers_KD = _unit(means.cluster_centers_)
    names = np.arange(len(centers_KD))
    for i, j in zip(*np.nonzero(centers_KD @ centers_KD.T >= config.merge_cosine), strict=True):
        if i < j:
            names[names == names[j]] = names[i]
    return np.unique(names[labels], return_inverse=True)[1]


def joint_rows(rows: list[dict[str, Any]], text_weight: float) -> np.ndarray:
    """Return unit rows [N, D]: video and caption embeddings side by side, weighted."""
    video_ND = video_rows(rows)
    captions = [" ".join(row.get("captions") or ()) for row in rows]
    if not any(captions) or not text_weight:
        return video_ND
    parts = [video_ND * np.sqrt(1 - text_weight), text_rows(captions) * np.sqrt(text_weight)]
    return _unit(np.hstack(parts))


def video_rows(rows: list[dict[str, Any]]) -> np.ndarray:
    """Return unit rows [N, D]: embeddings less their mean; features of a classifier are all positive."""
    video_ND = np.array([_embedding(row) for row in rows], np.float32)
    return _unit(video_ND - video_ND.mean(0))


def _embedding(row: dict[str, Any]) -> Any:
    return row.get("clip_embedding") if row.get("clip_embedding") is not None else row.get("embedding")


def _unit(rows_ND: np.ndarray) -> np.ndarray:
    return rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
