"""Order is a pure function of (seed, step), and nothing is lost or seen twice."""

import pickle
from collections import Counter

import pytest

from src.streaming.batch_sampler import BatchSampler, StreamSpec, ValidationSampler
from src.streaming.buckets import BucketSpec
from src.streaming.schema.bucket import DataError


def one_bucket(chunks: tuple[int, ...], batch: int, seed: int = 0, **options: int) -> BatchSampler:
    return BatchSampler({"v": StreamSpec(1, {"b": BucketSpec(chunks, batch)})}, seed, **options)


def mixed(seed: int = 0) -> BatchSampler:
    video = StreamSpec(3, {"16x8x8": BucketSpec((10, 10, 3), 4), "8x8x8": BucketSpec((9, 30), 6)})
    return BatchSampler({"video": video, "image": StreamSpec(1, {"1x8x8": BucketSpec((50,), 8)})}, seed)


@pytest.mark.parametrize(
    ("chunks", "batch"), [((7, 5, 8), 4), ((7, 5, 9), 4), ((13,), 4), ((3, 1, 1, 9, 2, 7), 5)]
)
def test_every_record_once_in_an_epoch_and_none_twice_in_a_batch(chunks: tuple[int, ...], batch: int) -> None:
    total, epochs = sum(chunks), 6
    for seed in range(8):
        plan = one_bucket(chunks, batch, seed, shuffle_chunks=2)
        batches = [plan.batch_at(s).records for s in range(epochs * total // batch)]
        assert all(len(set(d)) == batch for d in batches)
        flat = [i for d in batches for i in d]
        for epoch in range(epochs - 1):
            assert sorted(flat[epoch * total : (epoch + 1) * total]) == list(range(total))


def test_a_bucket_of_few_batches_drops_a_different_rest_each_epoch() -> None:
    plan = one_bucket((11,), 4)
    epochs = [{i for s in (2 * e, 2 * e + 1) for i in plan.batch_at(s).records} for e in range(40)]
    assert all(len(e) == 8 for e in epochs)
    assert len(set.union(*epochs)) == 11


def test_order_differs_between_epochs_and_seeds() -> None:
    first, other = one_bucket((64,), 8), one_bucket((64,), 8, seed=1)
    assert [first.batch_at(s).records for s in range(8)] != [first.batch_at(s).records for s in range(8, 16)]
    assert [first.batch_at(s).records for s in range(8)] != [other.batch_at(s).records for s in range(8)]


def test_a_step_does_not_depend_on_what_was_read_before() -> None:
    in_order = [mixed().batch_at(s) for s in range(60)]
    plan = mixed()
    assert [plan.batch_at(s) for s in reversed(range(60))] == in_order[::-1]
    assert mixed().batch_at(59) == in_order[59]
    assert pickle.loads(pickle.dumps(plan)).batch_at(17) == in_order[17]


def test_the_mixture_is_exact_over_every_window() -> None:
    streams = [mixed().batch_at(s).stream for s in range(400)]
    for window in range(100):
        assert Counter(streams[4 * window : 4 * window + 4]) == {"video": 3, "image": 1}
    assert len({tuple(streams[4 * w : 4 * w + 4]) for w in range(100)}) == 4  # not the same turn each time


def test_buckets_take_turns_by_size_and_lose_nothing() -> None:
    plan = mixed()
    batches = [d for d in map(plan.batch_at, range(4 * 50)) if d.stream == "video"]
    counts = Counter(d.bucket for d in batches)
    assert counts["16x8x8"] / counts["8x8x8"] == pytest.approx((23 / 4) / (39 / 6), rel=0.05)
    for bucket, total in (("16x8x8", 23), ("8x8x8", 39)):
        flat = [i for d in batches if d.bucket == bucket for i in d.records]
        assert sorted(flat[:total]) == list(range(total))
        assert sorted(flat[total : 2 * total]) == list(range(total))


def test_a_batch_touches_only_neighboring_chunks() -> None:
    plan = one_bucket((10,) * 20, 10, shuffle_chunks=2)
    assert all(len({i // 10 for i in plan.batch_at(s).records}) <= 2 for s in range(20))
    assert any(len({i // 10 for i in plan.batch_at(s).records}) == 2 for s in range(20))


def test_a_new_stream_leaves_the_order_within_the_others_alone() -> None:
    video = {"b": BucketSpec((40,), 4)}
    alone = BatchSampler({"video": StreamSpec(1, video)}, 0)
    both = BatchSampler(
        {"video": StreamSpec(1, video), "audio": StreamSpec(1, {"c": BucketSpec((9,), 3)})}, 0
    )
    seen = [d.records for d in map(both.batch_at, range(20)) if d.stream == "video"]
    assert seen == [alone.batch_at(s).records for s in range(10)]


def test_golden_order() -> None:
    """Changes only with a reason written into docs/log/2026-11.md: it changes every run's data order."""
    plan = mixed(seed=7)
    assert [(d.stream, d.bucket, d.records[:3]) for d in map(plan.batch_at, range(4))] == GOLDEN


GOLDEN = [
    ("video", "8x8x8", (16, 0, 32)),
    ("image", "1x8x8", (5, 12, 11)),
    ("video", "8x8x8", (7, 2, 15)),
    ("video", "16x8x8", (11, 17, 20)),
]


def test_a_bucket_smaller_than_a_batch_is_refused_with_what_would_work() -> None:
    with pytest.raises(
        DataError,
        match=r"bucket b has 3 records, fewer than one batch of 4; "
        r"use data.streams.v.batch_size=3 or less",
    ):
        one_bucket((2, 1), 4)


def test_validation_sees_every_record_once_and_fills_the_last_batch() -> None:
    plan = ValidationSampler({"v": StreamSpec(1, {"a": BucketSpec((5,), 4), "b": BucketSpec((2,), 4)})})
    assert [(d.bucket, d.records, d.num_real) for d in map(plan.batch_at, range(len(plan)))] == [
        ("a", (0, 1, 2, 3), 4),
        ("a", (4, 0, 1, 2), 1),
        ("b", (0, 1, 0, 1), 2),
    ]
