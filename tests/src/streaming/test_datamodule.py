"""Batches: the same for any number of ranks and workers, resumed at any step, anywhere on disk."""

import shutil
from pathlib import Path

import lightning as L
import pytest
import torch

from src.streaming.batch import ClipBatch, LatentBatch
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.datamodule import MediaDataModule
from src.streaming.schema.bucket import Bucket, DataError
from tests.fixtures.toy_data import clip, write_latents, write_pixels


def config(path: Path, **options) -> DataConfig:
    return DataConfig(
        streams={
            "video": StreamConfig(
                path=str(path), media="videos", weight=3, batch_size=8, crop=6, lengths=(1, 2, 4)
            ),
            "image": StreamConfig(path=str(path), media="images", batch_size=4),
        },
        val={"all": StreamConfig(path=str(path), batch_size=4)},
        **options,
    )


def batches(path: Path, steps: int = 24, start: int = 0, **options) -> list[ClipBatch]:
    workers = options.pop("num_workers", 0)
    data = MediaDataModule(config(path, num_workers=workers), 5, num_steps=steps, **options)
    loader = data.train_dataloader()
    assert len(loader) == steps
    loader.load_state_dict({"step": start})
    return list(loader)


def same(a: ClipBatch, b: ClipBatch) -> bool:
    plain = (a.ids, a.global_indices, a.stream, a.bucket, a.step, a.captions) == (
        b.ids,
        b.global_indices,
        b.stream,
        b.bucket,
        b.step,
        b.captions,
    )
    return plain and torch.equal(a.video_BCTHW, b.video_BCTHW)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_together_see_what_one_process_sees(toy: Path, world_size: int) -> None:
    alone = batches(toy)
    ranks = [batches(toy, rank=r, world_size=world_size) for r in range(world_size)]
    for step, full in enumerate(alone):
        parts = [rank[step] for rank in ranks]
        ids = [i for s in parts for i in s.ids]
        assert ids == full.ids
        assert len(set(ids)) == len(ids)
        assert [i for s in parts for i in s.global_indices] == full.global_indices
        assert [c for s in parts for c in s.captions] == full.captions
        assert torch.equal(torch.cat([s.video_BCTHW for s in parts]), full.video_BCTHW)
        assert sum(s.loss_weight for s in parts) == pytest.approx(world_size)
        assert {s.smallest_slice for s in parts} == {min(map(len, parts))}


@pytest.mark.parametrize("start", [1, 7, 23])
def test_resuming_at_any_step_equals_going_on(toy: Path, start: int) -> None:
    full, rest = batches(toy), batches(toy, start=start)
    assert len(rest) == 24 - start
    assert all(same(a, b) for a, b in zip(full[start:], rest, strict=True))


def test_workers_change_nothing_and_resume_too(toy: Path) -> None:
    full = batches(toy)
    data = MediaDataModule(config(toy, num_workers=2), 5, num_steps=24)
    loader = data.train_dataloader()
    for step, batch in enumerate(loader):
        assert same(batch, full[step])
        if step == 4:
            break
    assert loader.state_dict() == {"step": 5}  # yielded, regardless of what workers prefetched
    rest = list(loader)
    assert all(same(a, b) for a, b in zip(full[5:], rest, strict=True))


