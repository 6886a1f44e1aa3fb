"""Compare our autoencoder with those of diffusers at equal channels, blocks, clip and dtype.

`python -m benchmarks.tae` measures encoding, decoding and a training step (L1) in ns of CPU time per input
pixel, and peak memory above the loaded model. The baseline is the frame-wise image autoencoder, which ours is
inflated from. Needs `pip install diffusers`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.cases import cpu_seconds, peak_mib, reset_peak, run_interleaved
from benchmarks.record import BenchmarkRecord
from src.core import cli, config
from src.core.fields import Config, opt
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE

BASELINE = "frame-wise KL"
CASES = ("TAE", BASELINE, "Wan", "HunyuanVideo", "CogVideoX")
PHASES = ("encode", "decode", "train")


@dataclass(frozen=True, kw_only=True)
class TAEBenchConfig(Config):
    """Model size, clip and repetitions."""

    case: str = opt("", f"run one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    widths: tuple[int, ...] = opt((32, 64, 128, 128), "channels of the four levels")
    blocks: int = opt(1, "residual blocks per level of the encoder", ge=1)
    frames: int = opt(16, "frames of the clip; causal models take one more", ge=1)
    size: int = opt(64, "side of the clip in pixels", ge=1)
    dtype: Literal["float32", "bfloat16"] = opt("float32", "dtype of weights and pixels")
    repeats: int = opt(7, "repetitions per process, of which the minimum counts", ge=1)
    rounds: int = opt(3, "processes per case", ge=1)
    out: str = opt("runs/bench_tae.json", "results file")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case and self.case not in CASES:
            raise ValueError(f"case must be one of {', '.join(CASES)}, got {self.case!r}")
        if len(self.widths) != 4:
            raise ValueError(f"widths must be four numbers, got {self.widths}")


@dataclass(frozen=True)
class Model:
    """A network with a common interface to encode and decode; video_BCTHW in and out."""

    net: nn.Module
    frames: int
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def build(settings: TAEBenchConfig) -> Model:
    """Return the network of a case, with 16 latent channels."""
    w, blocks, frames = settings.widths, settings.blocks, settings.frames
    if settings.case == "TAE":
        tae = TAE(TAEConfig(channels=w, num_blocks=blocks))
        return Model(tae, frames, lambda x: tae.encode(x).mode(), lambda z: tae.decode(z, frames))
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    shape = {"block_out_channels": w, "layers_per_block": blocks, "latent_channels": 16}
    if settings.case == BASELINE:
        net = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            **shape,
        )
        return Model(
            net,
            frames,
            lambda x: net.encode(x[0].transpose(0, 1)).latent_dist.mean,
            lambda z: net.decode(z).sample.transpose(0, 1)[None],
        )
    if settings.case == "Wan":
        multiples = [n // w[0] for n in w]
        net = diffusers.AutoencoderKLWan(
            base_dim=w[0],
            dim_mult=multiples,
            z_dim=16,
            num_res_blocks=blocks,
            temperal_downsample=[False, True, True],
        )
    elif settings.case == "HunyuanVideo":
        net = diffusers.AutoencoderKLHunyuanVideo(**shape)
    else:
        net = diffusers.AutoencoderKLCogVideoX(**shape)
    return Model(
        net,
        frames + 1,
        lambda x: net.encode(x).latent_dist.mean,
        lambda z: net.decode(z, return_dict=False)[0],
    )


def measure(settings: TAEBenchConfig) -> dict[str, Any]:
    """Return the ns per pixel and MiB above the loaded model of each phase of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(settings)
    dtype = getattr(torch, settings.dtype)
    model.net.to(dtype).eval()
    x = torch.rand(1, 3, model.frames, settings.size, settings.size).mul(2).sub(1).to(dtype)
    reset_peak()
    pixels, loaded = model.frames * settings.size**2, peak_mib()
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in model.net.parameters())}

    def add(phase: str, call: Callable[[], Any]) -> None:
        results[f"{phase}_ns"] = cpu_seconds(call, settings.repeats) / pixels * 1e9
        results[f"{phase}_mib"] = peak_mib() - loaded

    with torch.no_grad():
        z = model.encode(x)
        if model.decode(z).shape != x.shape:
            raise ValueError(
                f"{settings.case} returned shape {tuple(model.decode(z).shape)}, expected {tuple(x.shape)}"
            )
        add("encode", lambda: model.encode(x))
        add("decode", lambda: model.decode(z))
    model.net.train()

    def step() -> None:
        (model.decode(model.encode(x)) - x).abs().mean().backward()
        model.net.zero_grad(set_to_none=True)

    add("train", step)
    return results


def build_table(results: dict[str, dict[str, Any]]) -> Table:
    """Return a table of the numbers and their ratios to the baseline."""
    baseline = results[BASELINE]
    table = Table("model", "parameters", *(f"{p} ns/px" for p in PHASES), "train MiB")
    for case, numbers in results.items():
        cells = [
            f"{numbers[f'{p}_ns']:,.0f} ({numbers[f'{p}_ns'] / baseline[f'{p}_ns']:.2f}x)" for p in PHASES
        ]
        memory = f"{numbers['train_mib']:,.0f} ({numbers['train_mib'] / baseline['train_mib']:.2f}x)"
        table.add_row(case, f"{numbers['parameters'] / 1e6:.1f} M", *cells, memory)
    return table


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(TAEBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {k: v for k, v in config.to_dict(settings).items() if k not in ("case", "rounds", "out")}
    record = BenchmarkRecord.open(settings.out, fixed, ("diffusers",))
    results = run_interleaved("benchmarks.tae", list(CASES), argv, settings.rounds, record)
    Console(highlight=False).print(build_table(results))
    Console(highlight=False).print(
        f"ratios to {BASELINE}; differences below 10 % are noise: {settings.out}", soft_wrap=True
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
