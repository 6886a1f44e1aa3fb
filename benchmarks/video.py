"""Compare our video transformer with those of diffusers at equal size, text and dtype.

`python -m benchmarks.video` measures forward, and forward + backward without and with activation
checkpointing: CPU time per video token in us, all models interleaved in one process, and peak memory above
the loaded model in KB per token, each in a process of its own; the matrix products and attentions alone (the
attainable peak); and a guided sampling step relative to its forward pass. Finished cases are kept in `out`,
so the grid can be measured in parts: `tokens=[1024] widths=[384] dtypes=[float32]`. bfloat16 is skipped on
CPUs without instructions for it. Needs diffusers.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.cases import min_seconds, peak_mib, reset_peak, run_interleaved
from benchmarks.record import BenchmarkRecord
from benchmarks.video_models import (
    ATTAINABLE,
    CHANNELS,
    GRIDS,
    OURS,
    PATCH_DIM,
    PEERS,
    TIMES,
    AttainablePeak,
    OurVideo,
    Size,
    build,
    random_text,
)
from benchmarks.video_table import format_markdown
from src.core import cli, config
from src.core.fields import Config, opt
from src.flow.config import SamplerConfig
from src.flow.sampling import sample
from src.training.precision import has_bf16

MODELS = (OURS, *PEERS, ATTAINABLE)
DTYPES = ("float32", "bfloat16")
STEPS = 2  # of the sampling run whose steps are timed


@dataclass(frozen=True, kw_only=True)
class VideoBenchConfig(Config):
    """Models, sizes and repetitions."""

    case: str = opt(
        "", "run one case in this process, such as Wan/384/1024/float32 (memory) or times/...; empty: all"
    )
    models: tuple[str, ...] = opt(MODELS, f"some of {', '.join(MODELS)}")
    widths: tuple[int, ...] = opt((384, 768), "hidden sizes of the models, multiples of 64")
    tokens: tuple[int, ...] = opt(tuple(GRIDS), f"video tokens, some of {', '.join(map(str, GRIDS))}")
    dtypes: tuple[str, ...] = opt(DTYPES, "dtypes of weights and latents: float32, bfloat16")
    layers: int = opt(6, "number of blocks", ge=1)
    repeats: int = opt(10, "rounds over all models, of which the minimum counts; the first warms up", ge=2)
    budget: float = opt(300.0, "CPU seconds after which no further round of timing starts")
    rounds: int = opt(3, "processes per case", ge=1)
    out: str = opt("runs/bench_video.json", "results file; the table is written next to it as .md")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, allowed in (("models", MODELS), ("tokens", tuple(GRIDS)), ("dtypes", DTYPES)):
            for value in getattr(self, key):
                if value not in allowed:
                    raise ValueError(f"{key} must be of {', '.join(map(str, allowed))}, got {value!r}")
        for width in self.widths:
            if width < 64 or width % 64:
                raise ValueError(f"widths must be multiples of 64, got {width}")
        if self.case:
            parts = self.case.split("/")
            if len(parts) != 4 or parts[0] not in (TIMES, OURS, *PEERS) or parts[3] not in DTYPES:
                raise ValueError(f"case must be MODEL/WIDTH/TOKENS/DTYPE, got {self.case!r}")


Calls = dict[str, Callable[[], Any]]


def phase_calls(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module | None, Calls]:
    """Return a model and the call of each phase, in ascending order of memory."""
    if name == ATTAINABLE:
        peak = AttainablePeak(size, dtype)
        return None, {"forward": torch.no_grad()(peak), "train": peak.backward}
    net, forward = build(name, size, dtype)

    def step() -> None:
        forward().float().square().mean().backward()
        net.zero_grad(set_to_none=True)

    def checkpointed() -> None:
        net.enable_gradient_checkpointing()
        step()
        net.disable_gradient_checkpointing()

    return net, {"forward": torch.no_grad()(forward), "checkpointed": checkpointed, "train": step}


def measure(settings: VideoBenchConfig) -> dict[str, Any]:
    """Return the numbers of one case: memory of a model, or us per token of all models."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, width, tokens, dtype_name = settings.case.split("/")
    size, dtype = Size(int(width), settings.layers, int(tokens)), getattr(torch, dtype_name)
    if name == TIMES:
        return measure_times(
            {model: phase_calls(model, size, dtype)[1] for model in settings.models}, size, settings
        )
    # Modules and threads that torch loads at the first backward pass are not attributable to the model.
    checkpoint(torch.sin, torch.ones(1, requires_grad=True), use_reentrant=False).sum().backward()
    net, calls = phase_calls(name, size, dtype)
    assert net is not None
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in net.parameters())}
    reset_peak()
    loaded = peak_mib()
    if (output := calls["forward"]()).numel() != size.tokens * PATCH_DIM:
        raise ValueError(f"{name} returned shape {tuple(output.shape)} for {size.tokens} tokens")
    for phase, call in calls.items():
        for _ in range(2):  # the first call grows the heap, the second reuses it
            call()
        results[f"{phase}_kb"] = (peak_mib() - loaded) * 1024 / size.tokens
    if isinstance(net, OurVideo):
        results |= measure_sampling(net, size, settings)
    return results


