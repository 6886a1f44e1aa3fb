"""Tables of plans."""

from dataclasses import fields

from rich.table import Table

from src.planning.memory import Memory
from src.planning.search import Plan, Refusal
from src.planning.step_time import StepTime

GB = 1e9
PARTS = tuple(each.name for each in fields(Memory))
KINDS = tuple(each.name for each in fields(StepTime))


def mesh_table(name: str, plans: list[Plan], refusals: list[Refusal], rows: int) -> Table:
    """Return a table of meshes, the fastest first; its caption counts those that do not fit."""
    cluster = plans[0].cluster
    heads = ("replicate x shard x cp x tp", "micro", "GB", "s/step", "tokens/s", "MFU", "days", "cost $")
    title = f"{name} on {cluster.num_gpus} {cluster.name}: {plans[0].max_steps:,} steps"
    table = Table(*heads, title=title)
    shown = best_by_peers(plans)[:rows] if rows else plans
    for plan in shown:
        table.add_row(*plan_cells(plan))
    hidden = len(plans) - len(shown)
    too_large = sum(bool(each.bytes) for each in refusals)
    table.caption = (
        f"the best of each cp x tp; rows=0 shows {hidden} more; {too_large} do not fit "
        f"{cluster.usable_bytes / GB:.0f} GB, {len(refusals) - too_large} leave processes without a sample"
    )
    return table


def best_by_peers(plans: list[Plan]) -> list[Plan]:
    """Return the fastest plan for each context_parallel x tensor_parallel."""
    found: dict[tuple[int, int], Plan] = {}
    for plan in plans:
        found.setdefault((plan.mesh.context_parallel, plan.mesh.tensor_parallel), plan)
    return list(found.values())


def plan_cells(plan: Plan) -> tuple[str, ...]:
    return (
        str(plan.mesh),
        str(plan.num_micro_batches),
        f"{plan.memory.total / GB:.1f}",
        f"{plan.time.total:.3g}",
        f"{plan.tokens / plan.time.total:,.0f}",
        f"{plan.mfu:.0%}",
        f"{plan.days:.3g}",
        f"{plan.cost:,.0f}",
    )


def part_table(plan: Plan) -> Table:
    """Return the memory and the time of one plan by part."""
    table = Table("memory", "GB", "time", "s", title=f"{plan.mesh}, largest bucket {plan.bucket}")
    for number in range(max(len(PARTS), len(KINDS))):
        row = ["", "", "", ""]
        if number < len(PARTS):
            row[:2] = PARTS[number], f"{getattr(plan.memory, PARTS[number]) / GB:.2f}"
        if number < len(KINDS):
            row[2:] = KINDS[number].replace("_", " "), f"{getattr(plan.time, KINDS[number]):.3g}"
        table.add_row(*row)
    table.add_row("total", f"{plan.memory.total / GB:.2f}", "total", f"{plan.time.total:.3g}")
    return table


def reason(plans: list[Plan], fewer: Plan | None = None) -> str:
    """Return why the first plan is the best: what the best of other kinds of meshes costs more.

    Args:
        fewer: the same with fewer checkpointed blocks.
    """
    best = plans[0]
    lines = [f"best: {best.mesh}, {best.mesh.settings()} train.num_micro_batches={best.num_micro_batches}"]
    others = {
        "without tensor parallelism": [p for p in plans if p.mesh.tensor_parallel == 1],
        "without context parallelism": [p for p in plans if p.mesh.context_parallel == 1],
        "without copies": [p for p in plans if p.mesh.dp_replicate == 1],
        "tensor parallel": [p for p in plans if p.mesh.tensor_parallel > 1],
        "context parallel": [p for p in plans if p.mesh.context_parallel > 1],
    }
    for name, found in others.items():
        if best in found:
            continue
        if not found:
            lines.append(f"  {name}: none fits")
            continue
        other = found[0]
        more = {k: getattr(other.time, k) - getattr(best.time, k) for k in KINDS}
        kind = max(more, key=lambda k: more[k]).replace("_", " ")
        factor = other.time.total / best.time.total
        lines.append(f"  {name}: {other.mesh} takes {factor:.2f} times as long, most of it {kind}")
    if fewer is not None:
        lines.append(
            f"  transformer.num_checkpointed_blocks={fewer.num_checkpointed} also fits there: "
            f"{fewer.memory.total / GB:.1f} GB, {fewer.time.total:.3g} s"
        )
    return "\n".join(lines)
