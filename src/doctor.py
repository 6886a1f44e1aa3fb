"""Check the machine, and a run before it starts: `python -m src.doctor [CONFIG.yaml ...] [key=value ...]`.

Packages, codecs, GPUs and disk; with a CONFIG also its launcher, paths, data sets and memory. Takes a few
seconds; every finding says what to do. Exit code 1 if something would stop the run.

    python -m src.doctor
    python -m src.doctor configs/video/tiny_t2i.yaml
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.core import cli, config
from src.core.errors import UserError
from src.planning import findings
from src.planning.findings import Finding
from src.registry import find_experiment


class Unhealthy(UserError):
    """Something was found that would stop the run."""

    exit_code = 1


def main(argv: list[str]) -> None:
    """Parse the command line, check and print.

    Raises:
        Unhealthy: there are errors; they are printed before.
    """
    arguments = config.parse_arguments(argv)
    if arguments.help:
        print((__doc__ or "").strip())
        return
    stage, start, errors = None, time.perf_counter(), 0
    problem = None
    if arguments.configs:
        try:
            experiment = find_experiment(config.read_kind(arguments.configs, arguments.overrides))
            tree = config.read(arguments.configs, arguments.overrides, experiment.config)
            stage = config.build(experiment.config, tree)
        except UserError as error:
            problem = Finding("error", f"config: {error}", "python -m src.train --help shows all keys")
    if arguments.print:
        return
    for finding in check(stage, problem):
        print(finding, flush=True)
        errors += finding.level == "error"
    print(f"{time.perf_counter() - start:.1f} s", flush=True)
    if errors:
        raise Unhealthy(f"{errors} finding(s) would stop a run")


def check(stage: Any, problem: Finding | None = None) -> Iterator[Finding]:
    """Yield the findings about this machine, and about a run where its config is given.

    Args:
        problem: why the config could not be read.
    """
    yield from findings.check_packages()
    yield from findings.check_codecs()
    if problem is not None:
        yield problem
    if stage is None or not hasattr(stage, "train"):
        yield from findings.check_gpus()
        yield from findings.check_disk(Path(getattr(stage, "run_dir", "runs")))
        return
    # Imported where it is needed: torch takes seconds.
    from src.planning import run_findings

    parallel = stage.train.parallel
    yield from findings.check_gpus(parallel.accelerator, parallel.num_devices, stage.train.precision)
    try:
        needed = run_findings.checkpoint_gb(stage)
    except UserError as error:
        yield Finding("error", str(error))
        needed = findings.MIN_FREE_GB
    yield from findings.check_disk(Path(stage.run_dir), needed, stage.data.num_workers)
    yield from findings.check_launch(stage)
    yield from run_findings.check_paths(stage)
    yield from run_findings.check_data(stage)
    yield from _check_memory(stage)


def _check_memory(stage: Any) -> Iterator[Finding]:
    import torch

    from src.planning import run_findings

    if torch.cuda.is_available() and hasattr(stage, "transformer"):
        available = torch.cuda.get_device_properties(0).total_memory / findings.GB
        yield from run_findings.check_memory(stage, available)


if __name__ == "__main__":
    sys.exit(cli.run(main))
