"""Streams that mix their buckets in one batch, by a token budget."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch

from src.streaming.batch import LatentBatch
from src.streaming.batch_sampler import BatchSampler, StreamSpec
from src.streaming.buckets import PackedBucketSpec, balanced_partition
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.datamodule import MediaDataModule
from src.streaming.schema.bucket import Bucket, DataError
from tests.fixtures.toy_data import write_latents, write_pixels

COUNTS = {Bucket(16, 32, 32): 24, Bucket(1, 32, 32): 30, Bucket(16, 16, 32): 12}  # 8, 4 and 4 tokens
TOKENS = 24 * 8 + 42 * 4


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of two sizes and images. Read only."""
    return write_latents(tmp_path_factory.mktemp("mixed") / "set", COUNTS)


def data(path: Path, workers: int = 0, val: bool = False, **options) -> MediaDataModule:
    ranks = {name: options.pop(name) for name in ("rank", "world_size") if name in options}
    stream = {"path": str(path), "pack": True, "tokens": 50, "batch_size": 2}
    config = DataConfig(
        streams={"v": StreamConfig(**(stream | options))},
        val={"v": StreamConfig(path=str(path), batch_size=4, pack=val, tokens=50 if val else 0)},
        token_size=(8, 16, 16),
        num_workers=workers,
    )
    return MediaDataModule(config, 5, num_steps=24, **ranks)


def batches(path: Path, start: int = 0, **options) -> list[LatentBatch]:
    loader = data(path, **options).train_dataloader()
    loader.load_state_dict({"step": start})
    return list(loader)


