"""Files that a list or manifest names stay inside its folder; links the user placed are followed once."""

import json
import os
from pathlib import Path

import pytest

from data.sources.tables import path_inside
from eval.core.manifest import read_manifest
from src.core.media_io.errors import MediaError
from src.core.media_io.paths import resolve_inside

OUTSIDE, TWICE, MISSING = "outside the folder", "link to a link", "missing file"
REASONS = {
    "inside.png": "",
    "sub/../inside.png": "",
    "link.png": "",
    "folder/deep.png": "",
    "twice.png": TWICE,
    "folder/back.png": TWICE,
    "loop.png": TWICE,
    "gone.png": MISSING,
    "folder": MISSING,
    "file:inside.png": MISSING,
    "http://127.0.0.1/a.png": MISSING,
    "../outside.png": OUTSIDE,
    "folder/../../outside.png": OUTSIDE,
    "/etc/hostname": OUTSIDE,
    "": OUTSIDE,
    "a\0b": OUTSIDE,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for each in (root / "sub", tmp_path / "elsewhere"):
        each.mkdir(parents=True)
    for each in (root / "inside.png", tmp_path / "outside.png", tmp_path / "elsewhere" / "deep.png"):
        each.touch()
    for link, target in (
        (root / "link.png", "../outside.png"),
        (root / "folder", "../elsewhere"),
        (tmp_path / "elsewhere" / "back.png", "../outside.png"),
        (tmp_path / "second.png", "outside.png"),
        (root / "twice.png", "../second.png"),
        (root / "loop.png", "loop.png"),
        (root / "gone.png", "../removed.png"),
    ):
        link.symlink_to(target)
    return root


@pytest.mark.parametrize("name", REASONS)
def test_one_rule_for_lists_and_manifests(folder: Path, name: str) -> None:
    reason = REASONS[name]
    if not reason:
        assert resolve_inside(folder, name).is_file()
    else:
        with pytest.raises(MediaError) as error:
            resolve_inside(folder, name)
        assert error.value.reason == reason
    manifest = folder / "manifest.jsonl"
    manifest.write_text(json.dumps({"id": "a", "prompt": "", "image": name}) + "\n")
    if reason:
        with pytest.raises(ValueError, match=r"manifest.jsonl:1: image: "):
            read_manifest(manifest)
    else:
        read_manifest(manifest)
    if reason in (OUTSIDE, TWICE) and name:
        with pytest.raises(MediaError, match=reason):
            path_inside(folder, name)
    elif name:
        assert path_inside(folder, name) == os.path.join(folder, name)
