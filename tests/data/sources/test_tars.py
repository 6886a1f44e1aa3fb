"""WebDataset tars, read in place: samples, captions, damage, hostile names."""

import io
import json
import tarfile
from pathlib import Path

from data.config import ClipConfig, FilesConfig
from data.sources.files import FilesSource
from src.streaming.schema.part_writer import Rejection
from tests.fixtures.video_files import write_image, write_video

CLIP = ClipConfig(size=32, multiple=8, lengths=(8,))


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Captions by id of all records, and reasons of all rejections."""
    source = FilesSource(FilesConfig(path=str(path), clip=CLIP))
    found = [each for item in source.splits()["train"] for each in source.records(item)]
    return (
        {each.id: each.captions for each in found if not isinstance(each, Rejection)},
        {each.source: each.reason for each in found if isinstance(each, Rejection)},
    )


def test_samples_have_a_common_name_up_to_the_first_dot(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 9).read_bytes()
    image = write_image(tmp_path / "i.png").read_bytes()
    (tmp_path / "set").mkdir()
    about = json.dumps({"caption": "From JSON.", "license": "CC0"}).encode()
    write_tar(
        tmp_path / "set" / "shard-0.tar",
        {
            "0001.mp4": video,
            "0001.txt": "A\u2028video.\nTwice.\n".encode(),
            "0001.json": about,
            "sub/0001.png": image,
            "sub/0001.txt": b"An image.",
            "0002.mp4": b"not a video",
            "0003.txt": b"Alone.",
            "0004.pyd": b"",
        },
    )
    write_tar(tmp_path / "set" / "shard-1.tar", {"0001.mp4": video})
    (tmp_path / "set" / "README.md").write_text("About.")
    captions, reasons = read(tmp_path / "set")
    assert captions == {
        "shard-0.tar/0001.mp4#0": ("A\u2028video.", "Twice.", "From JSON."),
        "shard-0.tar/sub/0001.png": ("An image.",),
        "shard-1.tar/0001.mp4#0": (),
    }
    assert reasons == {
        "shard-0.tar/0002.mp4": "unreadable",
        "shard-0.tar/0003.txt": "skipped: caption without media",
        "shard-0.tar/0004.pyd": "unknown type",
    }
    source = FilesSource(FilesConfig(path=str(tmp_path / "set"), license="CC-BY", clip=CLIP))
    licenses = [r.source["license"] for i in source.splits()["train"] for r in source.records(i)
                if not isinstance(r, Rejection)]  # fmt: skip
    assert licenses == ["CC0", "CC-BY", "CC-BY"]
    assert read(tmp_path / "set" / "shard-1.tar")[0] == {"shard-1.tar/0001.mp4#0": ()}


def test_nothing_is_written_under_the_names_of_members(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 9).read_bytes()
    (tmp_path / "set").mkdir()
    path = write_tar(tmp_path / "set" / "a.tar", {"../../evil.mp4": video, "./__MACOSX/b.mp4": video})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    captions, reasons = read(path)
    assert list(captions) == ["a.tar/../../evil.mp4#0"]
    assert reasons == {
        "a.tar/link.mp4": "skipped: not a file",
        "a.tar/./__MACOSX/b.mp4": "skipped: hidden file",
    }
    assert not list(tmp_path.rglob("evil.mp4"))


def test_damaged_and_compressed_tars_are_reported(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 9).read_bytes()
    (tmp_path / "set").mkdir()
    full = write_tar(tmp_path / "set" / "cut.tar", {"a.mp4": video, "b.mp4": video}).read_bytes()
    (tmp_path / "set" / "cut.tar").write_bytes(full[: len(video) + 2048])
    (tmp_path / "set" / "page.tar").write_text("<!DOCTYPE html>")
    with tarfile.open(tmp_path / "set" / "zipped.tar", "w:gz") as archive:
        archive.add(tmp_path / "v.mp4", "a.mp4")
    captions, reasons = read(tmp_path / "set")
    assert captions == {"cut.tar/a.mp4#0": ()}
    assert reasons == {"cut.tar": "damaged tar", "page.tar": "damaged tar", "zipped.tar": "damaged tar"}


def test_a_tar_that_changes_after_it_was_listed_is_not_read(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 9).read_bytes()
    path = write_tar(tmp_path / "a.tar", {"a.mp4": video})
    source = FilesSource(FilesConfig(path=str(path), clip=CLIP))
    (item,) = source.splits()["train"]
    write_tar(path, {"0.txt": b"shift", "a.mp4": video})
    (found,) = source.records(item)
    assert (found.source, found.reason) == ("a.tar/a.mp4", "changed while it was read")
