"""Rank of this process among all processes of a run, as its launcher set it; needs no torch."""

import os

from src.core.errors import UserError


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


def world_size() -> int:
    """Return the number of processes that torchrun or srun started; 1 for any other start."""
    if _is_torchrun():
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ["SLURM_NTASKS"]) if _is_srun_task() else 1


def local_rank() -> int:
    """Return this process's rank on its node."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    return int(os.environ["SLURM_LOCALID"]) if _is_srun_task() else 0


def is_first_rank() -> bool:
    """Return whether this process is rank 0, the one that writes files and prints."""
    return global_rank() == 0


def check_world(devices_per_node: int, num_nodes: int) -> None:
    """Compare the processes that torchrun or srun started with those that a run expects.

    Otherwise each of them would train the same run by itself, or wait for others forever. Processes of
    Lightning's own launcher pass: it starts as many as the run expects.

    Raises:
        UserError: in the first process: their numbers differ, or the job was not given its tasks by node, as
            Lightning needs it.
        SystemExit: the same in the other processes, so that one line is printed.
    """
    has = f"train.parallel has num_devices={devices_per_node}, num_nodes={num_nodes}"
    message = ""
    if _is_torchrun():
        found = world_size()
        local = int(os.environ.get("LOCAL_WORLD_SIZE", found))
        if (found, local) != (devices_per_node * num_nodes, devices_per_node):
            message = (
                f"{has}, but torchrun started {found} processes, {local} of them on this node; use "
                f"train.parallel.num_devices={local} train.parallel.num_nodes={max(found // local, 1)}"
            )
    elif _is_srun_task():
        tasks = world_size()
        if tasks != devices_per_node * num_nodes or "SLURM_NTASKS_PER_NODE" not in os.environ:
            message = (
                f"{has}, but srun started {tasks} tasks; use --ntasks-per-node={devices_per_node} "
                f"--nodes={num_nodes}"
            )
    if message and is_first_rank():
        raise UserError(message)
    if message:
        raise SystemExit(UserError.exit_code)


def _is_torchrun() -> bool:
    """Return whether torchrun, or another launcher that sets the same variables, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def _is_srun_task() -> bool:
    """Return whether SLURM started this process as one of several tasks.

    Variables of an allocation are also set in its interactive shell, where Lightning starts the processes
    itself; Lightning distinguishes them by the same job names.
    """
    several = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    return several and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
