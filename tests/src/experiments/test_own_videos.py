"""The commands of docs/own_videos.md, as printed, on three ordinary clips; only step counts are lowered."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from data import prepare
from src import generate, reconstruct, train
from src.core.media_io.video_writer import write_video
from src.streaming.reader import Dataset

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "own_videos.md"
MODULES = {
    "data.prepare": prepare,
    "src.train": train,
    "src.reconstruct": reconstruct,
    "src.generate": generate,
}
FEW_STEPS = [
    "train.max_steps=2", "train.warmup_steps=1", "train.val_every=2", "train.sample_every=0",
    "train.checkpoint_every=2", "train.precision=fp32",
]  # fmt: skip
APPENDED = {
    "configs/data/own.yaml": ["num_workers=0"],
    "configs/data/own_48.yaml": ["num_workers=0"],
    "configs/tae/own_image.yaml": FEW_STEPS,
    "configs/tae/own.yaml": FEW_STEPS,
    "configs/tae/own_latents.yaml": ["precision=fp32"],
    "configs/video/own_sft.yaml": FEW_STEPS,
    "configs/generate/tiny.yaml": ["sampler.num_steps=2"],
}


def commands() -> list[list[str]]:
    """Return the commands of the page's code blocks as module and arguments."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("python -m ") for line in lines)
    return [shlex.split(line)[2:] for line in lines]


def run(module: str, *arguments: str) -> None:
    """Run one command of the page from a directory that holds no checkout, with few steps."""
    config = next((each for each in arguments if each.startswith("configs/")), "")
    MODULES[module].main([*arguments, *APPENDED.get(config, [])])


def write_clips(folder: Path) -> None:
    """Write three videos of 160x120 pixels and 2 to 3 seconds: a bright square on a moving gradient."""
    y, x = np.mgrid[:120, :160]
    for name, seconds, fps in (("cat", 2.0, 30), ("dog", 2.5, 24), ("sea", 3.0, 25)):
        frames = []
        for t in range(round(seconds * fps)):
            frame = np.stack([(x + 2 * t) % 256, (2 * y) % 256, np.full_like(x, 90)], -1).astype(np.uint8)
            frame[40:70, t : t + 30] = 255
            frames.append(frame)
        write_video(folder / f"{name}.mp4", np.stack(frames), fps)
        (folder / f"{name}.txt").write_text(f"A white square slides past a {name}.\n", encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the clips and the configs, in which the page's commands run in order."""
    root = tmp_path_factory.mktemp("own")
    (root / "configs").symlink_to(ROOT / "configs")
    write_clips(root / "my_videos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        todo = commands()
        first_of_demo = next(i for i, each in enumerate(todo) if "configs/tae/own_latents.yaml" in each)
        for module, *arguments in todo[:first_of_demo]:
            run(module, *arguments)
        make_demo_models()
        for module, *arguments in todo[first_of_demo:]:
            run(module, *arguments)
    return root


def make_demo_models() -> None:
    """Make what `make demo` leaves: a TAE and a video model under runs/tiny, of two steps each."""
    clips = ["dataset=datasets/own_48", "data.streams.images=null", "data.streams.videos.batch_size=2"]
    train.main(["configs/tae/tiny.yaml", "run_dir=runs/tiny/tae", "start_from=", *clips, *FEW_STEPS])
    train.main(
        [
            "configs/tae/tiny_latents.yaml",
            "run_dir=runs/tiny/latents",
            "data=datasets/own_48",
            "precision=fp32",
        ]
    )
    train.main(
        [
            "configs/video/tiny_sft.yaml",
            "run_dir=runs/tiny/sft",
            "latents=runs/tiny/latents",
            "start_from=",
            "data.streams.videos.batch_size=2",
            "data.val.videos.batch_size=2",
            *FEW_STEPS,
        ]
    )


def test_every_file_gives_clips_with_its_caption(workspace: Path) -> None:
    sets = {split: Dataset(workspace / "datasets/own" / split) for split in ("train", "val")}
    counts = {split: sum(dataset.buckets.values()) for split, dataset in sets.items()}
    assert counts["train"] + counts["val"] == 60 // 16 + 60 // 16 + 75 // 16
    assert min(counts.values()) >= 3
    reader = sets["val"].readers["16x80x112"]
    assert reader[0].captions[0].startswith("A white square slides past a ")


def test_the_autoencoder_is_trained_and_reconstructs(workspace: Path) -> None:
    assert list((workspace / "runs/tae/own/checkpoints").glob("step-*.ckpt"))
    output = workspace / "runs/tae/own/reconstructed"
    assert len(list(output.glob("*-pair.mp4"))) >= 3
    assert (output / "scores.csv").is_file()


def test_the_video_model_is_finetuned_and_generates(workspace: Path) -> None:
    assert len(Dataset(workspace / "runs/tae/own_latents/train")) >= 4
    assert list((workspace / "runs/video/own_sft/generated").rglob("*.mp4"))