def test_the_path_and_the_file_system_change_nothing(toy: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(
        toy, tmp_path / "mnt" / "vast" / "lustre" / "set"
    )  # words that switch LitData's shuffle
    assert all(same(a, b) for a, b in zip(batches(toy), batches(moved), strict=True))


def test_loaders_go_on_into_the_next_virtual_epoch(toy: Path) -> None:
    loader = MediaDataModule(config(toy), 5, num_steps=6).train_dataloader()
    steps = [b.step for _ in range(2) for b in loader]
    assert steps == list(range(12))


def test_crops_lengths_and_captions_are_cut_from_the_record(toy: Path) -> None:
    seen = set()
    for batch in batches(toy):
        for i, name in enumerate(batch.ids):
            record = clip(name, *map(int, batch.bucket.split("x")))
            cut = batch.video_BCTHW[i].transpose(0, 1)
            windows = [
                record.video_TCHW[t : t + len(cut), :, y : y + cut.shape[2], x : x + cut.shape[3]]
                for t in range(4)
                for y in range(3)
                for x in range(3)
            ]
            assert any(w.shape == cut.shape and torch.equal(w, cut) for w in windows)
            text = batch.captions[i].removeprefix("FPS-16 ")
            assert text in record.captions
            assert batch.captions[i].startswith("FPS-16 ") == (batch.stream == "video")
        seen.add((batch.stream, *batch.video_BCTHW.shape[2:]))
    assert seen == {("image", 1, 8, 8), ("video", 1, 6, 6), ("video", 2, 6, 6), ("video", 4, 6, 6)}


def test_captions_are_drawn_for_each_sample_and_step(toy: Path) -> None:
    drawn = [[c.split("caption ")[1][0] for c in b.captions] for b in batches(toy) if b.stream == "video"]
    assert any(len(set(row)) == 2 for row in drawn)
    assert len({tuple(row) for row in drawn}) > 5
    assert 0.3 < sum(row.count("0") for row in drawn) / sum(map(len, drawn)) < 0.7


def test_pixels_are_in_minus_one_to_one(toy: Path) -> None:
    batch = batches(toy, steps=1)[0]
    pixels = batch.to("cpu").pixels()
    assert pixels.dtype == torch.float32
    assert torch.equal(((pixels + 1) * 127.5).round().to(torch.uint8), batch.video_BCTHW)
    assert pixels.min() >= -1
    assert pixels.max() <= 1


def test_validation_is_fixed_and_full(toy: Path) -> None:
    data = MediaDataModule(config(toy, val_batches=0), 5, num_steps=4)
    loader = data.val_dataloader()
    first, again = list(loader), list(loader)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    real = [i for b in first for i, r in zip(b.ids, b.real_B.tolist(), strict=True) if r]
    assert len(real) == len(set(real)) == 70
    assert {len(b) for b in first} == {4}
    other_seed = list(MediaDataModule(config(toy), 6, num_steps=4).val_dataloader())
    assert all(same(a, b) for a, b in zip(first, other_seed, strict=True))
    assert len(MediaDataModule(config(toy, val_batches=2), 5, num_steps=4).val_dataloader()) == 2


def test_merged_buckets_fill_a_batch_together(tmp_path: Path) -> None:
    root = write_pixels(tmp_path / "set", {(4, 8, 8): 3, (6, 12, 8): 2, (8, 8, 16): 3})
    stream = StreamConfig(path=str(root), batch_size=4, merge_buckets=True, crop=8, lengths=(2, 4))
    data = MediaDataModule(DataConfig(streams={"v": stream}), 0, num_steps=8)
    out = list(data.train_dataloader())
    assert {tuple(b.video_BCTHW.shape) for b in out} == {(4, 3, 2, 8, 8), (4, 3, 4, 8, 8)}
    assert all(len({i for b in out[e : e + 2] for i in b.ids}) == 8 for e in (0, 2, 4, 6))
    ranks = [
        MediaDataModule(DataConfig(streams={"v": stream}), 0, num_steps=8, rank=r, world_size=4)
        for r in range(4)
    ]
    for step, parts in enumerate(zip(*(r.train_dataloader() for r in ranks), strict=True)):
        assert torch.equal(torch.cat([s.video_BCTHW for s in parts]), out[step].video_BCTHW)
    for wrong in ({"crop": 0}, {"crop": 9}, {"lengths": (5,)}, {"lengths": ()}):
        options = {
            "path": str(root),
            "batch_size": 4,
            "merge_buckets": True,
            "crop": 8,
            "lengths": (2,),
        } | wrong
        with pytest.raises(DataError, match=r"data.streams.v.merge_buckets=true needs"):
            MediaDataModule(DataConfig(streams={"v": StreamConfig(**options)}), 0, num_steps=1).sampler()


def test_latent_batches(tmp_path: Path) -> None:
    root = write_latents(tmp_path / "set", {Bucket(16, 32, 32): 9, Bucket(1, 32, 32): 9})
    streams = {"v": StreamConfig(path=str(root), media="videos", batch_size=3)}
    batch = next(iter(MediaDataModule(DataConfig(streams=streams), 0, num_steps=2).train_dataloader()))
    assert isinstance(batch, LatentBatch)
    assert batch.mean_BCTHW.shape == batch.std_BCTHW.shape == (3, 2, 2, 4, 4)
    assert batch.mean_BCTHW.dtype == torch.float32
    assert set(batch.captions) <= {"FPS-16 a", "FPS-16 b"}
    assert batch.text is not None
    emb_BLD, mask_BL = batch.text["bytes"]
    assert emb_BLD.shape[::2] == (3, 5)
    assert torch.equal(emb_BLD[..., 0].bool(), mask_BL)  # padding is zero and masked
    noise = torch.randn_like(batch.mean_BCTHW)
    assert torch.equal(batch.sample(noise), batch.mean_BCTHW + batch.std_BCTHW * noise)
    assert batch.to("cpu").text["bytes"][1].dtype == torch.bool


def test_stale_latents_name_both_keys_and_the_command(tmp_path: Path) -> None:
    root = write_latents(tmp_path / "set", {Bucket(16, 32, 32): 4}, key="content-oldencoder")
    streams = DataConfig(streams={"v": StreamConfig(path=str(root), batch_size=2)})
    keys = {str(root): "content-newencoder"}
    data = MediaDataModule(streams, 0, num_steps=1, keys=keys, rebuild_command="python -m src.train x.yaml")
    with pytest.raises(
        DataError, match=r"stale.*oldencoder.*newencoder.*rebuild with: python -m src.train x.yaml"
    ):
        data.train_dataloader()
    MediaDataModule(streams, 0, num_steps=1, keys={str(root): "content-oldencoder"}).train_dataloader()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"batch_size": 48},
            r"data.streams.v: bucket 4x8x8 has 47 records, fewer than one batch of 48; "
            r"use data.streams.v.batch_size=47",
        ),
        ({"buckets": ("4x8x9",)}, r"data.streams.v.buckets: 4x8x9 not in .*which has 1x8x8, 4x8x8"),
        ({"media": "images", "buckets": ("4x8x8",)}, r"has no images; its buckets are"),
        ({"path": ""}, r"data.streams.v.path must be given"),
        (
            {"batch_size": 1},
            r"data.streams.v: a batch of 1 samples leaves some of 2 .*v.batch_size=2, or let",
        ),
        (
            {"batch_size": 1, "tokens": 1},
            r"data.streams.v: a batch of 1 samples .*; use data.streams.v.tokens=2",
        ),
    ],
)
def test_wrong_settings_are_reported_in_one_line(toy: Path, change: dict, words: str) -> None:
    stream = StreamConfig(**({"path": str(toy), "media": "videos", "batch_size": 8} | change))
    with pytest.raises(DataError, match=words) as error:
        MediaDataModule(
            DataConfig(streams={"v": stream}), 0, num_steps=1, rank=0, world_size=2
        ).train_dataloader()
    assert "\n" not in str(error.value)


