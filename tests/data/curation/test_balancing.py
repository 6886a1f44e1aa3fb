"""Proportions and inverse-square-root resampling against the formula."""

from typing import Any

import numpy as np
import pytest

from data.curation import balancing
from data.curation.config import MixConfig, ResampleConfig
from src.core.errors import UserError


def clips(num: int, **scores: Any) -> list[dict[str, Any]]:
    return [{"id": f"{scores}{i}", "captions": [], **scores} for i in range(num)]


def mixed(rows: list[dict[str, Any]], config: MixConfig, seed: int) -> list[bool]:
    return balancing.mix(rows, balancing.mix_values(rows, config, ""), config, seed)


def test_the_mix_reaches_its_fraction_by_dropping_the_plentiful_part() -> None:
    rows = clips(60, aspect=1.5) + clips(60, aspect=0.6)
    keep = np.array(mixed(rows, MixConfig(fraction=0.8), 0))
    assert keep[:60].all()
    assert keep[60:].sum() == 15  # 60 / (60 + 15) = 0.8
    keep = np.array(mixed(clips(60, aspect=1.5) + clips(4, aspect=0.6), MixConfig(fraction=0.6), 0))
    assert (keep[:60].sum(), keep[60:].sum()) == (6, 4)  # 6 / (6 + 4) = 0.6


def test_phrases_need_a_network_and_divide_by_its_embeddings(tmp_path, monkeypatch) -> None:
    (tmp_path / "verbs.txt").write_text("# human verbs\na person walks\na person eats\n")
    config = MixConfig(phrases=str(tmp_path / "verbs.txt"), min=0.5, fraction=0.5)
    with pytest.raises(UserError, match="need scoring"):
        balancing.mix_values([], config, "")

    class Embedder:
        def embed_text(self, text: str) -> tuple[np.ndarray, bool]:
            return np.eye(3)[0 if "walks" in text else 1], False

    monkeypatch.setattr(balancing, "load_clip", lambda path: Embedder())
    rows = [{"id": str(i), "clip_embedding": row} for i, row in enumerate([*np.eye(3), np.eye(3)[2]])]
    rows.append({"id": "no embedding", "clip_embedding": None})
    values = balancing.mix_values(rows, config, "folder")
    assert values == [1.0, 1.0, 0.0, 0.0, None]
    assert sum(balancing.mix(rows, values, config, 0)) == 4


def test_a_clip_s_luck_does_not_depend_on_the_order() -> None:
    rows = clips(40, aspect=1.5) + clips(40, aspect=0.6)
    keep = dict(zip((r["id"] for r in rows), mixed(rows, MixConfig(), 3), strict=True))
    again = dict(zip((r["id"] for r in rows[::-1]), mixed(rows[::-1], MixConfig(), 3), strict=True))
    assert keep == again


def test_keep_probabilities_follow_the_inverse_square_root() -> None:
    labels = np.repeat([0, 1, 2], [4, 100, 400])
    keep = balancing.keep_probabilities(labels, 0.1)
    assert keep.mean() == pytest.approx(0.1)
    assert keep[4] / keep[104] == pytest.approx(2.0)  # sqrt(400 / 100)
    kept_per_cluster = np.bincount(labels, keep)
    assert kept_per_cluster[2] / kept_per_cluster[1] == pytest.approx(2.0)


def test_everything_may_be_kept() -> None:
    assert balancing.keep_probabilities(np.array([0, 0, 1]), 1.0) == pytest.approx(1.0)


def test_alike_clips_fall_into_one_cluster_and_are_thinned() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, 32))
    sizes = (150, 30, 10, 10)
    rows = []
    for center, size in zip(centers, sizes, strict=True):
        for _ in range(size):
            rows.append({"id": str(len(rows)), "captions": [], "embedding": center + rng.normal(0, 0.05, 32)})
    keep, clusters = balancing.resample(rows, ResampleConfig(num_clusters=4, keep_fraction=0.4), seed=0)
    truth = np.repeat(range(4), sizes)
    assert len(set(zip(truth, clusters, strict=True))) == 4
    fractions = [np.mean(np.array(keep)[truth == k]) for k in range(4)]
    assert fractions[0] < 0.5 < fractions[2]


def test_clips_without_an_embedding_stay() -> None:
    keep, clusters = balancing.resample(clips(3), ResampleConfig(), seed=0)
    assert keep == [True] * 3
    assert clusters == [-1] * 3
