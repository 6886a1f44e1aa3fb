"""Cost of a video stage before it runs: `python -m src.model_summary CONFIG.yaml [...] [key=value ...]`.

Prints parameters by part (counted on the meta device), then tokens and FLOPs of a training step for each
bucket. Buckets are those that the config names, else those of its data sets. Text counts at its maximum
length.
"""

import sys

from rich.console import Console

from src.core import cli, config
from src.core.errors import UserError
from src.runs.config import VideoRunConfig


def main(argv: list[str]) -> None:
    """Parse the command line, count and print."""
    arguments = config.parse_arguments(argv)
    if arguments.help or not arguments.configs:
        print((__doc__ or "").strip())
        return
    kind = config.read_kind(arguments.configs, arguments.overrides).get("experiment")
    if kind != "video":
        raise UserError(
            f"experiment: expected a video stage such as configs/paper/t2i_256.yaml, got {kind or 'none'}"
        )
    tree = config.read(arguments.configs, arguments.overrides, VideoRunConfig)
    stage = config.build(VideoRunConfig, tree)
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.inference.stage_cost import parameter_table, step_costs, step_table

    console = Console(highlight=False)
    console.print(parameter_table(stage))
    console.print(step_table(stage, list(step_costs(stage))))


if __name__ == "__main__":
    sys.exit(cli.run(main))
