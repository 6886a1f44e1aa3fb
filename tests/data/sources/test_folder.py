"""Listing a folder: names, links, hidden folders, long paths, many files."""

import os
import time
from pathlib import Path

import pytest

from data.sources.folder import list_folder
from data.work_units import Input


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def listed(root: Path) -> dict[str, str]:
    """The reason of each input by path; empty for usable ones."""
    return {item["path"]: item.get("reason", "") for item in list_folder(root).items}


def find(root: Path, path: str) -> Input:
    return next(item for item in list_folder(root).items if item["path"] == path)


def test_a_name_that_is_not_utf8_costs_only_its_file(tmp_path: Path) -> None:
    touch(tmp_path / "fine.mp4", tmp_path / "Ünï 猫 🐈.MP4", tmp_path / "100%#a=b,c [/x].mp4")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert listed(tmp_path) == {
        "fine.mp4": "",
        "Ünï 猫 🐈.MP4": "",
        "100%#a=b,c [/x].mp4": "",
        "caf\\xe9.mp4": "name is not UTF-8",
    }


def test_links_are_followed_once_and_dangling_ones_reported(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "one.mp4", tmp_path / "elsewhere" / "deep" / "two.mp4")
    root = tmp_path / "set"
    touch(root / "own.mp4", root / "sub" / "a.mp4")
    (root / "linked.mp4").symlink_to("../elsewhere/one.mp4")
    (root / "folder").symlink_to("../elsewhere/deep")
    (root / "again").symlink_to("../elsewhere/deep")
    (root / "gone.mp4").symlink_to("../elsewhere/removed.mp4")
    (root / "sub" / "loop").symlink_to("..")
    (root / "self.mp4").symlink_to("self.mp4")
    (root / "twin.mp4").symlink_to("own.mp4")
    (tmp_path / "second.mp4").symlink_to("elsewhere/one.mp4")
    (root / "twice.mp4").symlink_to("../second.mp4")
    (tmp_path / "elsewhere" / "deep" / "back.mp4").symlink_to("../one.mp4")
    found = listed(root)
    assert {path for path, reason in found.items() if not reason} == {
        "own.mp4",
        "sub/a.mp4",
        "linked.mp4",
        "again/two.mp4",
    }
    assert {path: reason for path, reason in found.items() if reason} == {
        "folder": "skipped: link to what is listed already",
        "gone.mp4": "dangling link",
        "sub/loop": "skipped: link to what is listed already",
        "self.mp4": "link to a link",
        "twice.mp4": "link to a link",
        "again/back.mp4": "link to a link",
        "twin.mp4": "skipped: link to what is listed already",
    }
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "folder").symlink_to("../elsewhere")
    assert listed(tmp_path / "only") == {
        "folder/one.mp4": "",
        "folder/deep/two.mp4": "",
        "folder/deep/back.mp4": "link to a link",
    }


def test_hidden_and_thumbnail_folders_are_skipped_and_counted(tmp_path: Path) -> None:
    names = (".ipynb_checkpoints/cat-checkpoint.png", ".thumbnails/dog.png", "__MACOSX/._cat.png")
    touch(tmp_path / "cat.png", *(tmp_path / n for n in names), tmp_path / "@eaDir" / "a" / "thumb.jpg")
    touch(tmp_path / "@eaDir" / "b.jpg", tmp_path / "Thumbs.db", tmp_path / ".DS_Store")
    folder, file = "skipped: hidden or thumbnail folder", "skipped: hidden file"
    assert listed(tmp_path) == {
        "cat.png": "",
        ".ipynb_checkpoints": folder,
        ".thumbnails": folder,
        "__MACOSX": folder,
        "@eaDir": folder,
        "Thumbs.db": file,
        ".DS_Store": file,
    }
    assert find(tmp_path, "@eaDir")["detail"] == "2 files"


def test_captions_belong_to_the_file_next_to_them(tmp_path: Path) -> None:
    touch(
        tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4", tmp_path / "b" / "x.txt", tmp_path / "b" / "y.txt"
    )
    touch(tmp_path / "dotted.name.v2.mp4", tmp_path / "dotted.name.v2.json", tmp_path / "README.md")
    assert listed(tmp_path) == {
        "a/x.mp4": "",
        "b/x.mp4": "",
        "b/y.txt": "skipped: caption without media",
        "dotted.name.v2.mp4": "",
        "README.md": "skipped: side file",
    }
    assert "caption_txt" in find(tmp_path, "b/x.mp4")
    assert "caption_txt" not in find(tmp_path, "a/x.mp4")
    assert "caption_json" in find(tmp_path, "dotted.name.v2.mp4")


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert listed(tmp_path) == {"pipe.mp4": "skipped: not a file"}


def test_a_path_of_almost_4096_bytes_is_listed_and_a_longer_one_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders below folders, made step by step: no call takes a longer path than the system allows."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    os.chdir(root)
    name = "d" * 200
    for depth in range(25):
        Path(f"{depth:02d}.mp4").write_bytes(b"")
        os.mkdir(name)
        os.chdir(name)
    found = listed(root)
    longest = max((path for path, reason in found.items() if not reason), key=len)
    assert len(str(root / longest)) > 3800
    (problem,) = [path for path, reason in found.items() if reason]
    assert found[problem] == "unreadable folder"
    assert "too long" in find(root, problem)["detail"]
    os.chdir(tmp_path)
    os.system(f"rm -rf {root}")  # shutil.rmtree, which pytest calls, does not reach beyond 4096 bytes


def test_a_hundred_thousand_files_are_listed_with_few_system_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries are made up, since creating the files takes longer than listing them."""
    status = os.stat(tmp_path)
    calls = []

    class Entry:
        def __init__(self, name: str) -> None:
            self.name, self.path = name, f"{tmp_path}/{name}"

        def is_symlink(self) -> bool:
            return False

        def is_dir(self, follow_symlinks: bool = True) -> bool:
            return False

        def is_file(self, follow_symlinks: bool = True) -> bool:
            return True

        def stat(self, follow_symlinks: bool = True) -> os.stat_result:
            calls.append(self.name)
            return status

    names = [f"{i:06d}.{kind}" for i in range(50_000) for kind in ("mp4", "txt")]
    monkeypatch.setattr("data.sources.folder.os.scandir", lambda _: [Entry(name) for name in names])
    begin = time.process_time()
    items = list_folder(tmp_path).items
    assert len(items) == 50_000
    assert all("caption_txt" in item for item in items)
    assert len(calls) == 100_000
    assert time.process_time() - begin < 10
