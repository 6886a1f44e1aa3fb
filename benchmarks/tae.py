"""Compare our autoencoder with those of diffusers at equal channels, blocks, clip and dtype.

`python -m benchmarks.tae` measures encoding, decoding and a training step (L1) in ns of CPU time per input
pixel, and peak memory above the loaded model. The baseline is the frame-wise image autoencoder, which ours is
inflated from. Needs `pip install diffusers`.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.autoencoders import Autoencoder, build_table, measure_phases, print_table, run_cases
from src.core import cli, config
from src.core.fields import Config, opt
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE

BASELINE = "frame-wise KL"
CASES = ("TAE", BASELINE, "Wan", "HunyuanVideo", "CogVideoX")


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


def build(settings: TAEBenchConfig) -> tuple[Autoencoder, int]:
    """Return the network of a case, with 16 latent channels, and the frames of its clip."""
    w, blocks, frames = settings.widths, settings.blocks, settings.frames
    if settings.case == "TAE":
        tae = TAE(TAEConfig(channels=w, num_blocks=blocks))
        return Autoencoder(tae, lambda x: tae.encode(x).mode(), lambda z: tae.decode(z, frames)), frames
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
        return Autoencoder(
            net,
            lambda x: net.encode(x[0].transpose(0, 1)).latent_dist.mean,
            lambda z: net.decode(z).sample.transpose(0, 1)[None],
        ), frames
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
    return Autoencoder(
        net,
        lambda x: net.encode(x).latent_dist.mean,
        lambda z: net.decode(z, return_dict=False)[0],
    ), frames + 1


def measure(settings: TAEBenchConfig) -> dict[str, Any]:
    """Return the ns per pixel and MiB above the loaded model of each phase of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, frames = build(settings)
    dtype = getattr(torch, settings.dtype)
    model.net.to(dtype)
    x = torch.rand(1, 3, frames, settings.size, settings.size).mul(2).sub(1).to(dtype)
    size = frames * settings.size**2 / 1e9
    return measure_phases(settings.case, model, x, repeats=settings.repeats, warm_ups=2, size=size)


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(TAEBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    results = run_cases("benchmarks.tae", CASES, settings, argv, "diffusers")
    print_table(build_table(results, BASELINE, "ns/px", 0), BASELINE, settings.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
