"""Weights of a run as one safetensors file: `python -m src.export run=RUN [out=FILE.safetensors] [use=raw]`.

Takes TAE and video runs (averages of runs too), from gathered and from sharded checkpoints. The file holds
whole tensors under the checkpoints' names, a video model's latent statistics among them, and the run's
config. It stands for the run wherever one is named: run=FILE, tae=FILE, start_from=FILE, inputs=[FILE, ...].
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import opt
from src.parallel import safetensors_io
from src.runs import loading
from src.training.callbacks.checkpoint import NAME, find, step_of
from src.training.config import Use


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export."""

    run: str = opt("???", "run directory or checkpoint of a TAE or a video model")
    out: str = opt("", "file to write, ending in .safetensors; empty: RUN.safetensors beside the run")
    use: Use = opt("ema", "weights: ema or raw")


def main(argv: list[str]) -> None:
    """Parse and export."""
    settings = config.from_command_line(ExportConfig, argv, __doc__)
    if settings is not None:
        export(settings)


def export(settings: ExportConfig) -> Path:
    """Write the file; returns its path.

    Raises:
        UserError: no such run, a run of another kind, weights that its config does not describe, or a
            file that is there already.
    """
    run = Path(settings.run)
    out = Path(settings.out or f"{loading.folder_of(run)}{safetensors_io.SUFFIX}")
    if out.suffix != safetensors_io.SUFFIX:
        raise UserError(f"out={settings.out}: must end in {safetensors_io.SUFFIX}")
    checkpoint, text = find(run), loading.config_text(run)
    if checkpoint.suffix == safetensors_io.SUFFIX:
        raise UserError(f"run={run}: is exported already")
    kind = config.read_text(text).get("experiment")
    if kind not in ("tae", "video"):
        raise UserError(f"run={run}: is a run of kind {kind}; only tae and video runs have weights")
    tensors = safetensors_io.read(checkpoint, settings.use)
    step = step_of(checkpoint) if NAME.fullmatch(checkpoint.name) else 0
    safetensors_io.write(
        out, tensors, safetensors_io.Header(config=text, use=settings.use, step=step, source=str(checkpoint))
    )
    values = sum(tensor.numel() for tensor in tensors.values())
    Console(highlight=False).print(
        f"{out}: {len(tensors)} tensors, {values:,} values, {settings.use} weights of {checkpoint}",
        soft_wrap=True,
    )
    return out


if __name__ == "__main__":
    sys.exit(cli.run(main))
