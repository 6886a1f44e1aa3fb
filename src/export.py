"""Export weights to one safetensors file: `python -m src.export run=RUN [out=FILE.safetensors] [use=raw]`.

Takes TAE, codec and video runs, averages included, from single-file and sharded checkpoints. It has full
tensors under the checkpoint's names (latent statistics too) and the run's config. It can
replace the run in any setting: run=FILE, tae=FILE, start_from=FILE, inputs=[FILE, ...].

`format=hub` makes a folder for a model hub instead, in the layout of diffusers: the video model, its TAE and
a model card with scores (`scores=`) and the licenses of the training data. `run=FOLDER` generates from it.

A contrastive run becomes a folder of programs instead, for `eval.rank`, `eval.run` (weights.contrastive.path)
and `data.curate` (scoring.contrastive).
"""

import sys
from pathlib import Path

from src.core import cli, config
from src.inference.config import ExportConfig


def main(argv: list[str]) -> None:
    """Parse the command line and export."""
    settings = config.from_command_line(ExportConfig, argv, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.inference.export_weights import export

    if export_kind(settings) == "contrastive":
        from src.inference.export_programs import export_programs

        export_programs(settings)
    elif settings.format == "hub":
        from src.inference.hub_folder import export_folder

        export_folder(settings)
    else:
        export(settings)


def export_kind(settings: ExportConfig) -> str:
    """Return the kind of the run; empty where there is none, which the export reports."""
    path = Path(settings.run)
    folder = path.parent.parent if path.parent.name == "checkpoints" else path
    file = folder / "config.yaml"
    return str(config.read_flat(file).get("experiment", "")) if file.is_file() else ""


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted="interrupted; nothing was written"))
