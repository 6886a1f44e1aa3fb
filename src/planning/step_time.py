"""Time of a training step by kind of work; needs no torch.

Products and attention take their FLOPs at the efficiencies of the GPU, everything else the bytes it moves.
Exchanges take the bytes that a GPU sends over the link that its group needs. FSDP2's exchanges overlap with
computation, those of tensor and context parallelism do not.
"""

from dataclasses import dataclass, fields

from src.planning.hardware import Cluster
from src.planning.memory import local_params
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload

OVERLAP = 0.9  # of the computation's time can hide exchanges of FSDP2
KERNELS = 60  # launches of a block's forward pass
LAUNCH_S = 5e-6  # between kernels that are too short to queue behind each other


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step; those of exchanges are what computation does not hide."""

    products: float = 0.0
    attention: float = 0.0
    memory_bound: float = 0.0  # norms, gates, residual stream
    tensor_parallel: float = 0.0
    context_parallel: float = 0.0
    fsdp: float = 0.0
    optimizer: float = 0.0

    @property
    def total(self) -> float:
        return sum(getattr(self, each.name) for each in fields(self))

    def scaled(self, factor: float) -> "StepTime":
        return StepTime(**{each.name: getattr(self, each.name) * factor for each in fields(self)})

    def __add__(self, other: "StepTime") -> "StepTime":
        return StepTime(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def step_time(work: Workload, mesh: Mesh, cluster: Cluster, load: RankLoad, tokens_each: int) -> StepTime:
    """Return the time of a step in which every process has the largest part of the batch."""
    passes = _passes(work)
    compute = _compute(work, mesh, cluster, load, tokens_each, passes)
    tensor, context = _token_exchanges(work, mesh, cluster, load, tokens_each, passes)
    busy = compute.total * OVERLAP
    fsdp = max(0.0, load.num_micro_batches * _weight_exchanges(work, mesh, cluster) - busy)
    rate = cluster.gpu.memory_gb_per_s * 1e9
    # weight, gradient, two moments and EMA are read, all but the gradient written
    optimizer = 36.0 * local_params(work, mesh) / rate
    return compute + StepTime(
        tensor_parallel=tensor,
        context_parallel=context,
        fsdp=fsdp + _copies_exchange(work, mesh, cluster),
        optimizer=optimizer,
    )


def _passes(work: Workload) -> float:
    """Return forward passes that a step costs: backward counts as two, recomputed blocks again as one."""
    return 3.0 + work.transformer.num_checkpointed_blocks / work.transformer.depth


def _compute(
    work: Workload, mesh: Mesh, cluster: Cluster, load: RankLoad, tokens_each: int, passes: float
) -> StepTime:
    c, gpu = work.transformer, cluster.gpu
    peak = (gpu.peak_tflops if work.element_bytes == 2 else gpu.fp32_tflops) * 1e12
    score_flops = 4 * tokens_each * (tokens_each + work.text_tokens) * c.hidden_size
    all_flops = c.depth * work.block_flops(tokens_each)
    attention_flops = c.depth * score_flops
    per_gpu = load.all_samples / mesh.num_peers * passes
    products = (all_flops - attention_flops) * per_gpu / (peak * gpu.matmul_efficiency)
    attention = attention_flops * per_gpu / (peak * gpu.attention_efficiency)
    # bytes of a token's norms, residual additions and gates: fp32 stream, results of products in their dtype
    e, tensor = work.element_bytes, mesh.tensor_parallel
    stream = (3 * (4 + e) + 3 * (8 + e) + 8) * c.hidden_size / mesh.num_peers
    moved = (stream + 3 * e * c.ffn_dim / tensor / mesh.context_parallel) * tokens_each * load.all_samples
    bound = c.depth * moved * passes / (gpu.memory_gb_per_s * 1e9)
    launches = c.depth * KERNELS * LAUNCH_S * passes * load.num_micro_batches
    return StepTime(products=products, attention=attention, memory_bound=max(bound, launches))


def _token_exchanges(
    work: Workload, mesh: Mesh, cluster: Cluster, load: RankLoad, tokens_each: int, passes: float
) -> tuple[float, float]:
    """Return the times of tensor-parallel and of context-parallel exchanges."""
    c, e = work.transformer, work.element_bytes
    tensor, context = mesh.tensor_parallel, mesh.context_parallel
    queries = load.all_samples * tokens_each / context * c.hidden_size
    # three branches: tokens are gathered in float32 before and summed in the products' dtype after each; the
    # backward pass does the opposite once, a recomputed forward pass gathers and sums again
    rounds = passes - 1.0
    sent = rounds * c.depth * 3 * (4 + e) * queries * (tensor - 1) / tensor
    tensor_s = sent / cluster.link_bytes_per_s(tensor, 1) if tensor > 1 else 0.0
    keys_values = load.all_samples * tokens_each * 2 * c.hidden_size / tensor
    sent = rounds * c.depth * e * keys_values * (context - 1) / context
    context_s = sent / cluster.link_bytes_per_s(context, tensor) if context > 1 else 0.0
    return tensor_s, context_s


def _weight_exchanges(work: Workload, mesh: Mesh, cluster: Cluster) -> float:
    """Return the time of FSDP2's exchanges for one micro-batch: gathered twice, reduced once in float32."""
    shards = mesh.num_weight_shards
    if shards == 1:
        return 0.0
    blocks = work.block_params / mesh.tensor_parallel + work.table_params
    root = work.root_params + work.text_params
    sent = (2 * work.element_bytes + 4) * blocks + 12 * root
    return sent * (shards - 1) / shards / cluster.link_bytes_per_s(shards, mesh.tensor_parallel)


def _copies_exchange(work: Workload, mesh: Mesh, cluster: Cluster) -> float:
    copies = mesh.dp_replicate
    if copies == 1:
        return 0.0
    stride = mesh.num_weight_shards * mesh.tensor_parallel
    sent = 2 * 4.0 * local_params(work, mesh) * (copies - 1) / copies
    return sent / cluster.link_bytes_per_s(copies, stride)
