"""Attention kernels: errors against float64 and times; other projects' transformers at equal size."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_check.bench import Bench, Row, Rows, relative
from benchmarks.video_models import OURS, PATCH_DIM, Size, build
from src.models.nn.attention import attention
from src.models.nn.config import AttentionBackend

SDPA = {
    "sdpa: flash": SDPBackend.FLASH_ATTENTION,
    "sdpa: cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa: efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa: math": SDPBackend.MATH,
}
OURS_ONLY: tuple[AttentionBackend, ...] = ("auto", "chunked", "matmul", "flash")
MATERIALIZE = ("sdpa: math", "matmul", "chunked")  # the attention matrix, or much of it: not timed
PEERS = ("Wan", "LTX")


def kernel_of(name: str) -> tuple[AttentionBackend, AbstractContextManager[None]]:
    """Return the backend of `attention`, and the context that selects one of torch's own kernels."""
    if name in SDPA:
        return "sdpa", sdpa_kernel(SDPA[name])
    return name, nullcontext()  # type: ignore[return-value]


class AttentionCall:
    """Attention of one size, with gradients."""

    def __init__(self, bench: Bench, size: tuple[int, int, int, int], dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        batch, tokens, heads, dim = size
        self.inputs = [bench.randn(batch, tokens, heads, dim, dtype=dtype).requires_grad_() for _ in range(3)]
        self.gradient = bench.randn(batch, tokens, heads, dim, dtype=dtype)

    def __call__(self, name: str) -> list[Tensor]:
        """Return output and gradients by one kernel."""
        backend, context = kernel_of(name)
        with context:
            out = attention(*self.inputs, backend=backend)
            return [out.detach(), *torch.autograd.grad(out, self.inputs, self.gradient)]

    def exact(self) -> list[Tensor]:
        """Return output and gradients in float64."""
        inputs = [each.detach().double().requires_grad_() for each in self.inputs]
        out = attention(*inputs, backend="matmul")
        return [out.detach(), *torch.autograd.grad(out, inputs, self.gradient.double())]


def attempt(what: str, call: Callable[[], float], unit: str, note: str = "") -> Row:
    """Return a number, or why there is none."""
    try:
        return Row(what, call(), unit, note)
    except (RuntimeError, ValueError, ImportError) as error:
        return Row(what, None, "", f"not available: {' '.join(str(error).split())[:80]}")


def milliseconds(bench: Bench, call: Callable[[], object]) -> float:
    """Return the time of a call."""
    return 1e3 * bench.seconds(call)


def attention_parity(bench: Bench) -> Rows:
    """Compare every kernel with float64, output and gradients, in bf16."""
    call = AttentionCall(bench, bench.sizes.exact_attention, torch.bfloat16)
    exact = call.exact()
    for name in (*SDPA, *OURS_ONLY):

        def error(name: str = name) -> float:
            return max(relative(a, b) for a, b in zip(call(name), exact, strict=True))

        yield attempt(name, error, "", "largest relative error of output and gradients, bf16")


def attention_speed(bench: Bench) -> Rows:
    """Time forward and backward of the kernels that keep no attention matrix."""
    size = bench.sizes.attention
    call = AttentionCall(bench, size, torch.bfloat16)
    batch, tokens, heads, dim = size
    flops = 3.5 * 4 * batch * heads * tokens * tokens * dim  # the backward pass has five products to two
    for name in (*SDPA, *OURS_ONLY):
        if name not in MATERIALIZE:
            row = attempt(name, partial(milliseconds, bench, partial(call, name)), "ms")
            note = f"{flops / row.value / 1e9:.0f} TFLOP/s" if row.value else row.note
            yield Row(name, row.value, row.unit, note)


def peers(bench: Bench) -> Rows:
    """Time our transformer and those of diffusers, forward and backward, weights in bf16, one video."""
    size = Size(*bench.sizes.peer)
    for name in (OURS, *PEERS):
        torch.manual_seed(0)
        bench.reset_peak()
        try:
            with bench.device:
                net, forward = build(name, size, torch.bfloat16)
        except ImportError:
            yield Row(name, None, "", "diffusers is not installed")
            continue

        def step(net: torch.nn.Module = net, forward: Callable[[], Tensor] = forward) -> Tensor:
            with bench.device:  # the call makes its flow time
                out = forward()
            out.float().square().mean().backward()
            net.zero_grad(set_to_none=True)
            return out

        if step().numel() != size.tokens * PATCH_DIM:
            raise ValueError(f"{name}: a velocity of another size than {size.tokens} tokens")
        note = f"{sum(p.numel() for p in net.parameters()) / 1e6:.0f} M parameters, {size.tokens} tokens"
        yield Row(f"{name}: forward and backward", 1e3 * bench.seconds(step), "ms", note)
        yield Row(f"{name}: peak memory", bench.peak_gb(), "GB")
