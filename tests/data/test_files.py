"""A folder or CSV of media files: usable ones become records, all others are reported."""

import json
from pathlib import Path

import pytest

from data.build import prepare
from data.config import ClipConfig, FilesConfig, PrepareConfig
from data.sources.files import FilesSource
from src.core import config
from src.core.media_io.errors import MediaError
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.schema.part_writer import Rejection
from tests.fixtures.video_files import write_folder, write_image, write_video

CLIP = ClipConfig(size=32, multiple=8, lengths=(8, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("media") / "folder")


def run(out: Path, files: FilesConfig, **options) -> dict[str, Dataset]:
    records = prepare(
        PrepareConfig(out=str(out), source="files", files=files, **({"num_workers": 0} | options))
    )
    return {split: Dataset(out / split) for split in records}


def records(dataset: Dataset) -> dict:
    return {
        r.id: r
        for name, reader in dataset.readers.items()
        for r in map(reader.__getitem__, range(len(reader)))
    }


def rejected(out: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    return {row["source"]: row["reason"] for row in rows}


def test_good_files_become_records_and_bad_ones_reasons(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = run(tmp_path / "out", FilesConfig(path=str(folder), clip=CLIP))["train"]
    found = records(dataset)
    assert {i: r.bucket.name for i, r in found.items()} == {
        "a.mp4#0": "16x24x40",
        "a.mp4#1": "16x24x40",
        "a.mp4#2": "8x24x40",
        "sub/a.mkv#0": "16x40x24",
        "b.png": "1x24x40",
    }
    assert found["a.mp4#1"].captions == ("A gradient slides.", "Ein Verlauf für alle Fälle.")
    assert found["sub/a.mkv#0"].captions == ()
    assert found["b.png"].captions == ("A still gradient.",)
    source = found["a.mp4#1"].source
    assert (source["path"], source["start_s"], source["duration_s"], source["audio"]) == (
        "a.mp4",
        1.6,
        1.6,
        True,
    )
    assert (source["fit"], source["resized"], source["cut_top"]) == ("crop", "30x40", 3)
    assert rejected(tmp_path / "out" / "train") == {
        "bad-audio.mp4": "audio only",
        "bad-bytes.mp4": "unreadable",
        "bad-caption.mp4": "caption is not UTF-8",
        "bad-empty.mp4": "unreadable",
        "bad-image.png": "unreadable",
        "bad-short.mp4": "too short",
        "bad-small.mp4": "too small",
        "bad-tail.avi": "unreadable",
        "bad-zero.avi": "zero frames",
        "song.mp3": "unknown type",
        ".hidden.mp4": "skipped: hidden file",
    }
    table = capsys.readouterr().out
    assert "rejected: unreadable" in table
    assert "16x24x40" in table


def test_a_broken_end_keeps_the_clips_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.core.media_io.video_reader import VideoReader

    full = VideoReader.frames

    def frames(self, start_s=0.0, end_s=None, *, fps=None):
        for i, frame in enumerate(full(self, start_s, end_s, fps=fps)):
            if i == 20:
                raise MediaError("damaged", "decoding stopped after 20 frames")
            yield frame

    monkeypatch.setattr(VideoReader, "frames", frames)
    write_video(tmp_path / "a.mp4", 40)
    source = FilesSource(FilesConfig(path=str(tmp_path), clip=CLIP))
    first, second = source.records(source.splits()["train"][0])
    assert first.id == "a.mp4#0"
    assert second == Rejection(
        "a.mp4", "damaged", "decoding stopped after 20 frames; 1 clips before it were used"
    )


def test_csv_with_several_captions_stretches_and_broken_rows(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mp4", 60)
    write_image(tmp_path / "still.png")
    rows = [
        b"path,caption,start,end",
        'film.mp4,"Eins, ""größer""",0,2'.encode(),
        b"film.mp4,Two,0,2",
        b"film.mp4,Later,4,",
        b"still.png,A still,,",
        "still.png,Gr\xf6\xdfe,,".encode("latin-1"),
        b"gone.mp4,Gone,,",
        b",No path,,",
        b"film.mp4,Bad time,soon,",
    ]
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbf" + b"\n".join(rows) + b"\n")
    dataset = run(tmp_path / "out", FilesConfig(path=str(tmp_path / "list.csv"), clip=CLIP))["train"]
    found = records(dataset)
    assert {i: (r.captions, r.source.get("start_s", 0)) for i, r in found.items()} == {
        "film.mp4#0": (('Eins, "größer"', "Two"), 0.0),
        "film.mp4@4#0": (("Later",), 4.0),
        "still.png": (("A still",), 0),
    }
    assert rejected(tmp_path / "out" / "train") == {
        "list.csv:6": "caption is not UTF-8",
        "gone.mp4": "missing file",
        "list.csv:8": "no path",
        "list.csv:9": "bad time",
    }


def test_validation_files_are_chosen_by_name_and_stay_chosen(tmp_path: Path) -> None:
    for i in range(12):
        write_image(tmp_path / f"{i}.png")
    source = FilesSource(FilesConfig(path=str(tmp_path), val_fraction=0.3, clip=CLIP))
    before = {split: {i["path"] for i in items} for split, items in source.splits().items()}
    assert before["train"]
    assert before["val"]
    write_image(tmp_path / "new.png")
    after = {split: {i["path"] for i in items} for split, items in source.splits().items()}
    assert all(before[s] <= after[s] for s in before)


@pytest.mark.parametrize("names", [("a", "b"), ("c", "d", "e"), ("x", "y", "z")])
@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_few_files_still_give_both_splits(tmp_path: Path, names: tuple[str, ...], fraction: float) -> None:
    for name in names:
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "song.mp3").write_bytes(b"")  # must not be the only file for validation
    splits = FilesSource(FilesConfig(path=str(tmp_path), val_fraction=fraction, clip=CLIP)).splits()
    assert {s: len([i for i in items if "reason" not in i]) for s, items in splits.items()} in (
        {"train": len(names) - 1, "val": 1},
        {"train": 1, "val": len(names) - 1},
    )


def test_an_empty_data_set_does_not_block_other_settings(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_video(tmp_path / "media" / "a.mp4", 20)
    files = FilesConfig(path=str(tmp_path / "media"), clip=ClipConfig(size=32, multiple=8, lengths=(128,)))
    with pytest.raises(DataError, match="not one of 1 inputs was usable"):
        run(tmp_path / "out", files)
    assert len(run(tmp_path / "out", FilesConfig(path=str(tmp_path / "media"), clip=CLIP))["train"]) == 1


def test_settings_that_limit(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 60, fps=30, cuts=(40,))

    def records(**options):
        clip = ClipConfig(**({"size": 32, "multiple": 8, "lengths": (8,)} | options))
        source = FilesSource(FilesConfig(path=str(tmp_path), clip=clip))
        return list(source.records(source.splits()["train"][0]))

    assert [r.source["shot"] for r in records()] == [1] * 5 + [2] * 2
    assert len(records(max_clips=2)) == 2
    assert [round(r.source["start_s"], 2) for r in records(skip_start_s=1.0)] == [1.0, 1.33, 1.6]
    assert [(r.fps, r.source["start_s"], r.source["duration_s"]) for r in records(fps=10.0)] == [
        (10.0, 0.0, 0.8)
    ]
    assert records(min_fps=31.0)[0].reason == "frame rate too low"
    required = FilesSource(FilesConfig(path=str(tmp_path), captions="required", clip=CLIP))
    assert [r.reason for r in required.records(required.splits()["train"][0])] == ["no caption"]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"files.path='.*nowhere': no such folder or CSV file"):
        run(tmp_path / "out", FilesConfig(path=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to prepare: source=files has no inputs"):
        run(tmp_path / "out", FilesConfig(path=str(tmp_path / "empty")))


def test_ratios_that_yaml_reads_as_numbers(tmp_path: Path) -> None:
    """YAML 1.1 reads an unquoted 1:1 as 61, in base 60."""
    (tmp_path / "a.yaml").write_text("aspect_ratios: [1:1, 16:9, '4:3']\n")
    assert config.load(ClipConfig, tmp_path / "a.yaml").aspect_ratios == ("1:1", "16:9", "4:3")
    assert config.load(ClipConfig, None, ["aspect_ratios=[1:1]"]).aspect_ratios == ("1:1",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lengths": ()}, "lengths must name at least one"),
        ({"lengths": (1,)}, "lengths must name at least one"),
        ({"size": 4}, "size must be at least 8, got 4"),
        ({"aspect_ratios": ("wide",)}, "aspect_ratios: 'wide'"),
        ({"fps": -1.0}, "fps must be at least 0, got -1.0"),
    ],
)
def test_bad_settings(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClipConfig(**options)
