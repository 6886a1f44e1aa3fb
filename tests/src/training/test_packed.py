"""Training on packed batches: the losses of separate batches, and no padding."""

from pathlib import Path

import pytest
import torch

from src.flow.noise import torch_generator
from src.runs.config import VideoRunConfig
from src.streaming.batch import LatentBatch
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.datamodule import MediaDataModule
from src.streaming.micro_batches import split_batch
from src.streaming.schema.bucket import Bucket
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.modules.video import VideoModule
from src.training.modules.video_config import VideoFlowConfig
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_data import write_latents
from tests.fixtures.toy_modules import WORDS, state_of, train_config, two_processes, video_module

SIZES = ((2, 4, 4), (1, 4, 8), (1, 2, 2), (3, 4, 4), (2, 2, 8))
TOKENS = sum(t * h * w // 4 for t, h, w in SIZES)


def batch(slots: tuple[int, ...] = (0, 1, 2, 3, 4), packed: bool = True) -> LatentBatch:
    """Return latents keyed by their slots; unpacked: stacked, as in an ordinary stream."""
    latents = [torch.randn(4, *SIZES[s], generator=torch_generator(3, "film", s)) for s in slots]
    deviations = [torch.full_like(each, 0.1 + 0.1 * s) for each, s in zip(latents, slots, strict=True)]
    return LatentBatch(
        ids=[f"video-{s}" for s in slots],
        global_indices=list(slots),
        stream="video",
        bucket="merged",
        step=6,
        captions=[WORDS[s % len(WORDS)] for s in slots],
        real_B=torch.ones(len(slots), dtype=torch.bool),
        mean_BCTHW=latents if packed else torch.stack(latents),
        std_BCTHW=deviations if packed else torch.stack(deviations),
        fps=[16.0] * len(slots),
    )


@pytest.fixture
def module() -> VideoModule:
    """A built module with some weights that are not zero at the end."""
    module = video_module(train_config(), max_positions=(4, 4, 4))
    module.configure_model()
    module.set_latent_statistics(torch.arange(4.0), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.manual_seed(0)
    with torch.no_grad():
        for p in module.transformer.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return module


@pytest.mark.parametrize("objective", ["flow_matching", "v_prediction"])
def test_losses_equal_those_of_separate_batches(module: VideoModule, objective: str) -> None:
    module.flow_config = VideoFlowConfig(objective=objective, caption_drop_prob=0.3)
    packed = module.training_loss(batch())
    alone = torch.cat([module.training_loss(batch((s,), packed=False)) for s in range(5)])
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    assert packed.unique().numel() == 5
    times = torch.cat([module.prepare(each, module.model())[2] for each in batch().unpack()])
    assert times.unique().numel() == 5  # keyed by the index in the global batch


def test_no_padding_is_computed(module: VideoModule) -> None:
    seen: list[torch.Size] = []
    module.transformer.blocks[1].ffn.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape))
    module.training_loss(batch())
    assert seen == [(1, TOKENS, 32)]
    assert (module.batch_size(batch()).samples, module.batch_size(batch()).tokens) == (5, TOKENS)


def test_all_samples_weigh_the_same(module: VideoModule) -> None:
    """Micro-batches and ranks have different numbers of samples."""
    full = module.training_loss(batch()).mean()
    module.train_config = train_config(num_micro_batches=2)
    total = torch.zeros(())
    for slots in ((0, 2, 4), (1, 3)):
        rank = batch(slots)
        rank.loss_weight = len(slots) * 2 / 5
        parts = list(module.micro_batches(rank))
        assert sorted(s for part, _ in parts for s in part.global_indices) == list(slots)
        total += sum(module.training_loss(part).mean() * weight for part, weight in parts) / 2
    torch.testing.assert_close(total, full, rtol=1e-5, atol=1e-5)
    assert [len(part) for part in split_batch(batch(), 6)] == [1] * 5


def test_moving_a_packed_batch_moves_every_latent() -> None:
    moved = batch()._map(lambda x: x + 1)
    assert all(torch.equal(a, b + 1) for a, b in zip(moved.mean_BCTHW, batch().mean_BCTHW, strict=True))


