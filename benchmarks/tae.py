"""Our autoencoder beside diffusers' at equal widths, blocks, clip and type: `python -m benchmarks.tae`.

Encode, decode and training step (L1) in ns of CPU time per input pixel, peak memory above the loaded model.
The floor is the image autoencoder frame by frame, which ours is inflated from. Needs `pip install diffusers`.
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

from benchmarks.cases import cpu_seconds, interleaved, peak_mib
from benchmarks.record import Record
from src.core import cli, config
from src.core.fields import opt
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE

FLOOR = "frame-wise KL"
CASES = ("TAE", FLOOR, "Wan", "HunyuanVideo", "CogVideoX")
PHASES = ("encode", "decode", "train")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured, and how often."""

    case: str = opt("", f"one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    widths: tuple[int, ...] = opt((32, 64, 128, 128), "channels of the four levels")
    blocks: int = opt(1, "residual blocks of a level in the encoder")
    frames: int = opt(16, "frames of the clip; causal models take one more")
    size: int = opt(64, "side of the clip in pixels")
    dtype: Literal["float32", "bfloat16"] = opt("float32", "type of weights and pixels")
    repeats: int = opt(7, "repetitions in a process, of which the least counts")
    rounds: int = opt(3, "processes for each case")
    out: str = opt("runs/bench_tae.json", "where the numbers go")

    def __post_init__(self) -> None:
        if self.case and self.case not in CASES:
            raise ValueError(f"case: {self.case!r} is none of {', '.join(CASES)}")
        if len(self.widths) != 4:
            raise ValueError(f"widths: {self.widths} must be four")


@dataclass(frozen=True)
class Model:
    """A network with the same two calls for all of them; video_BCTHW in, video_BCTHW out."""

    net: nn.Module
    frames: int
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def build(settings: BenchConfig) -> Model:
    """The case's network with 16 latent channels."""
    w, blocks, frames = settings.widths, settings.blocks, settings.frames
    if settings.case == "TAE":
        tae = TAE(TAEConfig(widths=w, blocks=blocks))
        return Model(tae, frames, lambda x: tae.encode(x).mode(), lambda z: tae.decode(z, frames))
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    shape = {"block_out_channels": w, "layers_per_block": blocks, "latent_channels": 16}
    if settings.case == FLOOR:
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


def measure(settings: BenchConfig) -> dict[str, Any]:
    """Numbers of one case: ns a pixel and MiB above load of each phase."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(settings)
    dtype = getattr(torch, settings.dtype)
    model.net.to(dtype).eval()
    x = torch.rand(1, 3, model.frames, settings.size, settings.size).mul(2).sub(1).to(dtype)
    pixels, loaded = model.frames * settings.size**2, peak_mib()
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in model.net.parameters())}

    def add(phase: str, call: Callable[[], Any]) -> None:
        found[f"{phase}_ns"] = cpu_seconds(call, settings.repeats) / pixels * 1e9
        found[f"{phase}_mib"] = peak_mib() - loaded

    with torch.no_grad():
        z = model.encode(x)
        if model.decode(z).shape != x.shape:
            raise ValueError(f"{settings.case} gives {tuple(model.decode(z).shape)} for {tuple(x.shape)}")
        add("encode", lambda: model.encode(x))
        add("decode", lambda: model.decode(z))
    model.net.train()

    def step() -> None:
        (model.decode(model.encode(x)) - x).abs().mean().backward()
        model.net.zero_grad(set_to_none=True)

    add("train", step)
    return found


def table(found: dict[str, dict[str, Any]]) -> Table:
    """Numbers, and their ratios to the floor."""
    floor = found[FLOOR]
    made = Table("model", "parameters", *(f"{p} ns/px" for p in PHASES), "train MiB")
    for case, numbers in found.items():
        cells = [f"{numbers[f'{p}_ns']:,.0f} ({numbers[f'{p}_ns'] / floor[f'{p}_ns']:.2f}x)" for p in PHASES]
        memory = f"{numbers['train_mib']:,.0f} ({numbers['train_mib'] / floor['train_mib']:.2f}x)"
        made.add_row(case, f"{numbers['parameters'] / 1e6:.1f} M", *cells, memory)
    return made


def main(argv: list[str]) -> None:
    """One case as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(BenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {k: v for k, v in config.to_dict(settings).items() if k not in ("case", "rounds", "out")}
    record = Record.open(settings.out, fixed, ("diffusers",))
    found = interleaved("benchmarks.tae", list(CASES), argv, settings.rounds, record)
    Console(highlight=False).print(table(found))
    Console(highlight=False).print(
        f"ratios to {FLOOR}; differences below 10 % are none: {settings.out}", soft_wrap=True
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
