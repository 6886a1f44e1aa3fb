"""Virtual shards: an order that does not depend on the nodes, and each chunk read by one node."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from src.streaming.batch_sampler import BatchSampler, StreamSpec
from src.streaming.bijection import permuted_indices
from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.epoch_order import EpochOrder
from src.streaming.schema.bucket import DataError

SIZES = (9, 4, 7, 7, 5, 8, 6, 2, 9, 9, 3, 7, 6, 4, 8, 2)  # 96 records in 16 chunks
STARTS = np.cumsum(SIZES)


def sampler(spec: BucketSpec, shards: int = 4) -> BatchSampler:
    streams = {"v": StreamSpec(1, {"b": spec})}
    return BatchSampler(streams, 3, shuffle_chunks=2, virtual_shards=shards)


def chunk_of(record: int) -> int:
    return int(np.searchsorted(STARTS, record, "right"))


@pytest.mark.parametrize("num_nodes", [1, 2, 4])
def test_each_chunk_goes_to_one_node_and_the_order_is_that_of_any_number(num_nodes: int) -> None:
    plan, world_size = sampler(BucketSpec(SIZES, 8)), 2 * num_nodes
    nodes = defaultdict(set)
    for step in range(60):
        ranks = [plan.batch_at(step, rank, world_size) for rank in range(world_size)]
        assert sum((b.records for b in ranks), ()) == plan.batch_at(step).records
        assert [b.first for b in ranks] == list(range(0, 8, 8 // world_size))
        for rank, batch in enumerate(ranks):
            for record in batch.records:
                nodes[chunk_of(record)].add(rank // 2)
    assert {len(found) for found in nodes.values()} == {1}
    assert sorted(nodes) == list(range(len(SIZES)))


def test_every_record_once_in_an_epoch_of_its_shard_and_none_twice_in_a_batch() -> None:
    plan = sampler(BucketSpec(SIZES, 8))
    batches = [plan.batch_at(step).records for step in range(60)]
    assert all(len(set(records)) == 8 for records in batches)
    for shard in range(4):
        flat = [i for records in batches for i in records[2 * shard : 2 * shard + 2]]
        size = len(set(flat))
        assert abs(size - 24) < max(SIZES)
        assert len(set(flat[:size])) == len(set(flat[size : 2 * size])) == size
        assert flat[:size] != flat[size : 2 * size]


def test_packed_batches_keep_the_budget_of_each_shard() -> None:
    spec = PackedBucketSpec(SIZES, 4, [4, 1, 2, 8] * 4, 160)
    plan, nodes = sampler(spec), defaultdict(set)
    for step in range(40):
        batch = plan.batch_at(step)
        assert sum(batch.shards) == len(batch.records) == batch.total
        for shard, (begin, end) in enumerate(pairwise(np.cumsum((0, *batch.shards)))):
            assert 1 <= sum(batch.tokens[begin:end]) <= 40
            for record in batch.records[begin:end]:
                nodes[chunk_of(record)].add(shard)
    assert {len(found) for found in nodes.values()} == {1}


def test_shards_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"data.virtual_shards=3 do not divide a batch of 8 samples"):
        sampler(BucketSpec(SIZES, 8), 3)
    with pytest.raises(DataError, match=r"data.virtual_shards=2 leave \d records of 2 chunks to a shard"):
        sampler(BucketSpec((30, 2), 8), 2)
    with pytest.raises(DataError, match=r"one of data.virtual_shards=4: tokens=7 .*; tokens=24 does"):
        sampler(PackedBucketSpec(SIZES, 1, [8] * 16, 31), 4)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
def test_the_bijection_is_one_and_follows_its_key(n: int) -> None:
    out = permuted_indices(np.arange(n), n, 0, "x", 1)
    assert sorted(out.tolist()) == list(range(n))
    assert permuted_indices(np.arange(n)[::3], n, 0, "x", 1).tolist() == out[::3].tolist()
    if n > 100:
        other = permuted_indices(np.arange(n), n, 0, "x", 2)
        assert sum(out == np.arange(n)) < 10
        assert sum(out == other) < 10
        assert abs(np.corrcoef(out, np.arange(n))[0, 1]) < 0.15


def test_large_sets_go_group_by_group_and_lose_nothing() -> None:
    spec = BucketSpec(SIZES, 7)
    order = EpochOrder(spec, STARTS - SIZES, 5, "v/b", shuffle_chunks=2, max_chunks=5)
    epochs = [order.records(96 * epoch, 96).tolist() for epoch in range(6)]
    assert all(sorted(epoch) == list(range(96)) for epoch in epochs)
    assert order.records(50, 60).tolist() == (epochs[0] + epochs[1])[50:110]
    firsts = {chunk_of(epoch[40]) // 4 for epoch in epochs}
    assert len(firsts) > 1  # groups in another order each epoch
    group = [chunk_of(record) // 4 for record in epochs[0]]
    assert sum(a != b for a, b in pairwise(group)) == 3
