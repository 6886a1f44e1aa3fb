"""Average the weights of several finished runs into a run of its own (spec, section 4.4)."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from src.errors import UserError
from src.experiments import run_directory
from src.options import opt
from src.parallel import storage
from src.training.checkpoints import checkpoint_dir
from src.training.weights import Use, average


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs to average."""

    experiment: str = opt("average", "kind of run")
    name: str = opt("???", "what the average is called")
    run_dir: str = opt("runs/${name}", "where the average goes; it can be used like any finished run")
    inputs: tuple[str, ...] = opt((), "runs or checkpoints of one architecture")
    use: Use = opt("ema", "which weights of each: ema or raw")


def run(config: Config) -> None:
    """Write the uniform mean as step 0 of a run with the first input's config."""
    if len(config.inputs) < 2:
        raise UserError(f"inputs: at least two runs are needed, got {len(config.inputs)}")
    run_dir = Path(config.run_dir)
    with run_directory.opened(run_dir / "average", config):
        mean = average([Path(p) for p in config.inputs], config.use)
        storage.write_file({"state_dict": mean}, checkpoint_dir(run_dir) / "step-00000000.ckpt")
        shutil.copyfile(Path(config.inputs[0]) / "config.yaml", run_dir / "config.yaml")
        if run_directory.is_first_rank():
            Console(highlight=False).print(f"{run_dir}: mean of {', '.join(config.inputs)}", soft_wrap=True)
