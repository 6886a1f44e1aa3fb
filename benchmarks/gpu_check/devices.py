"""The machine, whether it computes what a CPU computes, and how fast it multiplies matrices."""

import importlib.metadata
import platform
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu_check.bench import Bench, Row, Rows, relative
from src.core import provenance
from src.flow.noise import normal
from src.models.tae.model import TAE
from src.models.transformer.model import MediaTransformer
from src.parallel.fsdp import copy_full_, full_tensor


def environment(bench: Bench) -> Rows:
    """Describe the machine and the code."""
    if bench.is_cuda:
        properties = torch.cuda.get_device_properties(bench.device)
        yield Row("memory", properties.total_memory / 1e9, "GB", properties.name)
        capability = f"sm_{properties.major}{properties.minor}"
        yield Row("multiprocessors", properties.multi_processor_count, "", capability)
        yield Row("bf16 in hardware", float(torch.cuda.is_bf16_supported(including_emulation=False)))
    else:
        yield Row("CPU threads", torch.get_num_threads(), "", "no GPU: a rehearsal, not a result")
    for package in ("torch", "triton", "flash-attn", "diffusers"):
        yield Row(package, None, "", package_version(package))
    cudnn = torch.backends.cudnn.version() if bench.is_cuda else "none"
    yield Row("CUDA, cuDNN", None, "", f"{torch.version.cuda or 'none'}, {cudnn}")
    code = provenance.collect()
    changed = ", with changes" if code["git_changed_files"] else ""
    yield Row("code", None, "", f"{code['git_commit'][:12] or 'no git history'}{changed}")
    yield Row("python", None, "", platform.python_version())


def package_version(name: str) -> str:
    """Return an installed package's version, or "not installed"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def matmul_peak(bench: Bench) -> Rows:
    """Measure the attainable peak: a large matrix product, and those of the models' feed-forward networks."""
    for dtype in (torch.bfloat16, torch.float32):
        for m, k, n in bench.sizes.products:
            a, b = bench.randn(m, k, dtype=dtype), bench.randn(n, k, dtype=dtype)
            seconds = bench.seconds(partial(F.linear, a, b), 4 * bench.sizes.repeats)
            tflops = 2 * m * k * n / seconds / 1e12
            if dtype == torch.bfloat16:
                bench.attainable_tflops = max(tflops, bench.attainable_tflops or 0.0)
            yield Row(f"{str(dtype).removeprefix('torch.')} {m} x {k} x {n}", tflops, "TFLOP/s")


def device_parity(bench: Bench) -> Rows:
    """Compare the device with the CPU in fp32: keyed noise, outputs and gradients of small networks."""
    on_cpu, on_device = (normal([1, 2], (1000,), each).cpu() for each in ("cpu", bench.device))
    yield Row("keyed noise", float((on_device - on_cpu).abs().max()), "", "largest difference")
    torch.manual_seed(0)
    config = bench.sizes.small
    x, text = torch.randn(2, config.latent_channels, 4, 6, 8), torch.randn(2, 7, config.context_dim)
    transformer = perturbed(MediaTransformer(config))
    yield from compare_devices("transformer", transformer, (x, torch.tensor([0.2, 0.7]), text), bench)
    tae = TAE(bench.sizes.small_tae)
    side = 4 * tae.config.spatial_factor
    video = torch.rand(1, 3, 2 * tae.config.temporal_factor + 1, side, side) * 2 - 1
    yield from compare_devices("TAE", VideoOfTAE(tae), (video,), bench)


class VideoOfTAE(nn.Module):
    """A TAE whose output is the reconstructed video alone."""

    def __init__(self, tae: TAE) -> None:
        super().__init__()
        self.tae = tae

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        return self.tae(video_BCTHW).video_BCTHW


def perturbed(net: nn.Module) -> nn.Module:
    """Add noise to all weights: gates and output layers start at zero and would hide what is before them."""
    with torch.no_grad():
        for p in net.parameters():
            full = full_tensor(p.detach())
            copy_full_(p, full + 0.02 * torch.randn(full.shape, device=full.device))
    return net


def compare_devices(name: str, net: nn.Module, inputs: tuple[Tensor, ...], bench: Bench) -> Rows:
    """Compare output and gradients on the device with those on the CPU."""
    results = []
    for device in (torch.device("cpu"), bench.device):
        net = net.to(device)
        net.zero_grad(set_to_none=True)
        out = net(*(each.to(device) for each in inputs))
        out.square().mean().backward()
        grads = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
        results.append((out.detach().cpu(), torch.cat(grads).cpu()))
    for what, expected, found in zip(("output", "gradients"), *results, strict=True):
        yield Row(f"{name}: {what}", relative(found, expected), "", "relative difference, fp32")
