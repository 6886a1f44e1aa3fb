"""The rank that each launcher sets."""

from pathlib import Path

import pytest

from src import train
from src.core.errors import UserError
from src.core.launch import check_world, global_rank, is_first_rank

LAUNCH_VARIABLES = (
    "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE", "SLURM_PROCID", "SLURM_JOB_NAME",
)  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"}, 3),  # torchrun
        ({"LOCAL_RANK": "1"}, 1),  # Lightning's launcher on the first node
        ({"NODE_RANK": "1"}, 2),  # the process that a person starts on the second node
        ({"NODE_RANK": "1", "LOCAL_RANK": "1"}, 3),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_JOB_NAME": "train"}, 2),  # srun
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash", "LOCAL_RANK": "1"}, 1),
        (
            {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "LOCAL_RANK": "1"},
            1,
        ),  # one task, Lightning starts the rest
        ({"SLURM_NTASKS": "4", "LOCAL_RANK": "1"}, 1),  # an allocation's variables, outside of srun
    ],
)
def test_rank(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], rank: int) -> None:
    launched(monkeypatch, variables)
    assert global_rank(devices_per_node=2) == rank
    assert is_first_rank() == (rank == 0)


def launched(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in LAUNCH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def torchrun(world: int, local: int, rank: int = 0) -> dict[str, str]:
    sizes = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(local)}
    return sizes | {"RANK": str(rank), "LOCAL_RANK": str(rank % local), "GROUP_RANK": str(rank // local)}


def srun(tasks: int, rank: int = 0, **more: str) -> dict[str, str]:
    return {"SLURM_NTASKS": str(tasks), "SLURM_PROCID": str(rank), "SLURM_JOB_NAME": "train"} | more


@pytest.mark.parametrize(
    ("variables", "devices", "nodes"),
    [
        ({}, 8, 4),  # Lightning starts the processes
        ({"WORLD_SIZE": "8", "LOCAL_RANK": "3", "NODE_RANK": "0"}, 8, 1),  # one that Lightning has started
        (torchrun(16, 8), 8, 2),
        (srun(16, SLURM_NTASKS_PER_NODE="8"), 8, 2),
        ({"SLURM_NTASKS": "16", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, 1, 1),  # an interactive shell
    ],
)
def test_the_world_of_the_config(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], devices: int, nodes: int
) -> None:
    launched(monkeypatch, variables)
    check_world(devices, nodes)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            torchrun(8, 8),
            "torchrun started 8 processes.*use train.parallel.num_devices=8 train.parallel.num_nodes=1",
        ),
        (torchrun(16, 8), "use train.parallel.num_devices=8 train.parallel.num_nodes=2"),
        (torchrun(4, 2), "use train.parallel.num_devices=2 train.parallel.num_nodes=2"),
        (srun(8), "srun started 8 tasks; use --ntasks-per-node=1 --nodes=1"),
    ],
)
def test_another_world_is_refused_in_one_line_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    arguments = ["configs/debug/tae.yaml", f"run_dir={tmp_path / 'run'}"]
    launched(monkeypatch, variables)
    with pytest.raises(UserError, match=words) as error:
        train.main(arguments)
    assert "\n" not in str(error.value)
    launched(
        monkeypatch, variables | {"RANK": "1"} if "RANK" in variables else variables | {"SLURM_PROCID": "1"}
    )
    with pytest.raises(SystemExit):  # the other processes say nothing
        train.main(arguments)
    assert not (tmp_path / "run").exists()
