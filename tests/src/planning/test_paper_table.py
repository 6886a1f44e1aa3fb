"""The table of the paper's stages in docs/cluster.md: its own meshes next to the planner's.

python -m tests.src.planning.test_paper_table    # write it again
"""

import re
from pathlib import Path

from src.core.markdown import markdown_table
from src.planning.hardware import GPUS, Cluster
from src.planning.mesh import Mesh
from src.planning.search import Plan, best_plan, plan_mesh
from tests.src.planning.test_search import work_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cluster.md"
BLOCK = re.compile(r"(?<=<!-- paper's stages -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)
# GPUs and, where it is known, tensor and context parallelism (Movie Gen, sec. 3.1.5 and table 3)
STAGES: dict[str, tuple[int, tuple[int, int] | None]] = {
    "t2i_256": (1536, (1, 1)),
    "joint_256": (3072, (4, 1)),
    "joint_256_large": (6144, (4, 1)),
    "joint_768": (6144, (4, 2)),
    "sft": (512, None),
    "audio": (384, None),
    "audio_finetune": (64, None),
}


def cells(plan: Plan) -> list[str]:
    time = plan.time
    return [
        str(plan.mesh), f"{plan.memory.total / 1e9:.0f}", f"{time.total:.2f}", f"{plan.mfu:.0%}",
        f"{plan.days:.1f}",
    ]  # fmt: skip


def table() -> str:
    rows = []
    for name, (gpus, cuts) in STAGES.items():
        cluster = Cluster("h100", GPUS["h100"], gpus)
        best = best_plan(work_of(name), cluster)
        own = ["", "", "", "", ""]
        if cuts is not None:
            tensor, context = cuts
            mesh = Mesh(1, gpus // tensor // context, context, tensor)
            plan = plan_mesh(work_of(name), mesh, cluster)
            assert isinstance(plan, Plan), plan
            own = cells(plan)
        rows.append([name, f"{gpus:,}", *own, *cells(best), f"{best.cost / 1e6:.2f}"])
    five = ["mesh", "GB", "s/step", "MFU", "days"]
    heads = [
        "stage",
        "H100",
        *(f"paper: {head}" for head in five),
        *(f"best: {head}" for head in five),
        "cost, M$",
    ]
    return markdown_table(heads, rows)


def test_the_table_is_up_to_date() -> None:
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found[1] == table(), "python -m tests.src.planning.test_paper_table"


if __name__ == "__main__":
    new = table()
    PAGE.write_text(BLOCK.sub(lambda _: new, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(new)
