"""Plan a stage on every mesh of a cluster, and say what would fit where nothing does; needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from src.core.errors import UserError
from src.planning.hardware import GPUS, Cluster
from src.planning.memory import Memory, peak_memory
from src.planning.mesh import Mesh, RankLoad, divisors, meshes
from src.planning.step_time import StepTime, step_time
from src.planning.workload import Workload
from src.streaming.rank_slices import largest_slice

LARGEST_CLUSTER = 16384


@dataclass(frozen=True)
class Plan:
    """A stage on one mesh."""

    mesh: Mesh
    cluster: Cluster
    num_micro_batches: int
    memory: Memory  # of the bucket that needs most
    bucket: str  # that one
    time: StepTime  # of a mean step
    tokens: float  # of a mean step, of all GPUs
    flops: float  # of a mean step without recomputation
    max_steps: int
    num_checkpointed: int

    @property
    def mfu(self) -> float:
        return self.flops / (self.time.total * self.cluster.num_gpus * self.cluster.gpu.peak_tflops * 1e12)

    @property
    def days(self) -> float:
        return self.max_steps * self.time.total / 86400

    @property
    def cost(self) -> float:
        return self.days * 24 * self.cluster.num_gpus * self.cluster.gpu.hour_price


@dataclass(frozen=True)
class Refusal:
    """Reason that a stage does not run on a mesh."""

    mesh: Mesh
    reason: str
    bytes: float = 0.0  # that it needs; 0: its batch leaves processes without a sample


def plan_mesh(work: Workload, mesh: Mesh, cluster: Cluster) -> Plan | Refusal:
    """Return the plan with the fewest micro-batches that fit, at least those of the config."""
    smallest = min(work.batches, key=lambda each: each.num_samples)
    if smallest.num_samples < mesh.num_data_ranks:
        return Refusal(
            mesh,
            f"{smallest.cost.bucket}: {smallest.num_samples} samples for {mesh.num_data_ranks} data ranks",
        )
    parts = work.train.num_micro_batches
    largest = max(largest_slice(each.num_samples, mesh.num_data_ranks) for each in work.batches)
    while True:
        memory, bucket = _largest(work, mesh, parts)
        if memory.total <= cluster.usable_bytes:
            return _plan(work, mesh, cluster, parts, memory, bucket)
        if parts >= largest:
            return Refusal(mesh, f"{memory.total / 1e9:.0f} GB for {bucket}", memory.total)
        parts *= 2


def _largest(work: Workload, mesh: Mesh, parts: int) -> tuple[Memory, str]:
    """Return the memory of the bucket that needs most, and its name."""
    sizes: dict[tuple[int, int, bool], tuple[RankLoad, str]] = {}
    for each in work.batches:
        load = RankLoad.of(each.num_samples, mesh, parts)
        key = (load.samples, each.tokens_each, load.num_micro_batches > 1)
        sizes.setdefault(key, (load, each.cost.bucket))
    found = [(peak_memory(work, mesh, load, key[1]), name) for key, (load, name) in sizes.items()]
    return max(found, key=lambda each: each[0].total)


def _plan(work: Workload, mesh: Mesh, cluster: Cluster, parts: int, memory: Memory, bucket: str) -> Plan:
    time, tokens, flops = StepTime(), 0.0, 0.0
    seen: dict[tuple[int, int], StepTime] = {}
    for each in work.batches:
        key = (each.num_samples, each.tokens_each)
        if key not in seen:
            load = RankLoad.of(each.num_samples, mesh, parts)
            seen[key] = step_time(work, mesh, cluster, load, each.tokens_each)
        time = time + seen[key].scaled(each.fraction)
        tokens += each.fraction * each.cost.tokens
        flops += each.fraction * work.flops_without_recomputation(each)
    steps, checkpointed = work.train.max_steps, work.transformer.num_checkpointed_blocks
    return Plan(mesh, cluster, parts, memory, bucket, time, tokens, flops, steps, checkpointed)


def plan_all(work: Workload, cluster: Cluster) -> tuple[list[Plan], list[Refusal]]:
    """Return the plans of all feasible meshes, the fastest first, and the other meshes."""
    found = [
        plan_mesh(work, mesh, cluster)
        for mesh in meshes(cluster.num_gpus, cluster.gpus_per_node, work.transformer)
    ]
    plans = sorted((each for each in found if isinstance(each, Plan)), key=lambda each: each.time.total)
    return plans, [each for each in found if isinstance(each, Refusal)]


def fits_somewhere(work: Workload, cluster: Cluster) -> bool:
    every = meshes(cluster.num_gpus, cluster.gpus_per_node, work.transformer)
    return any(isinstance(plan_mesh(work, mesh, cluster), Plan) for mesh in every)


def fewest_checkpointed(work: Workload, best: Plan) -> Plan | None:
    """Return the plan of the same mesh with as few checkpointed blocks as fit; None if no fewer do."""
    low, high, found = -1, work.transformer.num_checkpointed_blocks, None
    while high - low > 1:  # memory falls with the number of checkpointed blocks
        middle = (low + high) // 2
        other = replace(work, transformer=replace(work.transformer, num_checkpointed_blocks=middle))
        memory, bucket = _largest(other, best.mesh, best.num_micro_batches)
        if memory.total <= best.cluster.usable_bytes:
            high = middle
            found = _plan(other, best.mesh, best.cluster, best.num_micro_batches, memory, bucket)
        else:
            low = middle
    return found


def best_plan(work: Workload, cluster: Cluster) -> Plan:
    """Return the fastest plan.

    Raises:
        UserError: nothing fits; names the mesh that needs least, and the nearest change that would fit.
    """
    plans, refusals = plan_all(work, cluster)
    if plans:
        return plans[0]
    where = f"{work.name} on {cluster.num_gpus} {cluster.name}"
    raise UserError(f"{where}: {_why(refusals, cluster)}; {nearest(work, cluster)}")


def _why(refusals: list[Refusal], cluster: Cluster) -> str:
    too_large = [each for each in refusals if each.bytes]
    if not too_large:
        return f"every mesh leaves processes without a sample ({refusals[0].reason})"
    smallest = min(too_large, key=lambda each: each.bytes)
    return f"no mesh fits {cluster.usable_bytes / 1e9:.0f} GB; {smallest.mesh} needs least, {smallest.reason}"


def nearest(work: Workload, cluster: Cluster) -> str:
    """Return the first change that fits: checkpointing, more or fewer GPUs, a larger batch, larger GPUs."""
    for change, other, where in _changes(work, cluster):
        if fits_somewhere(other, where):
            return f"fits: {change}"
    return "none of checkpointing, another number or kind of GPUs, or a larger batch fits"


def _changes(work: Workload, cluster: Cluster) -> Iterator[tuple[str, Workload, Cluster]]:
    config = work.transformer
    if config.num_checkpointed_blocks < config.depth:
        checkpointed = replace(config, num_checkpointed_blocks=config.depth)
        yield (
            f"transformer.num_checkpointed_blocks={config.depth}",
            replace(work, transformer=checkpointed),
            cluster,
        )
    number = cluster.num_gpus
    counts = [n for n in divisors(number)[:-1][::-1] if n >= number // 64]
    counts += [
        number * factor for factor in (2, 3, 4, 6, 8, 16, 32, 64, 128) if number * factor <= LARGEST_CLUSTER
    ]
    for count in sorted(counts, key=lambda n: max(n / number, number / n)):
        yield f"gpus={count}", work, replace(cluster, num_gpus=count)
    larger = sorted((g.memory_gb, name) for name, g in GPUS.items() if g.memory_gb > cluster.gpu.memory_gb)
    for _, name in larger:
        yield f"gpu={name}", work, replace(cluster, name=name, gpu=GPUS[name])
