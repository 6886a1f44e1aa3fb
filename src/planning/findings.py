"""Findings about a machine and about what a run needs of it; each with what to do."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from src.core.errors import UserError
from src.core.launch import check_world
from src.core.provenance import ROOT

GB = 1e9
# what is read and written: formats of media.md, and the codecs that our own files have
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "aac", "mp3", "opus", "flac")
ENCODERS = ("libx264", "libx264rgb", "aac")
MIN_FREE_GB = 5.0
MIN_SHARED_GB = 1.0


@dataclass(frozen=True)
class Finding:
    """One line of a report."""

    level: Literal["ok", "warning", "error"]
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level:<8} {self.what}" + (f"\n         -> {self.advice}" if self.advice else "")


def check_packages() -> Iterator[Finding]:
    """Compare Python and the installed packages with what the project asks for."""
    from packaging.requirements import Requirement

    text = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    wrong = 0
    for line in text["dependencies"]:
        needed = Requirement(line)
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        # a build such as 2.14.1+cu130 is that version
        if not version or not needed.specifier.contains(version.partition("+")[0], prereleases=True):
            wrong += 1
            found = f"{needed.name} {version} is installed" if version else f"{needed.name} is not installed"
            yield Finding("error", f"{found}, needed is {line}", f"pip install '{line}', or make install")
    if not wrong:
        yield Finding("ok", f"{len(text['dependencies'])} packages as pyproject.toml asks for")


def check_codecs() -> Iterator[Finding]:
    """Look for the decoders and encoders of videos and audio."""
    import av

    missing = []
    for names, mode in ((DECODERS, "r"), (ENCODERS, "w")):
        for name in names:
            try:
                av.Codec(name, mode)
            except (ValueError, av.error.FFmpegError):
                missing.append(f"{name} ({'decoder' if mode == 'r' else 'encoder'})")
    if missing:
        yield Finding(
            "error", f"PyAV {av.__version__} lacks {', '.join(missing)}", "pip install --force-reinstall av"
        )
    else:
        yield Finding("ok", f"PyAV {av.__version__} has all {len(DECODERS) + len(ENCODERS)} codecs")


def check_gpus(accelerator: str = "auto", num_devices: int = 1, precision: str = "fp32") -> Iterator[Finding]:
    """Describe the GPUs, and compare them with what a run asks for."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        driver = _driver()
        if driver and torch.version.cuda is None:
            yield Finding(
                "error",
                f"a GPU is there (driver {driver}), but torch {torch.__version__} was built without CUDA",
                "install torch from the index of CUDA builds, see docs/troubleshooting.md",
            )
        elif accelerator == "cuda":
            yield Finding(
                "error", "the config asks for a GPU and there is none", "use configs/hardware/cpu.yaml"
            )
        else:
            yield Finding(
                "warning", f"no GPU: torch {torch.__version__} runs on the CPU", "fine for tiny configs"
            )
        return
    names = sorted({torch.cuda.get_device_name(i) for i in range(count)})
    memory = torch.cuda.get_device_properties(0).total_memory / GB
    yield Finding("ok", f"{count} x {', '.join(names)}, {memory:.0f} GB each, torch {torch.__version__}")
    if num_devices > count:
        yield Finding(
            "error",
            f"train.parallel.num_devices={num_devices}, this machine has {count}",
            f"train.parallel.num_devices={count}",
        )
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        yield Finding(
            "warning",
            f"{names[0]} has no bf16: train.precision=bf16 becomes fp32",
            "plan with train.precision=fp32",
        )


def _driver() -> str:
    """Return the version of NVIDIA's driver; empty if there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.split("\n")[0].strip()


def check_disk(folder: Path, needed_gb: float = MIN_FREE_GB, num_workers: int = 0) -> Iterator[Finding]:
    """Compare free space with what checkpoints take, and shared memory with what workers need."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free / GB
    what = f"{free:,.0f} GB free at {folder}, {needed_gb:,.1f} GB needed"
    if free < needed_gb:
        advice = "give run_dir=... on a larger disk, fewer train.keep_checkpoints, or make room"
        yield Finding("error", what, advice)
    else:
        yield Finding("ok", what)
    shared = Path("/dev/shm")
    if num_workers and shared.is_dir() and sys.platform == "linux":
        size = shutil.disk_usage(shared).total / GB
        if size < MIN_SHARED_GB:
            advice = "in a container --shm-size=8g or --ipc=host, else data.num_workers=0"
            yield Finding("error", f"/dev/shm has {size:.2f} GB, workers pass batches through it", advice)


def check_launch(config: Any) -> Iterator[Finding]:
    """Compare the processes that a launcher started with the config."""
    parallel = config.train.parallel
    try:
        check_world(parallel.num_devices, parallel.num_nodes)
    except UserError as error:
        yield Finding("error", *split_message(error))
    else:
        yield Finding("ok", f"{parallel.world_size} process(es), as the launcher and the config have it")


def split_message(error: UserError) -> tuple[str, str]:
    """Return what is wrong and what would work, which our messages separate by "; use "."""
    text = " ".join(str(error).split())
    what, _, advice = text.partition("; ")
    return what, advice
