"""Shares of global batches that the number of processes does not divide."""

import pytest

from src.streaming.rank_slices import largest_slice, loss_weight, slice_of
from tests.fixtures.toy_modules import ToyLatents, perturbed_video_module, train_config


@pytest.mark.parametrize(("num_samples", "num_ranks"), [(8, 3), (9216, 6144), (991, 384), (6, 6)])
def test_every_sample_goes_to_one_rank_and_counts_the_same(num_samples: int, num_ranks: int) -> None:
    slices = [slice_of(num_samples, num_ranks, rank) for rank in range(num_ranks)]
    assert [i for load in slices for i in load] == list(range(num_samples))
    sizes = {len(load) for load in slices}
    assert max(sizes) == largest_slice(num_samples, num_ranks)
    assert max(sizes) - min(sizes) <= 1
    for load in (slices[0], slices[-1]):  # the mean over ranks of a mean over samples, weighted
        weight = loss_weight(len(load), num_samples, num_ranks)
        assert weight / len(load) / num_ranks == pytest.approx(1 / num_samples)


def test_the_loss_is_the_mean_over_samples_and_every_rank_has_as_many_micro_batches() -> None:
    module = perturbed_video_module()
    module.train_config = train_config(num_micro_batches=3)
    full = ToyLatents(0, 1, batch_size=8)[0]
    total, counts = 0.0, set()
    for rank in range(3):
        batch = full.take(slice_of(8, 3, rank))
        batch.loss_weight, batch.smallest_slice = loss_weight(len(batch), 8, 3), 8 // 3
        parts = list(module.micro_batches(batch))
        assert [i for part, _ in parts for i in part.global_indices] == batch.global_indices
        total += sum(float(module.training_loss(part).mean().detach()) * weight / 3 for part, weight in parts)
        counts.add(len(parts))
    assert total == pytest.approx(float(module.training_loss(full).mean().detach()), rel=1e-5)
    assert counts == {2}  # a third part would leave the rank of two samples without one