def measure_times(models: dict[str, Calls], size: Size, settings: VideoBenchConfig) -> dict[str, float]:
    """Return us per token by MODEL/PHASE_us, all phases of all models interleaved."""
    calls = {f"{name}/{phase}_us": call for name, each in models.items() for phase, call in each.items()}
    seconds = min_seconds(calls, settings.repeats, settings.budget)
    return {key: value / size.tokens * 1e6 for key, value in seconds.items()}


@torch.no_grad()
def measure_sampling(net: OurVideo, size: Size, settings: VideoBenchConfig) -> dict[str, float]:
    """Return us per token of a guided step, and of the forward pass of its doubled batch with cached text."""
    net.eval()
    transformer = net.transformer
    dtype = transformer.patch_embed.weight.dtype
    noise = torch.randn(1, CHANNELS, *size.latent)
    cache = transformer.cache_context(net.context(random_text(2, dtype)))
    doubled, half = noise.to(dtype).expand(2, -1, -1, -1, -1), torch.full((2,), 0.5)
    sampler = SamplerConfig(num_steps=STEPS, schedule="linear")

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return transformer(x.to(dtype), t, cache).float()

    calls: Calls = {
        "pass_us": lambda: transformer(doubled, half, cache),
        "step_us": lambda: sample(velocity, noise, sampler),
    }
    seconds = min_seconds(calls, settings.repeats, settings.budget / 5)
    seconds["step_us"] /= STEPS
    return {key: value / size.tokens * 1e6 for key, value in seconds.items()}


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or measure all of them, interleaved, into a file and a table."""
    settings = config.from_command_line(VideoBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {key: getattr(settings, key) for key in ("models", "layers", "repeats", "budget")}
    record = BenchmarkRecord.open(settings.out, fixed, ("diffusers",))
    path = Path(settings.out).with_suffix(".md")
    dtypes = settings.dtypes
    if "bfloat16" in dtypes and not has_bf16("cpu"):
        print("bfloat16 is skipped: this CPU has no instructions for it, and emulation is not representative")
        dtypes = tuple(dtype for dtype in dtypes if dtype != "bfloat16")
    for width, tokens, dtype in product(settings.widths, settings.tokens, dtypes):
        with_memory = [model for model in settings.models if model != ATTAINABLE]
        cases = [f"{each}/{width}/{tokens}/{dtype}" for each in (*with_memory, TIMES)]
        run_interleaved("benchmarks.video", cases, argv, settings.rounds, record)
        path.write_text(format_markdown(record), encoding="utf-8")
    print(format_markdown(record))
    print(f"results: {settings.out}, table: {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
