"""Plan a stage before it runs: `python -m src.plan CONFIG.yaml [...] gpus=256 gpu=h100 [key=value ...]`.

Prints for every mesh that fits its peak memory, time of a step, tokens per second, MFU, days and cost; for
the best one memory and time by part, and why it is the best. A stage that fits nowhere is refused with the
nearest change that fits. Autoencoders (tae, codec) are planned over copies and shards. Other keys than those
below are the run's, such as train.num_micro_batches=4.

    python -m src.plan configs/paper/joint_768.yaml gpus=6144 gpu=h100
    python -m src.plan configs/paper/tae.yaml gpus=64
    python -m src.plan configs/paper/t2i_256.yaml configs/paper/video_1b.yaml gpus=8 gpu=a100_80gb
"""

import sys
from dataclasses import fields, replace
from typing import Any

from rich.console import Console

from src.core import cli, config
from src.core.config_help import help_text
from src.core.errors import UserError
from src.planning.config import PlanConfig
from src.planning.hardware import GPUS, Cluster
from src.registry import find_experiment

PLANNED = ("video", "audio")
AUTOENCODERS = ("tae", "codec")  # with copies and shards only


def main(argv: list[str]) -> None:
    """Parse the command line, plan and print."""
    arguments = config.parse_arguments(argv)
    if arguments.help or not arguments.configs:
        print((__doc__ or "").strip() + "\n\n" + help_text(PlanConfig, None, arguments.topics))
        return
    names = {each.name for each in fields(PlanConfig)}
    own = tuple(text for text in arguments.overrides if text.partition("=")[0] in names)
    rest = tuple(text for text in arguments.overrides if text not in own)
    settings = config.load(PlanConfig, None, own)
    experiment = find_experiment(config.read_kind(arguments.configs, rest))
    kind = config.read_kind(arguments.configs, rest)["experiment"]
    if kind not in PLANNED + AUTOENCODERS:
        raise UserError(f"experiment: plans are of kinds {', '.join(PLANNED + AUTOENCODERS)}, got {kind}")
    stage = config.build(experiment.config, config.read(arguments.configs, rest, experiment.config))
    if arguments.print:
        print(config.to_yaml(settings) + config.to_yaml(stage), end="")
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    if kind in AUTOENCODERS:
        print_autoencoder(stage, cluster(settings), settings.rows)
        return
    from src.planning import report
    from src.planning.search import best_plan, fewest_checkpointed, plan_all
    from src.planning.workload import workload

    work, where = workload(stage), cluster(settings)
    best = best_plan(work, where)
    plans, refusals = plan_all(work, where)
    console = Console(highlight=False)
    console.print(report.mesh_table(work.name, plans, refusals, settings.rows))
    console.print(report.part_table(best))
    console.print(report.reason(plans, fewest_checkpointed(work, best)), soft_wrap=True)


def print_autoencoder(stage: Any, where: Cluster, rows: int) -> None:
    """Print the plan of a TAE or codec."""
    from src.planning.autoencoder import plan_autoencoder, plan_table
    from src.planning.fake_step import has_perceptual_loss

    console = Console(highlight=False)
    plans = plan_autoencoder(stage, where)
    console.print(plan_table(stage, plans, where, rows))
    best = plans[0]
    console.print(
        f"best: train.parallel.dp_replicate={best.mesh.dp_replicate} "
        f"train.num_micro_batches={best.num_micro_batches}",
        soft_wrap=True,
    )
    if not has_perceptual_loss(stage):
        console.print("without the perceptual loss: features.weights is not on this machine", soft_wrap=True)


def cluster(settings: PlanConfig) -> Cluster:
    """Return the GPUs of the settings, with their own efficiencies and price where they give any."""
    given = {
        name: getattr(settings, name)
        for name in ("matmul_efficiency", "attention_efficiency", "hour_price")
        if getattr(settings, name)
    }
    return Cluster(settings.gpu, replace(GPUS[settings.gpu], **given), settings.gpus)


if __name__ == "__main__":
    sys.exit(cli.run(main))
