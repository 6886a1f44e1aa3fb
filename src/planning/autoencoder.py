"""Plan of training a TAE or an audio codec: memory and time by number of copies and shards.

Activations and FLOPs come from a step without values (`src.planning.fake_step`), at one and two samples, from
which those of any number follow; states from the number of parameters. Convolutions reach a smaller fraction
of a GPU's peak than a transformer's products; CONVOLUTION is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

from src.core.errors import UserError
from src.inference.run_defaults import stream_buckets
from src.planning.fake_step import AutoencoderRunConfig, FakeStep, fake_step
from src.planning.hardware import Cluster
from src.planning.mesh import Mesh, RankLoad, divisors
from src.runs.config import CodecRunConfig
from src.streaming.config import StreamConfig
from src.streaming.rank_slices import largest_slice

GB = 1e9
CONVOLUTION = 0.5  # of the efficiency of matrix products


@dataclass(frozen=True)
class StreamWork:
    """The batches of one stream, of one size."""

    stream: str
    size: tuple[int, ...]
    fraction: float  # of the steps
    num_samples: int
    one: FakeStep
    two: FakeStep

    def bytes_of(self, num_samples: int) -> float:
        """Return the peak of activations and gradients of that many samples."""
        each = self.two.peak_bytes - self.one.peak_bytes
        return self.one.peak_bytes + each * (num_samples - 1)

    def flops_of(self, num_samples: int) -> float:
        return self.one.flops + (self.two.flops - self.one.flops) * (num_samples - 1)


@dataclass(frozen=True)
class AutoencoderPlan:
    """One mesh with the fewest micro-batches that fit."""

    mesh: Mesh
    num_micro_batches: int
    bytes: float
    seconds: float
    days: float
    cost: float


def stream_works(stage: AutoencoderRunConfig) -> list[StreamWork]:
    """Return the batches of all streams.

    Raises:
        UserError: the sizes of a stream are not known.
    """
    total = sum(stream.weight for stream in stage.data.streams.values())
    works = []
    for name, stream in stage.data.streams.items():
        sizes = list(_sizes(stage, name, stream))
        for size in sizes:
            fraction = stream.weight / total / len(sizes)
            one, two = (fake_step(stage, size, count) for count in (1, 2))
            works.append(StreamWork(name, size, fraction, stream.batch_size, one, two))
    return works


def _sizes(stage: AutoencoderRunConfig, name: str, stream: StreamConfig) -> Iterator[tuple[int, ...]]:
    if isinstance(stage, CodecRunConfig):
        yield from ((length,) for length in stream.lengths)
        if stream.lengths:
            return
    else:
        buckets = stream_buckets(stream)
        lengths = (1,) if stream.media == "images" else stream.lengths
        lengths = lengths or tuple(sorted({bucket.num_frames for bucket in buckets}))
        squares = {(stream.crop, stream.crop)} if stream.crop else {(b.height, b.width) for b in buckets}
        if lengths and squares:
            yield from ((length, *square) for length in lengths for square in sorted(squares))
            return
    raise UserError(
        f"data.streams.{name}: the sizes of its clips are not known; prepare the data set, or give "
        f"{'lengths' if isinstance(stage, CodecRunConfig) else 'crop and lengths'}"
    )


def state_bytes(stage: AutoencoderRunConfig, mesh: Mesh, step: FakeStep) -> float:
    """Return the bytes of weights, moments and EMA; gradients are part of a step's peak."""
    ema = 4.0 if stage.train.ema_decay else 0.0
    return ((12.0 + ema) * step.params + 12.0 * step.discriminator_params) / mesh.num_weight_shards


def plan_autoencoder(stage: AutoencoderRunConfig, cluster: Cluster) -> list[AutoencoderPlan]:
    """Return the plans of all meshes of copies and shards that fit, the fastest first.

    Raises:
        UserError: none fits; says how much is missing.
    """
    works, plans, refused = stream_works(stage), [], []
    for shard in divisors(cluster.num_gpus):
        mesh = Mesh(cluster.num_gpus // shard, shard, 1, 1)
        if min(work.num_samples for work in works) < mesh.num_data_ranks:
            refused.append(f"{mesh}: a batch leaves processes without a sample")
            continue
        parts = stage.train.num_micro_batches
        largest = max(largest_slice(work.num_samples, mesh.num_data_ranks) for work in works)
        while (needed := _peak(stage, works, mesh, parts)) > cluster.usable_bytes and parts < largest:
            parts *= 2
        if needed > cluster.usable_bytes:
            refused.append(f"{mesh}: {needed / GB:.0f} GB with one sample at a time")
        else:
            plans.append(_plan(stage, works, mesh, cluster, parts, needed))
    if not plans:
        where = f"{stage.name} on {cluster.num_gpus} {cluster.name}"
        raise UserError(
            f"{where}: no mesh fits {cluster.usable_bytes / GB:.0f} GB ({refused[-1]}); a smaller crop, "
            "shorter lengths, model.checkpoint=true or larger GPUs"
        )
    return sorted(plans, key=lambda plan: plan.seconds)


def _peak(stage: AutoencoderRunConfig, works: list[StreamWork], mesh: Mesh, parts: int) -> float:
    gathered = 0.0
    if mesh.num_weight_shards > 1:  # the largest group at a time; an estimate of a fifth of the weights
        gathered = 0.2 * 4.0 * works[0].one.params
    steps = [
        work.bytes_of(RankLoad.of(work.num_samples, mesh, parts).samples)
        + state_bytes(stage, mesh, work.one)
        + gathered
        for work in works
    ]
    return max(steps)


def _plan(
    stage: AutoencoderRunConfig,
    works: list[StreamWork],
    mesh: Mesh,
    cluster: Cluster,
    parts: int,
    needed: float,
) -> AutoencoderPlan:
    gpu, one = cluster.gpu, works[0].one
    peak = gpu.peak_tflops if stage.train.precision == "bf16" else gpu.fp32_tflops
    rate = peak * 1e12 * gpu.matmul_efficiency * CONVOLUTION
    seconds = sum(
        work.fraction * work.flops_of(RankLoad.of(work.num_samples, mesh, parts).all_samples) / rate
        for work in works
    )
    params = one.params + one.discriminator_params
    seconds += 36.0 * params / mesh.num_weight_shards / (gpu.memory_gb_per_s * 1e9)
    if mesh.num_gpus > 1:  # gradients, and gathered weights where they are sharded; half of it hidden
        sent = (8.0 if mesh.num_weight_shards == 1 else 12.0) * params
        seconds += 0.5 * sent / cluster.link_bytes_per_s(mesh.num_gpus, 1)
    days = seconds * stage.train.max_steps / 86400
    cost = days * 24 * cluster.num_gpus * gpu.hour_price
    return AutoencoderPlan(mesh, parts, needed, seconds, days, cost)


def plan_table(
    stage: AutoencoderRunConfig, plans: list[AutoencoderPlan], cluster: Cluster, rows: int
) -> Table:
    """Return a table of meshes, the fastest first."""
    title = f"{stage.name} on {cluster.num_gpus} {cluster.name}: {stage.train.max_steps:,} steps"
    table = Table("replicate x shard", "micro", "GB", "s/step", "days", "cost $", title=title)
    for plan in plans[: rows or None]:
        table.add_row(
            f"{plan.mesh.dp_replicate} x {plan.mesh.dp_shard}",
            str(plan.num_micro_batches),
            f"{plan.bytes / GB:.1f}",
            f"{plan.seconds:.3g}",
            f"{plan.days:.3g}",
            f"{plan.cost:,.0f}",
        )
    return table
