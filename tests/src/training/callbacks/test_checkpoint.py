"""Checkpoints are complete or absent, and every error is one line that names the file and the cause."""

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import lightning as L
import pytest
import torch

from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.training.checkpoint_paths import (
    find_checkpoint,
    last_checkpoint,
    list_checkpoints,
    remove_partial_checkpoints,
)
from src.training.skipped_steps import NonFiniteError
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, train_config, video_module


@contextmanager
def no_space_after(num_bytes: int, from_save: int = 1) -> Iterator[None]:
    """Make the disk full after `num_bytes` of the n-th and every later checkpoint."""
    real, saves = checkpoint_io._Sink.write, set()
    written: dict[int, int] = {}

    def write(self: checkpoint_io._Sink, data: bytes) -> int:
        saves.add(id(self.file))
        written[id(self.file)] = written.get(id(self.file), 0) + len(bytes(data))
        if len(saves) >= from_save and written[id(self.file)] > num_bytes:
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.error
        files.append(self.file)
        return real(self, data)

    files: list[object] = []  # keeps ids unique
    with mock.patch.object(checkpoint_io._Sink, "write", write):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with checkpoints at 4, 8 and 10."""
    path = tmp_path_factory.mktemp("run")
    config = train_config()
    fit(video_module(config), ToyData(10), config, path)
    return path


def copy_checkpoint(run: Path, target: Path, size: int | None = None) -> Path:
    """Copy the checkpoint of step 8 into a run directory, truncated to `size` bytes."""
    path = target / "checkpoints" / "step-00000008.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes((run / "checkpoints" / path.name).read_bytes()[:size])
    return target


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_keeps_the_newest(run: Path, tmp_path: Path) -> None:
    assert [p.name for p in list_checkpoints(run)] == [f"step-{n:08d}.ckpt" for n in (4, 8, 10)]
    assert (run / "checkpoints/last.ckpt").resolve() == last_checkpoint(run)
    config = train_config(checkpoint_every=2, keep_checkpoints=2)
    fit(video_module(config), ToyData(10), config, tmp_path)
    assert [p.name for p in list_checkpoints(tmp_path)] == [f"step-{n:08d}.ckpt" for n in (8, 10)]


def test_contains_plain_values_only(run: Path) -> None:
    payload = torch.load(last_checkpoint(run), weights_only=True)
    assert payload["global_step"] == 10
    assert int(payload["state_dict"]["batch_counter"]) == 10


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        find_checkpoint(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in one_line(error)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        find_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"gone\.ckpt: no such checkpoint"):
        checkpoint_io.read_checkpoint(tmp_path / "gone.ckpt")


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.999])
def test_truncated(run: Path, tmp_path: Path, fraction: float) -> None:
    size = (run / "checkpoints/step-00000008.ckpt").stat().st_size
    copy_checkpoint(run, tmp_path, int(size * fraction))
    config = train_config()
    with pytest.raises(CheckpointError) as error:
        fit(video_module(config), ToyData(10), config, tmp_path)
    assert f"{tmp_path}/checkpoints/step-00000008.ckpt: truncated or damaged" in one_line(error)


def test_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"This is a letter to my aunt.")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "b.ckpt")
    (tmp_path / "c.ckpt").mkdir()
    for name in ("a", "b", "c"):
        with pytest.raises(CheckpointError) as error:
            checkpoint_io.read_checkpoint(tmp_path / f"{name}.ckpt")
        assert f"{name}.ckpt" in one_line(error)


def test_architecture_mismatch(run: Path, tmp_path: Path) -> None:
    copy_checkpoint(run, tmp_path)
    for changes, words in (
        (
            {"ffn_dim": 64},
            "transformer.blocks.0.ffn.gate_up.linear.weight has shape [64, 32], the model's is [128, 32]",
        ),
        ({"depth": 3}, "missing key transformer.blocks.2"),
        ({"depth": 1}, "unexpected key transformer.blocks.1.modulation.table_KD"),
    ):
        config = train_config()
        with pytest.raises(CheckpointError) as error:
            fit(video_module(config, **changes), ToyData(10), config, tmp_path)
        text = one_line(error)
        assert "step-00000008.ckpt: architecture mismatch" in text
        assert words in text


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = train_config(max_skipped_steps=0)
    with pytest.raises(NonFiniteError) as error:
        fit(video_module(config), ToyData(10, poison=9), config, tmp_path)
    text = one_line(error)
    assert text.startswith("step 9: loss is nan")
    assert "video-9-0, video-9-1, video-9-2, video-9-3" in text
    path = last_checkpoint(tmp_path)
    assert path == tmp_path / "checkpoints/step-00000008.ckpt"
    assert all(torch.isfinite(t).all() for t in checkpoint_io.read_checkpoint(path)["state_dict"].values())


def test_disk_full_while_saving(run: Path, tmp_path: Path) -> None:
    config = train_config()
    with no_space_after(20_000, from_save=2), pytest.raises(CheckpointError) as error:
        fit(video_module(config), ToyData(10), config, tmp_path)
    assert "step-00000008.ckpt: the checkpoint could not be saved: No space left on device" in one_line(error)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000004.ckpt"]
    assert not list((tmp_path / "checkpoints").glob(".*tmp"))
    assert fit(video_module(config), ToyData(10), config, tmp_path).resumed_at == 4
    ours, theirs = (checkpoint_io.read_checkpoint(last_checkpoint(p))["state_dict"] for p in (tmp_path, run))  # type: ignore[arg-type]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_partial_file_is_ignored_and_removed(run: Path, tmp_path: Path) -> None:
    copy_checkpoint(run, tmp_path)
    partial = tmp_path / "checkpoints/.step-00000009.ckpt.123.tmp"
    partial.write_bytes(b"PK\x03\x04")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000008.ckpt"
    remove_partial_checkpoints(tmp_path)
    assert not partial.exists()


def test_finished_run_is_not_trained_again(run: Path) -> None:
    path = last_checkpoint(run)
    assert path is not None
    before = path.stat().st_mtime_ns
    config = train_config()
    result = fit(video_module(config), ToyData(10), config, run)
    assert result.checkpoint == path
    assert result.checkpoint.stat().st_mtime_ns == before
    assert result.metrics["val/loss"] > 0


class CtrlC(L.Callback):
    def on_train_batch_end(self, *args: object) -> None:
        if args[-1] == 5:
            raise KeyboardInterrupt


def test_ctrl_c_raises_keyboard_interrupt(tmp_path: Path) -> None:
    config = train_config()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(video_module(config), ToyData(10), config, tmp_path, callbacks=[CtrlC()])
    finally:
        signal.signal(signal.SIGINT, handler)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000004.ckpt"


def test_disk_full_while_writing_metrics(tmp_path: Path) -> None:
    config = train_config()

    class Full(L.Callback):
        def on_train_batch_end(self, *args: object) -> None:
            if args[-1] == 6:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError) as error:
        fit(video_module(config), ToyData(10), config, tmp_path, callbacks=[Full()])
    assert one_line(error) == f"{tmp_path}: No space left on device; the last checkpoint is kept"
