"""Rank of this process among all processes of a run, as its launcher set it; needs no torch."""

import os


def global_rank(devices_per_node: int = 1) -> int:
    """Return this process's rank over all nodes; 0 in a single process.

    Reads, in this order, `RANK` (torchrun), `SLURM_PROCID` (a task of srun), and `NODE_RANK` with
    `LOCAL_RANK` (Lightning's own launcher, which starts all but the first process of each node).

    Args:
        devices_per_node: processes on each node; used with `NODE_RANK` only.
    """
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    if _is_srun_task():
        return int(os.environ["SLURM_PROCID"])
    node = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
    return node * devices_per_node + int(os.environ.get("LOCAL_RANK", "0"))


def is_first_rank() -> bool:
    """Return whether this process is rank 0, the one that writes files and prints."""
    return global_rank() == 0


def _is_srun_task() -> bool:
    """Return whether SLURM started this process as one of several tasks.

    Variables of an allocation are also set in its interactive shell, where Lightning starts the processes
    itself; it goes by the same job names.
    """
    several = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    return several and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
