import numpy as np
import pytest

from eval.core.clusters import bootstrap_counts, cluster_means, clusters_of, group_codes, sums_by_code


def test_a_single_prompt_is_about_its_samples():
    assert clusters_of(["p", "p"], ["1", "2"]) == ["1", "2"]
    assert clusters_of(["", ""], ["1", "2"]) == ["1", "2"]
    assert clusters_of(["p", "q", "p"], ["1", "2", "3"]) == ["p", "q", "p"]
    named = clusters_of(["2", "", "", "p"], ["1", "2", "3", "4"])
    assert len(set(named)) == 4  # an id that is also a prompt is no member of its cluster


def test_codes_sums_and_means_of_groups():
    labels = ["x", "y", "x", 0, "y"]
    assert group_codes(labels, 5).tolist() == [0, 1, 0, 2, 1]  # in order of appearance
    assert group_codes(None, 3).tolist() == [0, 1, 2]
    assert sums_by_code(group_codes(labels, 5), [1, 2, 4, 8, 16]).tolist() == [5, 18, 8]
    assert cluster_means(np.array([1.0, 3, 5]), ["x", "y", "x"]).tolist() == [3, 3]
    assert cluster_means(np.array([1.0, 3, 5]), None).tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="groups: 1 labels for 2 values"):
        group_codes(["a"], 2)


def test_complete_clusters_are_drawn():
    items, raters = np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30)
    drawn = list(bootstrap_counts([items], 200))
    assert all(len(set(counts[items == 7])) == 1 for counts in drawn)
    assert {int(counts[::4].sum()) for counts in drawn} == {30}
    crossed = list(bootstrap_counts([items, raters], 400))
    for counts in crossed[:20]:
        table = counts.reshape(30, 4)
        assert np.linalg.matrix_rank(table) == 1  # times drawn of the item x of the rater
    assert np.mean(crossed) == pytest.approx(1, abs=0.05)
    assert np.array_equal(next(bootstrap_counts([items], 1)), drawn[0])
    assert not np.array_equal(next(bootstrap_counts([items], 1, seed=1)), drawn[0])
