"""Faults from outside while preparing: growing files, a full disk, a missing codec, long paths."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.config import ClipConfig, FilesConfig
from data.prepare import main
from data.sources.files import FilesSource
from src.core import cli
from src.core.media_io.video_writer import write_video as media_io_video
from src.streaming.reader import Dataset
from src.streaming.schema.part_writer import Rejection
from tests.fixtures.video_files import write_image, write_video

ROOT = Path(__file__).parents[2]
FLAGS = [
    "source=files",
    "num_workers=0",
    "files.clip.size=32",
    "files.clip.multiple=8",
    "files.clip.lengths=[8]",
]


def source_of(root: Path) -> FilesSource:
    return FilesSource(FilesConfig(path=str(root), clip=ClipConfig(size=32, multiple=8, lengths=(8,))))


def test_a_file_that_grows_while_it_is_read_is_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 40)
    source = source_of(tmp_path)
    (item,) = source.splits()["train"]
    records = source.records(item)
    first = next(records)
    with path.open("ab") as file:
        file.write(bytes(1000))
    *clips, last = records
    assert [clip.id for clip in [first, *clips]] == [f"a.mkv#{i}" for i in range(1 + len(clips))]
    assert len(clips) >= 3
    assert isinstance(last, Rejection)
    assert last.reason == "changed while it was read"


def test_a_file_that_changed_after_it_was_listed_is_not_used(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    write_video(tmp_path / "a.mkv", 20)
    write_video(tmp_path / "b.mkv", 20)
    a, b = source.splits()["train"]
    (tmp_path / "a.mkv").write_bytes((tmp_path / "b.mkv").read_bytes() + bytes(1))
    (tmp_path / "b.mkv").unlink()
    found = [*source.records(a), *source.records(b)]
    assert [(each.source, each.reason) for each in found] == [
        ("a.mkv", "changed while it was read"),
        ("b.mkv", "changed while it was read"),
    ]


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    media_io_video(path, np.zeros((20, 48, 64, 3), np.uint8), 10.0)
    data = bytearray(path.read_bytes())
    at = data.index(b"avc1", data.index(b"stsd"))
    data[at : at + 4] = b"zzzz"
    path.write_bytes(data)
    source = source_of(tmp_path)
    (found,) = source.records(source.splits()["train"][0])
    assert found.reason == "missing codec"


def test_a_clip_below_a_path_of_four_thousand_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    while len(str(tmp_path / folder)) < 3800:
        folder /= "d" * 200
    folder.mkdir(parents=True)
    write_video(tmp_path / "a.mp4", 9)
    shutil.move(tmp_path / "a.mp4", folder / "a.mp4")
    (folder / "a.txt").write_text("far away")
    assert cli.run(main, [*FLAGS, "files.path=in", f"out={tmp_path / 'out'}"]) == 0
    record = Dataset(tmp_path / "out" / "train").pixels("8x24x40", 0)
    assert record.id.endswith("d/a.mp4#0")
    assert len(record.id) > 3700
    assert record.captions == ("far away",)


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A file system of 150 kB in a mount namespace; with more room the same command finishes."""
    (tmp_path / "media").mkdir()
    (tmp_path / "disk").mkdir()
    for i in range(60):
        write_image(tmp_path / "media" / f"{i:02d}.png", width=64 + i)
    command = (
        f"{sys.executable} -m data.prepare {' '.join(FLAGS)} part_size=10 files.path={tmp_path / 'media'} "
    )
    command += f"out={tmp_path / 'disk' / 'out'}"
    script = (
        f"mount -t tmpfs -o size=150k none {tmp_path / 'disk'} || exit 77\n{command}\necho code $?\n"
        f"ls {tmp_path / 'disk' / 'out' / 'train'}\nmount -o remount,size=9m {tmp_path / 'disk'}\n{command}\n"
    )
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "code 2" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: disk full while writing") == 1
    assert "dataset.json" not in done.stdout
    assert "of 60 were done before; resuming" in done.stdout
    assert "60 records" in done.stdout
    assert done.returncode == 0


def test_the_message_of_a_missing_validation_split_names_the_setting(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    assert cli.run(main, [*FLAGS, f"files.path={tmp_path}", f"out={tmp_path / 'out'}"]) == 0
    with pytest.raises(ValueError, match=r"prepared without a validation split; .*files\.val_fraction"):
        Dataset(tmp_path / "out" / "val")
