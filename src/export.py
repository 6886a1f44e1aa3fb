"""Export weights to one safetensors file: `python -m src.export run=RUN [out=FILE.safetensors] [use=raw]`.

Takes TAE, codec and video runs, averages included, from single-file and sharded checkpoints. It has full
tensors under the checkpoint's names (latent statistics too) and the run's config. It can
replace the run in any setting: run=FILE, tae=FILE, start_from=FILE, inputs=[FILE, ...].
"""

import sys

from src.core import cli, config
from src.inference.config import ExportConfig


def main(argv: list[str]) -> None:
    """Parse the command line and export."""
    settings = config.from_command_line(ExportConfig, argv, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.inference.export_weights import export

    export(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted="interrupted; nothing was written"))
