import numpy as np
import pytest

from eval.core.aggregation import Aggregator
from eval.core.intervals import t_bounds, wilson_bounds
from eval.core.results import FRACTION, Record, Score, check_slices

SCORES = {"m": {"right": Score(1, FRACTION), "lag": Score(-1, "s")}}


def record(name, values, prompt="", tags=(), pooled=None, dropped=None):
    return Record(
        id=str(name), system="", prompt=prompt, tags=tags, metric="m", values=values, detail={},
        dropped=dropped, pooled=pooled or {},
    )  # fmt: skip


def summarize(records, **options):
    aggregator = Aggregator()
    for each in records:
        aggregator.add(each)
    return {row.slice: row for row in aggregator.summarize(scores=SCORES, **options)}


def test_each_value_has_its_own_number_of_samples():
    """Of six sounds four are silent: they have a count, but no lag."""
    values = [{"right": 0.0}] * 4 + [{"right": 1.0, "lag": 0.1}, {"right": 1.0, "lag": 0.3}]
    row = summarize(record(i, each) for i, each in enumerate(values))["all"]
    assert (row.num_scored, row.num_samples) == (6, 6)
    assert (row.intervals["right"].num, row.intervals["lag"].num) == (6, 2)
    assert row.intervals["lag"].mean == pytest.approx(0.2)
    assert row.intervals["lag"].bounds is None
    dropped = summarize([record(0, {"lag": 1.0}), record(1, None, dropped="no such file")])["all"]
    assert (dropped.num_scored, dropped.num_samples, dropped.intervals["lag"].num) == (1, 2, 1)


def test_the_unit_decides_what_zeros_and_ones_are():
    values = [{"right": float(i % 2), "lag": float(i % 2)} for i in range(10)]
    found = summarize(record(i, each) for i, each in enumerate(values))["all"].intervals
    assert found["right"].bounds == wilson_bounds(5, 10)
    assert found["lag"].bounds == pytest.approx(t_bounds(np.array([0.0, 1.0] * 5)))
    zeros = summarize(record(i, {"right": 0.0, "lag": 0.0}) for i in range(10))["all"].intervals
    assert zeros["right"].bounds == wilson_bounds(0, 10)
    assert zeros["lag"].bounds is None


@pytest.mark.parametrize("pooled", [False, True])
def test_samples_of_a_prompt_are_a_cluster(pooled):
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(5, 1, 8), 3)

    def groups(prompts):
        records = [
            record(i, {"lag": v}, prompt=p, pooled={"lag": (v, 1.0)} if pooled else None)
            for i, (v, p) in enumerate(zip(values, prompts, strict=True))
        ]
        return summarize(records)["all"].intervals["lag"].num_groups

    assert groups([f"p{i // 3}" for i in range(24)]) == 8
    assert groups(["one"] * 24) == groups([""] * 24) == 24


def test_pooled_values_weigh_by_their_denominators():
    counts = [(0.0, 1.0), (9.0, 9.0), (0.0, 0.0), (3.0, 6.0), (4.0, 4.0), (1.0, 2.0)]
    records = [record(i, {}, pooled={"right": each}) for i, each in enumerate(counts)]
    found = summarize(records)["all"].intervals["right"]
    assert (found.mean, found.num, found.method) == (pytest.approx(17 / 22), 5, "t of a ratio")
    assert found.high <= 1
    assert summarize(records[2:3])["all"].intervals == {}


def test_what_was_dropped_is_listed_with_its_reason():
    aggregator = Aggregator()
    for each in (record(0, {"lag": 1.0}), record(1, None, dropped="no such file")):
        aggregator.add(each)
    assert aggregator.dropped == [{"id": "1", "system": "", "metric": "m", "reason": "no such file"}]


def test_slices_have_rows_and_misspelt_ones_a_suggestion():
    records = [record(i, {"lag": float(i)}, tags=("fast", "fast") if i % 2 else ("slow",)) for i in range(12)]
    rows = summarize(records)
    assert {name: row.num_samples for name, row in rows.items()} == {"all": 12, "fast": 6, "slow": 6}
    assert list(summarize(records, slices=["slow"])) == ["all", "slow"]
    check_slices(["slow"], ["fast", "slow"])
    with pytest.raises(ValueError, match=r"no sample has the tag .slwo.; did you mean slow\?"):
        check_slices(["slow", "slwo"], ["fast", "slow"])
    with pytest.raises(ValueError, match="'camera'; known: fast, slow"):
        check_slices(["camera"], ["fast", "slow"])


def test_the_seed_is_that_of_the_bootstrap():
    records = [record(i, {"lag": v}) for i, v in enumerate(np.random.default_rng(0).exponential(size=60))]
    one, same, other = (summarize(records, seed=s)["all"].intervals["lag"] for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("better", [-2, 2])
def test_a_value_is_better_higher_or_lower_or_neither(better):
    assert [Score(each).better for each in (-1, 0, 1)] == [-1, 0, 1]
    with pytest.raises(ValueError, match=f"better: expected -1, 0 or 1, got {better}"):
        Score(better)
