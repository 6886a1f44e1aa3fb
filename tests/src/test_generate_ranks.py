"""Generation and encoding by several processes, through the command line."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src import generate as generate_command
from src.core.media_io.image_reader import read_image
from src.core.provenance import ROOT
from tests.fixtures.ranks import Ranks, free_port
from tests.fixtures.toy_data import tree, write_pixels
from tests.fixtures.toy_runs import write_toy_runs

PROMPTS = [f"prompt={text}" for text in ("a red star", "a blue ring", "a green square")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generation")
    write_toy_runs(root)
    return root


def run(root: Path, module: str, *argv: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a command under torchrun; its processes are forked by one launcher."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    launcher += [f"--master_port={free_port()}", "-m", module, *argv]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *launcher], cwd=root, env=env, capture_output=True, text=True, timeout=500
    )


def generate(root: Path, out: str, *argv: str, processes: int = 2) -> list[dict]:
    settings = ["run=video", "tae=tae", f"out={out}", "precision=fp32", "batch_size=1", *PROMPTS]
    result = run(root, "src.generate", *settings, *argv, processes=processes)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("3 files and their manifest") == 1
    return [json.loads(line) for line in (root / out / "manifest.jsonl").read_text().splitlines()]


def generate_here(folder: Path, out: str, *argv: str) -> None:
    """Generate in this process, which may be one of several."""
    settings = ["run=video", "tae=tae", f"out={out}", "precision=fp32", "batch_size=1", "num_frames=1"]
    with contextlib.chdir(folder):
        generate_command.main([*settings, *PROMPTS, *argv])


def test_two_ranks_take_batches_by_turns(root: Path, ranks: Ranks) -> None:
    ranks.run(generate_here, root, "ranks")
    generate_here(root, "alone")
    ours, theirs = (tree(root / out) for out in ("ranks", "alone"))
    assert all(each.pop("generation.json") for each in (ours, theirs))
    assert ours == theirs
    assert len(ours) == 4  # three images and the manifest


@pytest.mark.long
def test_two_processes_write_the_files_of_one(root: Path) -> None:
    one, two = generate(root, "one", processes=1), generate(root, "two")
    assert one == two
    assert [entry["prompt"] for entry in two] == ["a red star", "a blue ring", "a green square"]
    for entry in one:
        assert (root / "one" / entry["video"]).read_bytes() == (root / "two" / entry["video"]).read_bytes()
    assert sorted(p.name for p in (root / "two").iterdir()) == ["generation.json", "manifest.jsonl", "videos"]


@pytest.mark.long
def test_two_processes_reconstruct_what_one_does(root: Path) -> None:
    write_pixels(root / "clips", {(8, 16, 16): 3})
    for out, processes in (("r1", 1), ("r2", 2)):
        settings = ["run=tae", "data=clips", f"out={out}", "manifests=true"]
        result = run(root, "src.reconstruct", *settings, processes=processes)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count(f"3 videos: {out}") == 1
    files = {out: tree(root / out) for out in ("r1", "r2")}
    assert all(each.pop("reconstruction.json") for each in files.values())
    assert files["r1"] == files["r2"]


@pytest.mark.parametrize("mesh", ["shard_weights=true", "tensor_parallel=2", "context_parallel=2"])
def test_a_model_over_two_ranks(root: Path, ranks: Ranks, mesh: str) -> None:
    if not (root / "alone").exists():
        generate_here(root, "alone")
    out = mesh.split("=")[0]
    ranks.run(generate_here, root, out, f"mesh.{mesh}")
    images = sorted((root / out / "images").iterdir())
    assert len(images) == 3
    for path in images:
        ours, theirs = (read_image(root / name / "images" / path.name).astype(int) for name in (out, "alone"))
        assert abs(ours - theirs).max() <= 2
        assert ours.std() > 1
