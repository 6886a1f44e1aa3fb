"""A data set is full or not there, and an interruption changes nothing about the result."""

import os
from pathlib import Path

import pytest

from src.streaming.reader import Dataset
from src.streaming.schema import writer as writer_module
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import read_info
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import clip, tree, write_pixels

SIZES = {(4, 8, 8): 25, (1, 8, 8): 5}


def test_unfinished_work_is_never_a_data_set(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k") as writer, writer.part(0) as part:
        part.add(clip("x"))
    with pytest.raises(DataError, match="interrupted; re-run the same command"):
        Dataset(tmp_path / "set")


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k") as writer:
        with pytest.raises(DataError), writer.part(0) as part:
            part.add(PixelRecord(**(vars(clip("x")) | {"fps": 0.0})))
        assert writer.missing(1) == [0]
        assert [p.name for p in (tmp_path / "set" / ".parts").iterdir()] == ["plan.json"]


def test_resumed_after_any_part_or_while_gathering_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tree(write_pixels(tmp_path / "full", SIZES))
    with PixelWriter(tmp_path / "cut", "k") as writer, writer.part(1) as part:  # parts 0 and 2 never came
        for i in range(10, 20):
            part.add(clip(f"4x8x8/{i:04d}", 4, 8, 8))
    (tmp_path / "cut" / ".parts" / "tmp-000002-123").mkdir()  # what a killed process leaves
    moves = []

    def fails_at_third(source: Path, target: Path, replace=os.replace) -> None:
        moves.append(target)
        if sum(str(m).endswith(".bin") for m in moves) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.os, "replace", fails_at_third)
        with pytest.raises(KeyboardInterrupt):
            write_pixels(tmp_path / "cut", SIZES)
    assert not (tmp_path / "cut" / "dataset.json").exists()
    assert tree(write_pixels(tmp_path / "cut", SIZES)) == full


def test_another_key_is_an_error_without_overwrite(tmp_path: Path) -> None:
    root = write_pixels(tmp_path / "set", SIZES)
    before = tree(root)
    with pytest.raises(DataError, match=r"holds another data set \(key k, expected other\).*overwrite=true"):
        PixelWriter(root, "other").__enter__()
    assert tree(root) == before
    with PixelWriter(root, "other", overwrite=True) as writer:
        assert writer.missing(1) == [0]
        assert not (root / "4x8x8").exists()


def test_unfinished_work_for_another_key_is_thrown_away(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "old") as writer, writer.part(0) as part:
        part.add(clip("x"))
    with PixelWriter(tmp_path / "set", "new") as writer:
        assert writer.missing(2) == [0, 1]


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="not empty and not a data set"):
        PixelWriter(tmp_path / "home", "k", overwrite=True).__enter__()
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k"):
        with pytest.raises(DataError, match="in use by another process"):
            PixelWriter(tmp_path / "set", "k").__enter__()
        with PixelWriter(tmp_path / "set", "k", leader=False) as follower:
            assert follower.missing(1) == [0]
    with PixelWriter(tmp_path / "set", "k"):
        pass


def test_chunks_are_bounded_and_a_larger_record_is_alone_in_its_chunk(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k", chunk_bytes=3800) as writer:
        with writer.part(0) as part:
            for i in range(9):
                part.add(clip(f"{i}"))
            for i in range(2):
                part.add(clip(f"{i}", 40))
        info = writer.finish(1)
    assert [c.records for c in info.buckets["4x8x8"].chunks] == [3, 3, 3]
    assert all(c.bytes <= 3800 for c in info.buckets["4x8x8"].chunks)
    assert [c.records for c in info.buckets["40x8x8"].chunks] == [1, 1]
    assert [Dataset(tmp_path / "set").pixels("4x8x8", i).id for i in range(9)] == list("012345678")


def test_rejections_are_listed_in_order(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k") as writer:
        for number in (1, 0):
            with writer.part(number) as part:
                part.reject(Rejection(f"file{number}", "unreadable", "because"))
                part.add(clip(f"{number}"))
        writer.finish(2)
    lines = (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()
    assert [line.split('"source": ')[1] for line in lines] == ['"file0"}', '"file1"}']


def test_content_follows_the_records_and_not_the_key(tmp_path: Path) -> None:
    a, b = write_pixels(tmp_path / "a", SIZES), write_pixels(tmp_path / "b", SIZES, key="other")
    c = write_pixels(tmp_path / "c", {(4, 8, 8): 26})
    assert read_info(a).content == read_info(b).content != read_info(c).content
