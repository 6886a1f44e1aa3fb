"""Reconstruction of videos from the command line: sizes, streams, files, scores, bad input."""

import csv
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import reconstruct
from src.core import cli
from src.core.media_io.video_reader import open_video
from src.inference.reconstruction import FrameOverview, OutputFiles, SourceVideo, reconstruct_video
from src.losses.video_metrics import score_videos
from src.models.tae.config import TilingConfig
from src.runs import loading
from tests.fixtures.odd_media import X264, encode, ffmpeg, numbered
from tests.fixtures.toy_runs import write_toy_tae
from tests.fixtures.video_files import write_image, write_video, write_zero_frames

FAST = ["tiling.frames=8", "tiling.overlap=4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reconstruct")
    write_toy_tae(root / "run")
    write_video(root / "long.mp4", 27, height=50, width=36)
    (root / "other").mkdir()
    write_video(root / "other" / "long.mp4", 3)
    write_image(root / "still.png", height=37, width=53)
    return root


@pytest.fixture(scope="module")
def output(root: Path) -> Path:
    args = [f"video={root / name}" for name in ("long.mp4", "other/long.mp4", "still.png")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert cli.run(reconstruct.main, ["run=run", *args, *FAST, "crf=0", "num_overview_frames=3"]) == 0
    return root / "run" / "reconstructed"


def frames(path: Path) -> np.ndarray:
    with open_video(path) as video:
        return np.stack([frame.rgb_HWC for frame in video.frames()])


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def test_files_of_every_video_and_scores_of_every_frame(output: Path) -> None:
    names = sorted(p.name for p in output.iterdir())
    videos = [f"{name}{end}" for name in ("long", "long-2") for end in (".mp4", "-pair.mp4", "-frames.png")]
    images = ["still.png", "still-pair.png", "still-frames.png"]
    assert names == sorted([*videos, *images, "scores.csv", "reconstruction.json"])
    counts = {name: sum(row["video"] == name for row in rows(output)) for name in ("long", "long-2", "still")}
    assert counts == {"long": 27, "long-2": 3, "still": 1}
    assert [int(row["frame"]) for row in rows(output)[:27]] == list(range(27))


def test_any_file_name_is_reconstructed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are no UTF-8, and brackets that rich reads as markup."""
    args = []
    for name in ("caf\udce9", "a[red]"):
        args.append(f"video={write_image(tmp_path / 'plain.png', 16, 16).rename(tmp_path / f'{name}.png')}")
    out = tmp_path / "out"
    assert cli.run(reconstruct.main, [f"run={root / 'run'}", *args, *FAST, f"out={out}"]) == 0
    assert {row["video"] for row in rows(out)} == {"caf\N{REPLACEMENT CHARACTER}", "a[red]"}
    assert "a[red]" in capsys.readouterr().out


def test_jumps_of_the_clock_and_pixels_that_are_not_square_are_shown(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    milliseconds = [62 * i + (3_600_000 if i >= 4 else 0) for i in range(8)]
    encode(tmp_path / "jump.mkv", numbered(8, 20), 16, pts=milliseconds, time_base=Fraction(1, 1000))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32:r=10:d=0.2,setsar=2/1", *X264, tmp_path / "wide.mp4")
    args = [f"video={tmp_path / name}" for name in ("jump.mkv", "wide.mp4")]
    out = tmp_path / "out"
    assert cli.run(reconstruct.main, [f"run={root / 'run'}", *args, *FAST, f"out={out}"]) == 0
    assert frames(out / "jump.mp4").shape[0] == 8
    assert frames(out / "wide.mp4").shape == (2, 32, 64, 3)
    printed = capsys.readouterr().out
    assert "jump: 1 x clock jump (from 0.186 s to 3600.248 s)" in printed
    events = json.loads((out / "reconstruction.json").read_text())["events"]
    assert [event["reason"] for event in events["jump"]] == ["clock jump"]
    assert "wide" not in events


def test_videos_keep_size_frame_rate_and_order(root: Path, output: Path) -> None:
    original, ours, pair = (
        frames(p) for p in (root / "long.mp4", output / "long.mp4", output / "long-pair.mp4")
    )
    assert ours.shape == original.shape == (27, 50, 36, 3)
    assert pair.shape == (27, 50, 72, 3)
    with open_video(output / "long.mp4") as video:
        assert video.fps == 10
    assert np.abs(pair[:, :, :36].astype(int) - original).mean() < 3
    assert np.abs(pair[:, :, 36:].astype(int) - ours).mean() < 3
    assert np.array(Image.open(output / "still.png")).shape == (37, 53, 3)
    assert np.array(Image.open(output / "long-frames.png")).shape == (100, 108, 3)


def test_scores_are_those_of_the_padded_video_cropped_back(root: Path, output: Path) -> None:
    """Compare with the model itself on a video of one tile: sizes that the factor divides, and others."""
    model, _ = loading.load_tae(root / "run")
    video = torch.from_numpy(frames(root / "other" / "long.mp4")).permute(3, 0, 1, 2)[None] / 127.5 - 1
    ours = [row for row in rows(output) if row["video"] == "long-2"]
    expected = score_videos(model(video).video_BCTHW.clamp(-1, 1), video)
    for name in ("psnr", "ssim"):
        mean = sum(float(row[name]) for row in ours) / 3
        assert mean == pytest.approx(float(expected[name]), rel=1e-3)
    still = np.array(Image.open(root / "still.png"))
    padded = np.pad(still, ((0, 3), (0, 3), (0, 0)), mode="edge")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    cut = (slice(None),) * 3 + (slice(37), slice(53))
    expected = score_videos(model(x).video_BCTHW.clamp(-1, 1)[cut], x[cut])
    (row,) = [row for row in rows(output) if row["video"] == "still"]
    assert float(row["psnr"]) == pytest.approx(float(expected["psnr"]), rel=1e-3)
    assert float(row["ssim"]) == pytest.approx(float(expected["ssim"]), abs=1e-4)


def test_frames_at_most(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [f"run={root / 'run'}", f"video={root / 'long.mp4'}", "max_frames=5", f"out={root / 'few'}", *FAST]
    assert cli.run(reconstruct.main, args) == 0
    assert frames(root / "few" / "long.mp4").shape[0] == 5
    printed = capsys.readouterr().out
    mean = np.mean([float(row["psnr"]) for row in rows(root / "few")])
    assert f"{mean:.2f}" in printed
    assert "36x50" in printed


def test_overview_frames_are_spread_over_any_length() -> None:
    for count in (1, 2, 6, 25, 100, 1000):
        overview = FrameOverview(6)
        for i in range(count):
            overview.add(
                np.full((1, 1, 3), i % 256, np.uint8) if count < 256 else np.full((1, 1, 3), i // 4, np.uint8)
            )
        found = overview.image()[0, :, 0].astype(int) * (1 if count < 256 else 4)
        assert len(found) == min(6, count)
        assert len(overview.kept) <= 24
        even = np.linspace(0, count - 1, len(found))
        assert np.abs(found - even).max() <= max(1, count / 12)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["video=long.mp4"], "run must be given"),
        (["run=run"], "no videos: give video=FILE.mp4 or data=DATASET/val"),
        (["run=nowhere", "video=long.mp4"], "nowhere: not a run directory"),
        (["run=run", "video=missing.mp4"], "video=missing.mp4: missing file"),
        (["run=run", "video=missing.png"], "video=missing.png: missing file"),
        (["run=run", "video=bytes.mp4"], "video=bytes.mp4: unreadable"),
        (["run=run", "video=zero.avi"], "zero.avi: video has no frames"),
        (["run=run", "video=small.png"], "small.png: 64x8 is too small; SSIM needs at least 11"),
        (
            ["run=run", "video=long.mp4", "tiling.frames=6", "tiling.overlap=4"],
            "tiling.frames must be a multiple of 4, got 6",
        ),
        (
            ["run=run", "video=long.mp4", "tiling.overlap=32"],
            "tiling: overlap must be below frames=32, got 32",
        ),
        (["run=run", "video=long.mp4", "max_frames=-1"], "max_frames must be at least 0, got -1"),
        (["run=run", "video=long.mp4", "num_clip=3"], "did you mean num_clips?"),
        (["run=run", "video=long.mp4", "device=abacus"], "device=abacus"),
        (["run=run", "data=nothing"], "nothing"),
        (["run=gray", "video=long.mp4"], "in_channels is 1, expected 3"),
        (["run=shape", "video=long.mp4"], "shape: the checkpoint does not match its config.yaml"),
        (["run=run", "video=long.mp4", "out=small.png/x"], "out=small.png/x: cannot be created"),
        (["run=broken", "video=long.mp4"], "long.mp4: model output is NaN from frame 0 on"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(root)
    if not Path("gray").exists():
        write_toy_tae(Path("gray"), "model.in_channels=1")
        write_toy_tae(Path("shape"))
        path = Path("shape/config.yaml")
        path.write_text(re.sub(r"latent_channels: 4", "latent_channels: 8", path.read_text()))
        write_toy_tae(Path("broken"))
        checkpoint = Path("broken/checkpoints/step-00000001.ckpt")
        state = torch.load(checkpoint)
        state["state_dict"]["tae.decoder.conv_in.0.bias"][0] = float("nan")
        torch.save(state, checkpoint)
        Path("bytes.mp4").write_bytes(bytes(range(256)) * 20)
        write_zero_frames(Path("zero.avi"))
        write_image(Path("small.png"), height=8)
    assert cli.run(reconstruct.main, ["out=bad", *args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(root.glob("bad/*.mp4"))
    assert not list(root.glob("bad/.*"))


def test_changing_frame_size_is_refused(root: Path) -> None:
    model, _ = loading.load_tae(root / "run")
    sizes = [np.zeros((16, 16, 3), np.uint8)] * 40 + [np.zeros((16, 24, 3), np.uint8)]
    video = SourceVideo("video", "video", 1.0, False, lambda: iter(sizes))
    with pytest.raises(ValueError, match="frame size changes within the video"):
        reconstruct_video(model, video, OutputFiles(root / "bad"), TilingConfig(frames=8, overlap=4))
    assert not list((root / "bad").glob("*video*"))  # partial files are removed


def test_manifests_are_for_the_evaluation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos only: reconstructions and originals, in the same encoding."""
    from eval.core.manifest import read_manifest

    monkeypatch.chdir(root)
    out = root / "manifests"
    args = [f"run={root / 'run'}", f"video={root / 'long.mp4'}", f"video={root / 'still.png'}", "crf=0"]
    reconstruct.main([*args, *FAST, f"out={out}", "manifests=true"])
    (output,) = read_manifest(out / "manifest.jsonl")
    (original,) = read_manifest(out / "originals.jsonl")
    assert (output.id, output.video, output.reference) == ("long", "long.mp4", "originals/long.mp4")
    assert (original.id, original.video) == ("long", output.reference)
    with open_video(root / "long.mp4") as given, open_video(out / "originals" / "long.mp4") as kept:
        for one, other in zip(given.frames(), kept.frames(), strict=True):
            assert (
                np.abs(one.rgb_HWC.astype(int) - other.rgb_HWC).mean() < 4
            )  # chroma has half the resolution
    assert not (out / "originals" / "still.png").exists()
