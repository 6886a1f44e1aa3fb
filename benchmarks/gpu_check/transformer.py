"""Training steps and sampling of the transformer, eager and with compiled blocks; FSDP2 on one process."""

import socket
import time

import torch
from torch import Tensor

from benchmarks.gpu_check.bench import Bench, Case, Row, Rows, relative
from benchmarks.gpu_check.devices import perturbed
from src.flow.config import SamplerConfig
from src.flow.loss import velocity_loss
from src.flow.sampling import sample
from src.models.transformer.config import TransformerConfig
from src.models.transformer.flops import training_flops
from src.models.transformer.model import MediaTransformer
from src.parallel.build import build_network
from src.parallel.config import ParallelConfig
from src.parallel.fsdp import ParallelContext, compile_groups, full_tensor
from src.parallel.mesh import build_mesh


class TrainingStep:
    """Forward, backward and AdamW on random latents as training does them: fp32 weights, products in bf16."""

    def __init__(self, bench: Bench, config: TransformerConfig, batch_size: int, *, compiled: bool) -> None:
        self.bench = bench
        torch.manual_seed(0)
        with bench.device:
            self.net = MediaTransformer(config).train()
        if compiled:
            compile_groups(self.net, ParallelContext(compile_backend=bench.compile_backend))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4, fused=True)
        shape = (batch_size, config.latent_channels, *bench.sizes.latent)
        self.data, self.noise = bench.randn(*shape), bench.randn(*shape)
        self.text = bench.randn(batch_size, bench.sizes.num_text, config.context_dim)
        self.t_B = torch.linspace(0.1, 0.9, batch_size, device=bench.device)
        num_tokens = self.net.num_tokens(shape)
        self.num_tokens = batch_size * num_tokens
        self.flops = batch_size * training_flops(config, num_tokens, bench.sizes.num_text)

    def loss(self) -> Tensor:
        """Return the loss of every sample [B]."""
        with self.bench.autocast():
            return velocity_loss(lambda x, t: self.net(x, t, self.text), self.data, self.noise, self.t_B)

    def __call__(self) -> None:
        self.loss().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def training_step(name: str, *, compiled: bool) -> Case:
    """Return the case of a training step of one model, at the first batch size that fits."""

    def case(bench: Bench) -> Rows:
        for batch_size in bench.sizes.batch_sizes:
            bench.reset_peak()
            try:
                rows = measure_step(bench, bench.sizes.models[name], batch_size, compiled)
            except torch.OutOfMemoryError:
                yield Row(f"batch of {batch_size}", None, "", "out of memory")
            else:
                yield from rows
                return

    return case


def measure_step(bench: Bench, config: TransformerConfig, batch_size: int, compiled: bool) -> list[Row]:
    """Return the numbers of a training step; the model is freed on return."""
    step = TrainingStep(bench, config, batch_size, compiled=compiled)
    started = time.perf_counter()
    step()
    bench.synchronize()
    first, seconds = time.perf_counter() - started, bench.seconds(step)
    num_parameters = sum(p.numel() for p in step.net.parameters())
    note = f"{num_parameters / 1e6:.0f} M parameters, {step.num_tokens} tokens, batch of {batch_size}"
    return [
        Row("step", 1e3 * seconds, "ms", note),
        Row("first step", first, "s", "compiles" if compiled else ""),
        Row("tokens", step.num_tokens / seconds, "1/s"),
        *bench.utilization(step.flops / seconds / 1e12),
        Row("peak memory", bench.peak_gb(), "GB"),
    ]


def compile_parity(bench: Bench) -> Rows:
    """Compare losses of compiled blocks with those of eager ones, on a small transformer."""
    losses = []
    for compiled in (False, True):
        step = TrainingStep(bench, bench.sizes.small, 2, compiled=compiled)
        for _ in range(2):  # the output layer starts at zero
            step()
        losses.append(step.loss())
    yield Row("loss after two steps", relative(losses[1], losses[0]), "", "compiled against eager, relative")


def sampling(bench: Bench) -> Rows:
    """Time guided sampling of one video with the smaller model."""
    name, config = next(iter(bench.sizes.models.items()))
    with bench.device:
        net = MediaTransformer(config).eval()
    noise = bench.randn(1, config.latent_channels, *bench.sizes.latent)
    text = bench.randn(2, bench.sizes.num_text, config.context_dim)
    sampler = SamplerConfig(num_steps=bench.sizes.sampling_steps, schedule="linear", guidance_scale=5.0)
    doubled, half = torch.cat([noise, noise]), torch.full((2,), 0.5, device=bench.device)
    bench.reset_peak()
    with torch.no_grad(), bench.autocast():
        cache = net.cache_context(text)
        forward = bench.seconds(lambda: net(doubled, half, cache))
        run = bench.seconds(lambda: sample(lambda x, t: net(x, t, cache).float(), noise, sampler), 2, 1)
    step = run / sampler.num_steps
    yield Row("guided step", 1e3 * step, "ms", f"{name}, {net.num_tokens(noise.shape)} tokens, one video")
    yield Row("step over forward pass", step / forward, "x")
    yield Row("50 steps", 50 * step, "s")
    yield Row("peak memory", bench.peak_gb(), "GB")


def sharded(bench: Bench) -> Rows:
    """Compare output and gradients of FSDP2 on a mesh of this one process with those of the plain model."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    backend = "nccl" if bench.is_cuda else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", world_size=1, rank=0)
    try:
        mesh = build_mesh(ParallelConfig(accelerator=bench.device.type), bench.device)  # type: ignore[arg-type]
        config, results = bench.sizes.small, []
        torch.manual_seed(0)
        x = bench.randn(2, config.latent_channels, *bench.sizes.latent)
        text, t_B = bench.randn(2, 7, config.context_dim), torch.full((2,), 0.5, device=bench.device)
        for context in (ParallelContext(), ParallelContext(mesh=mesh.fsdp, device=bench.device)):
            net = build_network(lambda: MediaTransformer(config), 0, context).to(bench.device)
            torch.manual_seed(1)
            perturbed(net)
            out = net(x, t_B, text)
            out.square().mean().backward()
            grads = [full_tensor(p.grad).flatten() for p in net.parameters() if p.grad is not None]
            results.append((out, torch.cat(grads)))
        for what, expected, found in zip(("output", "gradients"), *results, strict=True):
            yield Row(f"FSDP2: {what}", relative(found, expected), "", f"{backend}, one process, relative")
    finally:
        torch.distributed.destroy_process_group()
