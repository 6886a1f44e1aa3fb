"""The data card and the closing table tell what a data set holds and what was left out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.bounce.config import WorldConfig
from data.build import prepare
from data.config import ClipConfig, FilesConfig, PrepareConfig, WorldSetConfig
from data.prepare import main
from src.core import cli
from src.core.media_io.audio_writer import write_audio
from tests.fixtures.video_files import write_folder, write_image, write_video

CLIP = ClipConfig(size=32, multiple=8, lengths=(8, 16))
FLAGS = [
    "source=files",
    "num_workers=0",
    "files.clip.size=32",
    "files.clip.multiple=8",
    "files.clip.lengths=[8]",
]


def test_a_card_of_files(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "folder")
    (root / "b.json").write_text(json.dumps({"license": "CC0"}))
    files = FilesConfig(path=str(root), license="CC-BY", clip=CLIP)
    prepare(PrepareConfig(out=str(tmp_path / "out"), source="files", files=files, num_workers=0))
    card = (tmp_path / "out" / "DATA.md").read_text(encoding="utf-8")
    rows = {cells[0]: cells[1:] for line in card.splitlines() if line.startswith("|")
            for cells in [[cell.strip() for cell in line.strip("|").split("|")]]}  # fmt: skip
    assert rows["CC-BY"] == ["4"]
    assert rows["CC0"] == ["1"]
    assert rows["inputs"] == ["14"]
    assert rows["rejected: unreadable"] == ["4"]
    assert rows["skipped: hidden file"] == ["1"]
    assert (rows["records"], rows["records without caption"]) == (["5"], ["1"])
    assert rows["train"][0] == "8x24x40"
    assert rows["captions, distinct"] == ["7, 3"]
    assert rows["clips with audio"] == ["3"]
    assert "1 images, 4 clips of 5.6 s in all; 0 records repeat another's content" in card
    assert "10 (4)" in card
    sheet = np.asarray(Image.open(tmp_path / "out" / "contact_sheet.png"))
    assert sheet.shape == (142, 1024, 3)
    assert len(np.unique(sheet[:128].reshape(-1, 3), axis=0)) > 500
    before = (tmp_path / "out" / "DATA.md").stat().st_mtime_ns
    prepare(PrepareConfig(out=str(tmp_path / "out"), source="files", files=files, num_workers=0))
    assert (tmp_path / "out" / "DATA.md").stat().st_mtime_ns == before


def test_a_card_of_audio(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 441.7 * np.arange(24_000) / 16_000)
    write_audio(folder / "a.wav", np.stack([tone, 0 * tone]), 16_000)
    (folder / "b.wav").write_bytes(b"RIFF")
    words = ["source=audio", f"audio.folder={folder}", "audio.seconds=0.5", "audio.num_channels=2"]
    words += ["audio.sample_rate=16000", "audio.license=CC0", "num_workers=0", f"out={tmp_path / 'out'}"]
    assert cli.run(main, words) == 0
    card = (tmp_path / "out" / "DATA.md").read_text(encoding="utf-8")
    assert f"Files of `{folder}` (`source=audio`)" in card
    assert "| CC0 | 3 |" in card
    assert "| rejected: unreadable | 1 |" in card
    assert "| train | 8000 | 2 | 3 |" in card
    assert "3 clips of 1.5 s in all; 0 records repeat another's content" in card
    assert "16000 (3)" in card
    assert "| clips with audio | 3 |" in card
    sheet = np.asarray(Image.open(tmp_path / "out" / "contact_sheet.png")).astype(int)
    blue = (sheet[:128, :128] == (40, 80, 160)).all(-1)
    assert 25 < blue[:64].sum(0).max() < 40  # half of full scale, both ways
    assert blue[64:].sum(0).max() <= 2  # silence: a line


def test_a_dry_run_shows_the_same_table_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(tmp_path / "folder")
    arguments = [f"files.path={root}", f"out={tmp_path / 'out'}", "files.val_fraction=0.3", *FLAGS]
    assert cli.run(main, [*arguments, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert "dry run: nothing was written" in dry
    assert cli.run(main, arguments) == 0
    full = capsys.readouterr().out
    assert dry.replace(" (dry run: nothing was written)", "") == full
    assert full.count("rejected:") > 5


def test_uncaptioned_records_unread_columns_and_odd_names_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "[bold]a.mp4", 9)
    (tmp_path / "list.csv").write_text("path,text\n[bold]a.mp4,a ramp\n[/y].mp4,gone\n")
    assert cli.run(main, [f"files.path={tmp_path / 'list.csv'}", f"out={tmp_path / 'out'}", *FLAGS]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "list.csv: columns that are not read: text (did you mean caption?" in shown
    assert "│ without caption │ 1 │" in shown
    assert "[/y].mp4" in shown
    assert json.loads((tmp_path / "out" / "train" / "dataset.json").read_text())["num_uncaptioned"] == 1


def test_the_bounce_world_is_as_it_was(tmp_path: Path) -> None:
    """Chunks, index and key of rendered sets: unchanged by anything that files need."""
    world = WorldConfig(max_objects=1, cameras=("static shot",))
    sets = {
        "v": WorldSetConfig(num_videos=3, num_val_videos=0, num_frames=4, height=16, width=16, world=world)
    }
    prepare(PrepareConfig(out=str(tmp_path / "out"), world=sets, num_workers=0))
    index = json.loads((tmp_path / "out" / "train" / "dataset.json").read_text())
    assert "num_uncaptioned" not in index
    assert (index["key"], index["content"][:16]) == ("8caaea6fdc457479", "76493f5d227f9237")


def test_files_of_one_name_in_two_folders_are_two_records(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        write_image(tmp_path / "in" / folder / "x.png", width=64 if folder == "a" else 72)
        (tmp_path / "in" / folder / "x.txt").write_text(folder)
    files = FilesConfig(path=str(tmp_path / "in"), clip=CLIP)
    infos = prepare(PrepareConfig(out=str(tmp_path / "out"), source="files", files=files, num_workers=0))
    assert infos["train"].records == 2
