"""Groups of near-duplicate clips: embeddings that agree, confirmed by perceptual hashes of the stills.

Legend: N clips, D dimensions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from data.curation.config import DuplicatesConfig
from data.curation.fingerprints import hash_distances

BLOCK = 1024  # clips whose similarities are computed together: memory stays N x BLOCK


def find_groups(rows: list[dict[str, Any]], config: DuplicatesConfig) -> list[int]:
    """Return for each clip the index of its group's representative, itself if it has no duplicate.

    Groups are connected: a clip joins if it matches any member. The representative has the most pixels, then
    the longest duration, then the first id. Clips without an embedding are groups of their own.
    """
    parents = list(range(len(rows)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for i, j in _candidates(rows, config.cosine):
        if root(i) != root(j) and still_distance(rows[i], rows[j]) <= config.max_bits:
            parents[root(j)] = root(i)
    best: dict[int, int] = {}
    for i in sorted(range(len(rows)), key=lambda i: _preference(rows[i])):
        best.setdefault(root(i), i)
    return [best[root(i)] for i in range(len(rows))]


def _preference(row: dict[str, Any]) -> tuple[float, float, str]:
    return -row["width"] * row["height"], -row["duration_s"], row["id"]


def _candidates(rows: list[dict[str, Any]], cosine: float) -> Iterator[tuple[int, int]]:
    """Yield pairs i < j whose embeddings are at least this close."""
    known = [i for i, row in enumerate(rows) if row.get("embedding") is not None]
    if not known:
        return
    embeddings_ND = np.array([rows[i]["embedding"] for i in known], np.float32)
    for start in range(0, len(known), BLOCK):
        near = embeddings_ND[start : start + BLOCK] @ embeddings_ND.T >= cosine
        for a, b in zip(*np.nonzero(near), strict=True):
            if start + a < b:
                yield known[start + a], known[b]


def still_distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Return the differing bits of two clips' stills: median over each still's nearest in the other clip.

    The median over the clip with the better match, since one may be a part of the other.
    """
    bits = hash_distances(np.array(a["hashes"], np.uint64), np.array(b["hashes"], np.uint64))
    return float(min(np.median(bits.min(1)), np.median(bits.min(0))))