def test_report_lists_every_bucket(toy: Path) -> None:
    lines = MediaDataModule(config(toy), 0, num_steps=1).report().splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["image", "1x8x8", "23", "1", "4", "4", "5.8", "1/4"],
        ["video", "4x8x8", "47", "1", "8", "8", "5.9", "3/4"],
    ]


class Recorder(L.LightningModule):
    """Trains one number and writes down which batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, tuple[str, ...]]] = []

    def training_step(self, batch: ClipBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append((batch.step, tuple(batch.ids)))
        return self.weight * batch.pixels().mean()

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        assert batch.real_B.any()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*")
def test_lightning_resumes_in_the_middle_without_losing_a_batch(toy: Path, tmp_path: Path) -> None:
    def run(max_steps: int, resume: Path | None = None) -> tuple[Recorder, L.Trainer]:
        module = Recorder()
        trainer = L.Trainer(
            accelerator="cpu",
            max_steps=max_steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            num_sanity_val_steps=1,
            val_check_interval=3,
            check_val_every_n_epoch=None,
        )
        trainer.fit(module, MediaDataModule(config(toy), 5, num_steps=100), ckpt_path=resume)
        return module, trainer

    full, _ = run(12)
    first, trainer = run(5)
    trainer.save_checkpoint(tmp_path / "five.ckpt")
    second, _ = run(12, tmp_path / "five.ckpt")
    assert [step for step, _ in full.seen] == list(range(12))
    assert first.seen + second.seen == full.seen
    assert torch.equal(second.weight, full.weight)


def test_batch_sizes_from_a_token_budget(tmp_path: Path) -> None:
    root = write_pixels(tmp_path / "set", {(4, 8, 8): 30, (8, 8, 16): 20, (1, 8, 8): 40})
    stream = StreamConfig(path=str(root), batch_size=2, tokens=70)
    options = {"token_size": (4, 4, 4), "streams": {"v": stream}}
    data = MediaDataModule(DataConfig(**options), 0, num_steps=20)
    plans = data.sampler().streams["v"].buckets
    # 4, 16 and 4 tokens each: 17, 4 and 17 fit, cut to even numbers
    assert {b: p.batch_size for b, p in plans.items()} == {"1x8x8": 16, "4x8x8": 16, "8x8x16": 4}
    for batch in data.train_dataloader():
        assert len(batch) == plans[batch.bucket].batch_size
    for rank in MediaDataModule(
        DataConfig(**options), 0, num_steps=4, rank=1, world_size=2
    ).train_dataloader():
        assert len(rank) == plans[rank.bucket].batch_size // 2
    rows = [line.split() for line in data.report().splitlines()]
    assert rows[0][3:6] == ["tokens", "batch", "tokens/batch"]
    assert ["v", "8x8x16", "20", "16", "4", "64", "5.0", "1/1"] in rows
    small = {"v": StreamConfig(path=str(root), batch_size=6, tokens=70)}
    data = MediaDataModule(DataConfig(token_size=(4, 4, 4), streams=small), 0, num_steps=1)
    with pytest.raises(DataError, match="v: tokens=70 does not hold batch_size=6 samples of bucket 8x8x16"):
        data.sampler()
    with pytest.raises(ValueError, match="not possible with merge_buckets=true"):
        StreamConfig(tokens=3, merge_buckets=True)


def test_the_report_refuses_empty_buckets(tmp_path: Path) -> None:
    root = write_pixels(tmp_path / "set", {(4, 8, 8): 10, (8, 8, 16): 3})
    data = MediaDataModule(
        DataConfig(streams={"v": StreamConfig(path=str(root), batch_size=4)}), 0, num_steps=1
    )
    with pytest.raises(DataError, match="bucket 8x8x16 has 3 records, fewer than one batch of 4"):
        data.report()
    named = StreamConfig(path=str(root), batch_size=2, buckets=("4x8x8", "1x8x8", "9x8x8"))
    data = MediaDataModule(DataConfig(streams={"v": named}), 0, num_steps=1)
    with pytest.raises(DataError, match=r"v\.buckets: 1x8x8, 9x8x8 not in .*which has 4x8x8, 8x8x16"):
        data.report()
