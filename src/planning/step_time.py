"""Time of a training step by kind of work; needs no torch.

Products and attention take their FLOPs at the efficiencies of the GPU, everything else the bytes it moves.
Exchanges take the bytes that a GPU sends over the link that its group needs. FSDP2's exchanges overlap with
computation, those of tensor and context parallelism do not.
"""

from dataclasses import dataclass, fields

from src.planning.exchanges import sent_bytes
from src.planning.hardware import Cluster
from src.planning.memory import local_params
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload

OVERLAP = 0.9  # of the computation's time can hide exchanges of FSDP2
HOST_BYTES_PER_S = 20e9  # between a GPU and its host
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
    compute = _compute(work, mesh, cluster, load, tokens_each)
    sent, busy = sent_bytes(work, mesh, load, tokens_each), compute.total * OVERLAP
    tensor, context, shards = mesh.tensor_parallel, mesh.context_parallel, mesh.num_weight_shards
    tensor_s = (sent.tensor + sent.complete) / cluster.link_bytes_per_s(tensor, 1)
    context_s = sent.context / cluster.link_bytes_per_s(context, tensor)
    outputs_s = sent.outputs / cluster.link_bytes_per_s(mesh.num_peers, 1)
    fsdp_s = max(0.0, sent.weights / cluster.link_bytes_per_s(shards, tensor) - busy)
    copies_s = sent.copies / cluster.link_bytes_per_s(mesh.dp_replicate, shards * tensor)
    rate = cluster.gpu.memory_gb_per_s * 1e9
    # weight, gradient, two moments and EMA are read, all but the gradient written
    optimizer = 36.0 * local_params(work, mesh) / rate
    if work.train.parallel.offload_optimizer:  # two moments come and go
        optimizer += 16.0 * local_params(work, mesh) / HOST_BYTES_PER_S
    return compute + StepTime(
        tensor_parallel=tensor_s,
        context_parallel=context_s + outputs_s,
        fsdp=fsdp_s + copies_s,
        optimizer=optimizer,
    )


def _compute(work: Workload, mesh: Mesh, cluster: Cluster, load: RankLoad, tokens_each: int) -> StepTime:
    c, gpu = work.transformer, cluster.gpu
    # forward passes that a step costs: backward counts as two, recomputed blocks again as one
    passes = 3.0 + c.num_checkpointed_blocks / c.depth
    kept = c.checkpoints_keep
    peak = (gpu.peak_tflops if work.element_bytes == 2 else gpu.fp32_tflops) * 1e12
    score_flops = 4 * tokens_each * (tokens_each + work.text_tokens) * c.hidden_size
    all_flops = c.depth * work.block_flops(tokens_each)
    attention_flops = c.depth * score_flops
    per_gpu = load.all_samples / mesh.num_peers
    products = (all_flops - attention_flops) * per_gpu / (peak * gpu.matmul_efficiency)
    products *= 3.0 if kept == "products" else passes
    attention = attention_flops * per_gpu / (peak * gpu.attention_efficiency)
    attention *= passes if kept == "nothing" else 3.0
    # bytes of a token's norms, residual additions and gates: fp32 stream, results of products in their dtype
    e, tensor = work.element_bytes, mesh.tensor_parallel
    stream = (3 * (4 + e) + 3 * (8 + e) + 8) * c.hidden_size / mesh.num_peers
    moved = (stream + 3 * e * c.ffn_dim / tensor / mesh.context_parallel) * tokens_each * load.all_samples
    bound = c.depth * moved * passes / (gpu.memory_gb_per_s * 1e9)
    launches = c.depth * KERNELS * LAUNCH_S * passes * load.num_micro_batches
    return StepTime(products=products, attention=attention, memory_bound=max(bound, launches))
