"""Train a stage or run a recipe: `python -m src.train [CONFIG.yaml ...] [key=value ...]`.

Without CONFIG it runs the tiny recipe. Several files are merged from left to right. A finished stage
is skipped, an interrupted one resumes from its last checkpoint.

    python -m src.train                                     the tiny recipe, from nothing
    python -m src.train configs/video/tiny_t2i.yaml train.max_steps=100
    python -m src.train configs/video/tiny_t2i.yaml --print     the resolved config
    python -m src.train configs/video/tiny_t2i.yaml --help      its keys, with this config's values
    python -m src.train --help video train.                     keys of one kind that begin with "train."
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.core import cli, config
from src.core.config_help import help_text
from src.core.launch import check_world
from src.registry import EXPERIMENTS, find_experiment

DEFAULT = Path("configs/recipes/tiny.yaml")


def main(argv: list[str]) -> None:
    """Parse the command line and run the experiment that the config names."""
    arguments = config.parse_arguments(argv)
    if arguments.help and not arguments.configs:
        print(usage(arguments.topics))
        return
    files = arguments.configs or (DEFAULT,)
    experiment = find_experiment(config.read_kind(files, arguments.overrides))
    tree: DictConfig = config.read(files, arguments.overrides, experiment.config)
    if arguments.help:
        print(help_text(experiment.config, config.defaults(experiment.config, tree), arguments.topics))
        return
    run_config = config.build(experiment.config, tree)
    if arguments.print:
        print(config.to_yaml(run_config), end="")
        return
    parallel = getattr(getattr(run_config, "train", None), "parallel", None)
    if parallel is not None:  # before anything is written: the processes may not be those of one run
        check_world(parallel.num_devices, parallel.num_nodes)
    experiment.run(run_config)


def usage(topics: tuple[str, ...]) -> str:
    """Return the module's own text and the kinds of run, or the keys of the kinds that `topics` name."""
    kinds = [topic for topic in topics if topic in EXPERIMENTS]
    if kinds:
        prefixes = [topic for topic in topics if topic not in EXPERIMENTS]
        return "\n\n".join(
            f"experiment: {kind}\n{help_text(EXPERIMENTS[kind].config, None, prefixes)}" for kind in kinds
        )
    rows = "\n".join(f"  {name:<20} {each.about}" for name, each in EXPERIMENTS.items())
    return (
        f"{(__doc__ or '').strip()}\n\nDefault CONFIG: {DEFAULT}\n\n"
        f"Kinds of run (`experiment:` in CONFIG; their keys: --help KIND):\n{rows}"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
