"""The rank that each launcher sets."""

import pytest

from src.core.launch import global_rank, is_first_rank

LAUNCH_VARIABLES = (
    "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NAME",
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
    for name in LAUNCH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert global_rank(devices_per_node=2) == rank
    assert is_first_rank() == (rank == 0)
