"""Our video transformer beside diffusers' at equal size, text and type: `python -m benchmarks.video`.

Forward, and forward and backward without and with checkpointing: us of CPU time per video token, all models
in turn in one process, and peak memory above the loaded model in KB per token, each in a process of its own;
the same matrix products and attentions alone (the attainable peak); and a guided sampling step beside the
forward pass it contains. Finished cases are kept in `out`, so the grid can be measured piece by piece:
`tokens=[1024] widths=[384] dtypes=[float32]`. Without instructions for it bfloat16 is left out. Needs
diffusers.
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

from benchmarks.cases import check_turns, in_turn, interleaved, peak_mib
from benchmarks.record import Record
from benchmarks.video_models import (
    ATTAINABLE,
    CHANNELS,
    GRIDS,
    OURS,
    PATCH_DIM,
    PEERS,
    TIMES,
    OurVideo,
    Products,
    Size,
    build,
    text_of,
)
from benchmarks.video_table import markdown
from src.core import cli, config
from src.core.fields import opt
from src.flow.config import SamplerConfig
from src.flow.sampling import sample
from src.training.precision import has_bf16

MODELS = (OURS, *PEERS, ATTAINABLE)
DTYPES = ("float32", "bfloat16")
STEPS = 2  # of the sampling run whose steps are timed


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured, and how often."""

    case: str = opt(
        "", "one case in this process, such as Wan/384/1024/float32 (memory) or times/...; empty: all"
    )
    models: tuple[str, ...] = opt(MODELS, f"some of {', '.join(MODELS)}")
    widths: tuple[int, ...] = opt((384, 768), "widths of the models, multiples of 64")
    tokens: tuple[int, ...] = opt(tuple(GRIDS), f"video tokens, some of {', '.join(map(str, GRIDS))}")
    dtypes: tuple[str, ...] = opt(DTYPES, "types of weights and latents: float32, bfloat16")
    layers: int = opt(6, "blocks")
    repeats: int = opt(10, "turns of all models in a process, of which the least counts; at least 2")
    budget: float = opt(300.0, "CPU seconds of the times after which there is no further turn")
    rounds: int = opt(3, "processes for each case")
    out: str = opt("runs/bench_video.json", "where the numbers go; the table goes beside it as .md")

    def __post_init__(self) -> None:
        for key, allowed in (("models", MODELS), ("tokens", tuple(GRIDS)), ("dtypes", DTYPES)):
            for value in getattr(self, key):
                if value not in allowed:
                    raise ValueError(f"{key}: {value!r} is none of {', '.join(map(str, allowed))}")
        check_turns(self.repeats)
        for width in self.widths:
            if width < 64 or width % 64:
                raise ValueError(f"widths: {width} is no multiple of 64")
        if self.case:
            parts = self.case.split("/")
            if len(parts) != 4 or parts[0] not in (TIMES, OURS, *PEERS) or parts[3] not in DTYPES:
                raise ValueError(f"case: {self.case!r} is not MODEL/WIDTH/TOKENS/DTYPE")


Calls = dict[str, Callable[[], Any]]


def phases(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module | None, Calls]:
    """A model and what is measured of it, each phase with more memory than those before it."""
    if name == ATTAINABLE:
        alone = Products(size, dtype)
        return None, {"forward": torch.no_grad()(alone), "train": alone.backward}
    net, forward = build(name, size, dtype)

    def step() -> None:
        forward().float().square().mean().backward()
        net.zero_grad(set_to_none=True)

    def checkpointed() -> None:
        net.enable_gradient_checkpointing()
        step()
        net.disable_gradient_checkpointing()

    return net, {"forward": torch.no_grad()(forward), "checkpointed": checkpointed, "train": step}


def measure(settings: BenchConfig) -> dict[str, Any]:
    """Numbers of one case: memory of a model, or us a token of all models in turn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, width, tokens, dtype_name = settings.case.split("/")
    size, dtype = Size(int(width), settings.layers, int(tokens)), getattr(torch, dtype_name)
    if name == TIMES:
        return times({model: phases(model, size, dtype)[1] for model in settings.models}, size, settings)
    # what torch imports and starts at the first backward pass is nobody's memory
    checkpoint(torch.sin, torch.ones(1, requires_grad=True), use_reentrant=False).sum().backward()
    net, calls = phases(name, size, dtype)
    assert net is not None
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in net.parameters())}
    loaded = peak_mib()
    if (made := calls["forward"]()).numel() != size.tokens * PATCH_DIM:
        raise ValueError(f"{name} gives {tuple(made.shape)} for {size.tokens} tokens")
    for phase, call in calls.items():
        for _ in range(2):  # the second finds the heap as the first left it
            call()
        found[f"{phase}_kb"] = (peak_mib() - loaded) * 1024 / size.tokens
    if isinstance(net, OurVideo):
        found |= sampling(net, size, settings)
    return found


def times(models: dict[str, Calls], size: Size, settings: BenchConfig) -> dict[str, float]:
    """us per token by MODEL/PHASE_us, all phases of all models in turn."""
    calls = {f"{name}/{phase}_us": call for name, each in models.items() for phase, call in each.items()}
    found = in_turn(calls, settings.repeats, settings.budget)
    return {key: seconds / size.tokens * 1e6 for key, seconds in found.items()}


@torch.no_grad()
def sampling(net: OurVideo, size: Size, settings: BenchConfig) -> dict[str, float]:
    """us per token of a guided step, and of the forward pass of the doubled batch with kept text alone."""
    net.eval()
    transformer = net.transformer
    dtype = transformer.patch_in.weight.dtype
    noise = torch.randn(1, CHANNELS, *size.latent)
    kept = transformer.cache_context(net.context(text_of(2, dtype)))
    doubled, half = noise.to(dtype).expand(2, -1, -1, -1, -1), torch.full((2,), 0.5)
    sampler = SamplerConfig(steps=STEPS, schedule="linear")

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return transformer(x.to(dtype), t, kept).float()

    calls: Calls = {
        "pass_us": lambda: transformer(doubled, half, kept),
        "step_us": lambda: sample(velocity, noise, sampler),
    }
    found = in_turn(calls, settings.repeats, settings.budget / 5)  # one model
    found["step_us"] /= STEPS
    return {key: seconds / size.tokens * 1e6 for key, seconds in found.items()}


def main(argv: list[str]) -> None:
    """One case as a line of JSON, or row by row all of them, interleaved, as a file and a table."""
    settings = config.from_command_line(BenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {key: getattr(settings, key) for key in ("models", "layers", "repeats", "budget")}
    record = Record.open(settings.out, fixed, ("diffusers",))
    path = Path(settings.out).with_suffix(".md")
    dtypes = settings.dtypes
    if "bfloat16" in dtypes and not has_bf16("cpu"):
        print("bfloat16 is left out: this CPU has no instructions for it, and emulation says nothing")
        dtypes = tuple(dtype for dtype in dtypes if dtype != "bfloat16")
    for width, tokens, dtype in product(settings.widths, settings.tokens, dtypes):
        with_memory = [model for model in settings.models if model != ATTAINABLE]
        cases = [f"{each}/{width}/{tokens}/{dtype}" for each in (*with_memory, TIMES)]
        interleaved("benchmarks.video", cases, argv, settings.rounds, record)
        path.write_text(markdown(record), encoding="utf-8")
    print(markdown(record))
    print(f"numbers: {settings.out}, this table: {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