def train(
    run_dir: Path, path: Path, steps: int, processes: int = 1, **changes: object
) -> list[tuple[int, tuple[str, ...]]]:
    """Train on two buckets, packed; return step and ids of each batch on this process."""
    seen = []
    step = VideoModule.training_step

    def recorded(module: VideoModule, batch: LatentBatch, batch_idx: int) -> None:
        seen.append((batch.step, tuple(batch.ids)))
        step(module, batch, batch_idx)

    if processes == 2:
        changes["parallel"] = two_processes()
    config = train_config(max_steps=steps, checkpoint_every=3, val_every=3, **changes)
    stream = StreamConfig(path=str(path), pack=True, tokens=40, batch_size=2)
    streams = {"streams": {"v": stream}, "val": {"v": StreamConfig(path=str(path), batch_size=4)}}
    data = MediaDataModule(DataConfig(token_size=(8, 16, 16), **streams), 0, num_steps=steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoModule, "training_step", recorded)
        fit(video_module(config, latent_channels=2), data, config, run_dir)
    return seen


def test_two_buckets_train_and_resume_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    path = write_latents(tmp_path / "set", {Bucket(16, 32, 32): 20, Bucket(1, 32, 32): 20})
    seen = train(tmp_path / "full", path, 6)
    assert [step for step, _ in seen] == list(range(6))
    parts = train(tmp_path / "parts", path, 3) + train(tmp_path / "parts", path, 6)
    assert parts == seen
    ends = [state_of(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("full", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    lines = [line for line in read_metrics(tmp_path / "full" / METRICS_FILE) if "train/loss" in line]
    assert all(torch.isfinite(torch.tensor(line["train/loss"])) for line in lines)
    tokens = sum(line["speed/tokens_per_s"] * line["speed/seconds_per_step"] for line in lines)
    assert tokens == pytest.approx(sum(_tokens(ids) for _, ids in seen), rel=1e-6)


def test_two_ranks_have_the_losses_of_one_process(tmp_path: Path, ranks: Ranks) -> None:
    path = write_latents(tmp_path / "set", {Bucket(16, 32, 32): 20, Bucket(1, 32, 32): 20})
    full = train(tmp_path / "one", path, 6)
    parts = ranks.run(train, tmp_path / "two", path, 6, 2)
    for (step, ids), *per_rank in zip(full, *parts, strict=True):
        assert [number for number, _ in per_rank] == [step, step]
        assert all(rank_ids for _, rank_ids in per_rank)
        assert sorted(i for _, rank_ids in per_rank for i in rank_ids) == sorted(ids)
    # The case that matters: ranks have different numbers of samples, and still all samples weigh the same.
    assert any(len(a[1]) != len(b[1]) for a, b in zip(*parts, strict=True))
    ours, theirs = (read_metrics(tmp_path / name / METRICS_FILE) for name in ("one", "two"))
    for a, b in zip(ours, theirs, strict=True):
        for name in set(a) & {"train/loss", "train/grad_norm", "val/loss"}:
            assert a[name] == pytest.approx(b[name], rel=1e-5), (name, a["step"])
    one, two = (state_of(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=2e-4, atol=2e-4, msg=name)


def _tokens(ids: tuple[str, ...]) -> int:
    return sum(Bucket.parse(i.split("/")[0]).num_tokens((8, 16, 16)) for i in ids)


@pytest.mark.parametrize(
    ("train", "flow", "words"),
    [
        ({"num_micro_batches": 3}, {}, r"data.streams.v.batch_size must be at least 3 with pack=true"),
        (
            {"parallel": two_processes(), "num_micro_batches": 2},
            {},
            r"batch_size must be at least 4 with pack",
        ),
        (
            {"parallel": two_processes(compile_blocks=True)},
            {},
            r"cannot be combined with train.parallel.compile_blo",
        ),
        (
            {},
            {"first_frame_prob": 0.5},
            r"data.streams.v.pack=true cannot be combined with flow.first_frame_prob=0.5",
        ),
    ],
)
def test_settings_that_exclude_packing(train: dict, flow: dict, words: str) -> None:
    stream = StreamConfig(path="p", pack=True, tokens=40, batch_size=2)
    with pytest.raises(ValueError, match=words) as error:
        VideoRunConfig(
            data=DataConfig(streams={"v": stream}), train=train_config(**train), flow=VideoFlowConfig(**flow)
        )
    assert "\n" not in str(error.value)
