"""GPUs that a plan knows: memory, peak rates, links; needs no torch.

Peaks, memory and links are those of data sheets (dense bf16 or fp16, links one way). Efficiencies
and prices are estimates for the sizes of a transformer's products; nothing here was measured by this
project. `matmul_efficiency=` and `attention_efficiency=` replace them by your own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU in its usual server."""

    memory_gb: float  # 1e9 bytes
    peak_tflops: float
    fp32_tflops: float  # without TF32, which torch leaves off
    memory_gb_per_s: float
    link_gb_per_s: float  # between GPUs of a node
    network_gb_per_s: float  # per GPU, between nodes
    gpus_per_node: int
    matmul_efficiency: float
    attention_efficiency: float  # forward and backward together
    hour_price: float  # dollars; ours, of rented machines
    has_bf16: bool = True


GPUS = {
    "b200": Gpu(192.0, 2250.0, 75.0, 8000.0, 900.0, 50.0, 8, 0.68, 0.40, 5.0),
    "h200": Gpu(151.0, 989.0, 67.0, 4800.0, 450.0, 50.0, 8, 0.68, 0.42, 3.2),
    "h100": Gpu(85.5, 989.0, 67.0, 3350.0, 450.0, 50.0, 8, 0.68, 0.42, 2.5),
    "a100_80gb": Gpu(85.2, 312.0, 19.5, 2000.0, 300.0, 25.0, 8, 0.75, 0.60, 1.6),
    "a100_40gb": Gpu(42.5, 312.0, 19.5, 1555.0, 300.0, 25.0, 8, 0.75, 0.60, 1.2),
    "l40s": Gpu(48.3, 362.0, 91.0, 864.0, 25.0, 12.5, 8, 0.55, 0.45, 1.0),
    "rtx4090": Gpu(25.8, 165.0, 82.0, 1008.0, 12.5, 1.25, 8, 0.80, 0.60, 0.4),
    "rtx3090": Gpu(25.4, 71.0, 35.0, 936.0, 12.5, 1.25, 8, 0.80, 0.60, 0.25),
    "l4": Gpu(24.1, 121.0, 30.0, 300.0, 12.5, 1.25, 4, 0.50, 0.45, 0.5),
    "t4": Gpu(15.8, 65.0, 8.1, 320.0, 8.0, 1.25, 4, 0.45, 0.25, 0.2, has_bf16=False),
}


@dataclass(frozen=True)
class Cluster:
    """A number of GPUs of one kind."""

    name: str
    gpu: Gpu
    num_gpus: int

    @property
    def gpus_per_node(self) -> int:
        return min(self.gpu.gpus_per_node, self.num_gpus)

    @property
    def usable_bytes(self) -> float:
        """Return what tensors may take: 93 % of the memory, less 1.5 GB for CUDA and NCCL; ours."""
        return 0.93 * self.gpu.memory_gb * 1e9 - 1.5e9

    def link_bytes_per_s(self, size: int, stride: int) -> float:
        """Return the rate at which a group exchanges bytes: of a ring through all its GPUs.

        Between nodes each of the group's GPUs in a node brings its own network card.

        Args:
            size: number of GPUs in the group.
            stride: distance between the ranks of neighbors.
        """
        rate = self.gpu.link_gb_per_s
        if size * stride > self.gpus_per_node:
            rate = min(rate, self.gpu.network_gb_per_s * max(1, self.gpus_per_node // stride))
        return 0.8e9 * rate  # of a link's data sheet 80 % arrive in large collectives
