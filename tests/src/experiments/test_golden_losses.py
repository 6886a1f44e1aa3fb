"""The first losses of every tiny config, recorded: any change of arithmetic shows here.

In fp32 and one thread, where CPUs differ by rounding alone. To regenerate them, and to print the largest
relative difference of other instruction sets:

    python -m tests.src.experiments.test_golden_losses
    python -m tests.src.experiments.test_golden_losses instruction_sets
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from data import prepare
from src import train
from src.training.metrics_file import METRICS_FILE, read_metrics

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "losses.json"
STEPS = 6
TOLERANCE = 1e-4  # relative
STAGES = {  # in the order of the tiny recipe: what each needs from the stages before
    "tae/tiny_image": ["dataset=data", "data.streams.videos.batch_size=16"],
    "tae/tiny": [
        "dataset=data", "start_from=tae/tiny_image",
        "data.streams.videos.batch_size=2", "data.streams.images.batch_size=4",
    ],
    "tae/tiny_latents": ["data=data", "tae=tae/tiny", "precision=fp32"],
    "video/tiny_t2i": ["latents=tae/tiny_latents", "data.streams.images.batch_size=32"],
    "video/tiny_joint": [  # at its own 8e-3 the first steps are chaotic: instruction sets differ by 1.2e-4
        "latents=tae/tiny_latents", "start_from=video/tiny_t2i", "train.lr=1.0e-3",
        "data.streams.videos.batch_size=16", "data.streams.images.batch_size=32",
    ],
    "video/tiny_sft": [
        "latents=tae/tiny_latents", "start_from=video/tiny_joint", "data.streams.videos.batch_size=16",
    ],
}  # fmt: skip
TRAINING = [
    f"train.max_steps={STEPS}", "train.warmup_steps=2", "train.log_every=1", "train.val_every=0",
    "train.sample_every=0", "train.progress=false", "train.precision=fp32",
]  # fmt: skip
DATA = [
    f"world.{kind}.{split}=32" for kind in ("videos", "images") for split in ("num_videos", "num_val_videos")
]
INSTRUCTION_SETS = [  # of oneDNN, torch's own kernels and MKL, from the oldest CPU; AMX does not touch fp32
    ("SSE41", "default", "SSE4_2"),
    ("AVX2", "avx2", "AVX2"),
    ("AVX512_CORE", "avx2", "AVX2"),
    ("AVX512_CORE", "avx512", "AVX512"),
    ("AVX512_CORE_BF16", "avx512", "AVX512"),
    ("AVX512_CORE_AMX", "avx512", "AVX512"),
]


@contextmanager
def one_thread() -> Iterator[None]:
    """The order of sums depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def losses() -> dict[str, list[float]]:
    """Return the loss of each step by config, from no data and no weights, in the current directory."""
    prepare.main([str(ROOT / "configs/data/bounce_tiny.yaml"), "out=data", "num_workers=0", *DATA])
    found = {}
    with one_thread():
        for name, settings in STAGES.items():
            training = TRAINING if name != "tae/tiny_latents" else []
            train.main([str(ROOT / f"configs/{name}.yaml"), f"run_dir={name}", *settings, *training])
            lines = read_metrics(Path(name, METRICS_FILE))
            if training:
                found[name] = [float(f"{line['train/loss']:.7g}") for line in lines if "train/loss" in line]
    return found


def losses_on(onednn: str, aten: str, mkl: str, folder: Path) -> dict[str, list[float]]:
    """Return the losses of a process that uses an older CPU's instructions only."""
    path = folder / f"{onednn}_{aten}.json"
    limits = {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl}
    done = subprocess.run(
        [sys.executable, "-m", "tests.src.experiments.test_golden_losses", str(path)],
        cwd=ROOT,
        env={**os.environ, **limits, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(path.read_text(encoding="utf-8"))


def largest_difference(a: dict[str, list[float]], b: dict[str, list[float]]) -> float:
    """Return the largest relative difference of any loss."""
    assert a.keys() == b.keys()
    return max(abs(x - y) / abs(y) for name in a for x, y in zip(a[name], b[name], strict=True))


def test_losses_equal_the_recorded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1e-4: from SSE4 to AMX losses differ by at most 2.8e-5 (docs/results.md)."""
    monkeypatch.chdir(tmp_path)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = losses()
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        assert len(values) == STEPS
        assert found[name] == pytest.approx(values, rel=TOLERANCE), name


@pytest.mark.long
@pytest.mark.parametrize(("onednn", "aten", "mkl"), INSTRUCTION_SETS)
def test_losses_on_older_cpus(tmp_path: Path, onednn: str, aten: str, mkl: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert largest_difference(losses_on(onednn, aten, mkl, tmp_path), golden) < TOLERANCE / 2


def main(argv: list[str]) -> None:
    """Write the losses to the golden file or the one of the argument, or print a table."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if argv == ["instruction_sets"]:
            golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
            for names in INSTRUCTION_SETS:
                difference = largest_difference(losses_on(*names, Path(folder)), golden)
                print(f"| {' | '.join(names)} | {difference:.1e} |", flush=True)
            return
        out = Path(*argv).resolve() if argv else GOLDEN
        patch.chdir(folder)
        out.write_text(json.dumps(losses(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
