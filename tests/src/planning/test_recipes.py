"""Plans in the heads of the recipes for single GPUs and one node.

python -m tests.src.planning.test_recipes    # write them again
"""

import re
from functools import cache
from pathlib import Path

import pytest

from src.core import config
from src.planning.hardware import GPUS, Cluster
from src.planning.mesh import Mesh
from src.planning.search import Plan, plan_mesh
from src.planning.workload import Workload, workload
from src.runs.config import VideoRunConfig

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
RECIPES = {  # GPUs, their kind, parameters in millions
    "gpu_16gb": (1, "t4", 50),
    "gpu_24gb": (1, "rtx3090", 100),
    "gpu_80gb": (1, "a100_80gb", 400),
    "node_8x80gb": (8, "a100_80gb", 1000),
}
PLAN = re.compile(r"^# Time: not run; planned.*$", re.MULTILINE)


@cache
def work_of(name: str) -> Workload:
    return workload(config.load(VideoRunConfig, CONFIGS / "video" / f"{name}.yaml"))


def plan_of(name: str) -> Plan:
    gpus, kind, _ = RECIPES[name]
    found = plan_mesh(work_of(name), Mesh(1, gpus, 1, 1), Cluster(kind, GPUS[kind], gpus))
    assert isinstance(found, Plan), found
    return found


def planned_line(name: str) -> str:
    """Return the line of a head."""
    gpus, kind, _ = RECIPES[name]
    plan = plan_of(name)
    return (
        f"# Time: not run; planned {plan.days:.1f} days at {plan.time.total:.2f} s a step, "
        f"{plan.memory.total / 1e9:.1f} GB (src.plan for {gpus} {kind})"
    )


def heads(name: str) -> list[Path]:
    return [CONFIGS / folder / f"{name}.yaml" for folder in ("recipes", "video")]


@pytest.mark.parametrize("name", RECIPES)
def test_the_plan_in_the_head_is_that_of_the_planner(name: str) -> None:
    plan, millions = plan_of(name), RECIPES[name][2]
    assert work_of(name).num_params == pytest.approx(millions * 1e6, rel=0.1)
    assert plan.num_micro_batches == work_of(name).train.num_micro_batches  # fits as it is
    for path in heads(name):
        assert planned_line(name) in path.read_text(encoding="utf-8").splitlines(), path


if __name__ == "__main__":
    for recipe in RECIPES:
        for head in heads(recipe):
            head.write_text(
                PLAN.sub(planned_line(recipe), head.read_text(encoding="utf-8")), encoding="utf-8"
            )
        print(planned_line(recipe), f"{work_of(recipe).num_params / 1e6:.0f} M")
