"""Train a stage or a whole recipe: `python -m src.train [CONFIG.yaml ...] [key=value ...]`.

Without CONFIG it runs the tiny recipe. Several files are merged from left to right. A finished stage
is skipped, an interrupted one goes on from its last checkpoint.
"""

import sys
from pathlib import Path

from src.core import cli, config
from src.experiments import EXPERIMENTS, experiment

DEFAULT = Path("configs/recipes/tiny.yaml")


def main(argv: list[str]) -> None:
    """Parse, then hand the typed config to its experiment."""
    arguments = config.parse_arguments(argv)
    if arguments.help and not arguments.configs:
        print(usage())
        return
    tree = config.read(arguments.configs or (DEFAULT,), arguments.overrides)
    module = experiment(str(tree.get("experiment", "")))
    if arguments.help:
        print(config.help_text(module.Config))
        return
    run_config = config.build(module.Config, tree)
    if arguments.print:
        print(config.to_yaml(run_config), end="")
        return
    module.run(run_config)


def usage() -> str:
    """The module's own text and every key of every kind of experiment."""
    parts = [
        (__doc__ or "").strip(),
        f"Default CONFIG: {DEFAULT}",
        "Flags: --help, --print (show the resolved config)",
    ]
    for name in EXPERIMENTS:
        parts.append(f"experiment: {name}\n{config.help_text(experiment(name).Config)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(cli.run(main))