def tokens(batch: LatentBatch) -> int:
    return sum(video[0].numel() // 4 for video in batch.mean_BCTHW)  # a patch of 1x2x2


def same(a: LatentBatch, b: LatentBatch) -> bool:
    videos = zip(a.mean_BCTHW + a.std_BCTHW, b.mean_BCTHW + b.std_BCTHW, strict=True)
    plain = [(x.ids, x.global_indices, x.step, x.captions, x.loss_weight) for x in (a, b)]
    return plain[0] == plain[1] and all(torch.equal(x, y) for x, y in videos)


def test_batches_mix_sizes_and_keep_the_budget(mixed: Path) -> None:
    found = batches(mixed)
    assert all(b.packed and len(b) >= 2 for b in found)
    assert max(map(tokens, found)) <= 50
    assert sum(map(tokens, found[:9])) == TOKENS
    assert sum(len({video.shape for video in b.mean_BCTHW}) > 1 for b in found) > 20
    assert all(b.text is not None and len(b.text["bytes"][0]) == len(b) for b in found)
    images = [not c.startswith("FPS-") for c in found[0].captions]
    assert images == [i.startswith("1x") for i in found[0].ids]


def test_every_record_once_in_an_epoch(mixed: Path) -> None:
    plan = data(mixed).sampler().streams["v"].buckets["merged"]
    assert isinstance(plan, PackedBucketSpec)
    found, n = batches(mixed), plan.num_batches
    assert n == -(-TOKENS // (48 - 8 + 4)) == 9
    for epoch in (0, 1):
        ids = [i for b in found[epoch * n : (epoch + 1) * n] for i in b.ids]
        assert len(ids) == len(set(ids)) == sum(COUNTS.values())
    assert found[0].ids != found[n].ids


@pytest.mark.parametrize("seed", range(4))
def test_any_sizes_fill_windows_within_the_budget(seed: int) -> None:
    packed = PackedBucketSpec((10, 10, 7, 5, 9), 2, (4, 4, 1, 16, 2), 100)
    plan = BatchSampler({"v": StreamSpec(1, {"merged": packed})}, seed, shuffle_chunks=2)
    n = packed.num_batches
    for epoch in range(3):
        batches = [plan.batch_at(epoch * n + i) for i in range(n)]
        assert sorted(i for d in batches for i in d.records) == list(range(41))
        assert all(sum(d.tokens) <= 100 and len(d.records) >= 2 and d.epoch == epoch for d in batches)
    assert pickle.loads(pickle.dumps(plan)).batch_at(7) == plan.batch_at(7)  # regardless of earlier calls
    even = PackedBucketSpec((40, 40), 4, (16, 16), 64)
    assert even.num_batches == 20  # videos of one size: the budget is full


@pytest.mark.parametrize("world_size", [1, 2])
def test_ranks_split_a_batch_and_no_sample_comes_twice(mixed: Path, world_size: int) -> None:
    ranks = [batches(mixed, rank=r, world_size=world_size) for r in range(world_size)]
    for full, *parts in zip(batches(mixed), *ranks, strict=True):
        assert sorted(s for b in parts for s in b.global_indices) == full.global_indices
        found = {
            s: (i, c) for b in parts for s, i, c in zip(b.global_indices, b.ids, b.captions, strict=True)
        }
        assert [found[s] for s in full.global_indices] == list(zip(full.ids, full.captions, strict=True))
        assert max(map(tokens, parts)) - min(map(tokens, parts)) <= 8
        assert [b.loss_weight for b in parts] == [len(b) * world_size / len(full) for b in parts]


@pytest.mark.parametrize("start", [1, 7, 23])
def test_resuming_at_any_step_equals_going_on(mixed: Path, tmp_path: Path, start: int) -> None:
    full = batches(mixed)
    moved = shutil.copytree(mixed, tmp_path / "mnt" / "elsewhere")
    rest = batches(moved, start=start)
    assert len(rest) == 24 - start
    assert all(same(a, b) for a, b in zip(full[start:], rest, strict=True))


def test_workers_change_nothing(mixed: Path) -> None:
    assert all(same(a, b) for a, b in zip(batches(mixed), batches(mixed, workers=2), strict=True))


def test_validation_goes_bucket_by_bucket(mixed: Path) -> None:
    found = list(data(mixed).val_dataloader())
    assert not any(b.packed for b in found)
    assert sum(int(b.real_B.sum()) for b in found) == sum(COUNTS.values())


def test_deal_balances_numbers_and_sizes() -> None:
    assert balanced_partition([5, 4, 3, 2, 1, 1, 9], 3) == [[4, 5, 6], [0, 3], [1, 2]]
    assert balanced_partition([1, 1], 2) == [[0], [1]]


def test_report_shows_what_a_batch_holds(mixed: Path) -> None:
    rows = [line.split() for line in data(mixed).report().splitlines()[1:]]
    assert rows == [
        ["v", "16x16x32", "12", "4", "1.3", "5.3", "9.0", "1/1"],
        ["v", "16x32x32", "24", "8", "2.7", "21.3", "9.0", "1/1"],
        ["v", "1x32x32", "30", "4", "3.3", "13.3", "9.0", "1/1"],
        ["v", "packed", "66", "-", "7.3", "40.0", "of", "50", "9.0", "1/1"],
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": 0}, r"pack=true needs a budget: tokens must be above 0, got 0"),
        ({"crop": 8}, r"pack=true takes complete latents, not crop=8, lengths=\[\]"),
        ({"merge_buckets": True}, r"tokens=50 is by bucket; not possible with merge_buckets=true"),
        ({"tokens": 999}, r"data.streams.v: tokens=999 is more than the 360 tokens of all 66 records"),
        ({"tokens": 7}, r"data.streams.v: tokens=7 does not always hold batch_size=2 .*; tokens=40 does"),
        ({"batch_size": 8}, r"data.streams.v: tokens=50 .* batch_size=8 .* up to 8 tokens; tokens=136 does"),
        ({"val": True}, r"data.val.v.pack=true: validation goes bucket by bucket; leave pack out"),
        (
            {"world_size": 4, "rank": 0, "batch_size": 2},
            r"data.streams.v: a batch of 2 samples leaves some of 4 processes without one; .*batch_size=4,",
        ),
    ],
)
def test_wrong_settings_are_reported_in_one_line(mixed: Path, change: dict, words: str) -> None:
    def build() -> None:
        data_module = data(mixed, **change)
        data_module.train_dataloader()
        data_module.val_dataloader()

    with pytest.raises(ValueError, match=words) as error:
        build()
    assert "\n" not in str(error.value)


def test_the_suggested_budget_does(mixed: Path) -> None:
    for batch_size in (2, 8):
        sizes = map(len, batches(mixed, batch_size=batch_size, tokens=(2 * batch_size + 1) * 8))
        assert min(sizes) >= batch_size


def test_pixels_are_not_packed(tmp_path: Path) -> None:
    root = write_pixels(tmp_path / "set", {(4, 8, 8): 10})
    with pytest.raises(
        DataError, match=r"data.streams.v.pack=true: only latents are packed, .* holds pixels"
    ):
        data(root).sampler()
