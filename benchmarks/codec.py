"""Compare the codec with transformers' DacModel and EncodecModel at equal width, rate, audio and dtype.

`python -m benchmarks.codec` measures encoding, decoding and a training step (L1) in CPU time of one thread
per second of audio (below 1: faster than real time), and peak memory above the loaded model. Quantizers are
left out: encoders and decoders run directly. "DAC" is the paper's structure at the width given, "spectral"
the one of the tiny configuration. EnCodec's channels are chosen for about as many parameters. Needs
`pip install transformers`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.cases import cpu_seconds, peak_mib, reset_peak, run_interleaved
from benchmarks.record import BenchmarkRecord
from src.core import cli, config
from src.core.fields import Config, opt
from src.models.codec.config import CodecConfig, DACConfig
from src.models.codec.model import Codec

BASELINE = "DacModel"
CASES = ("DAC", BASELINE, "EncodecModel", "spectral")
PHASES = ("encode", "decode", "train")
STRIDES = (2, 8, 10, 12)


@dataclass(frozen=True, kw_only=True)
class CodecBenchConfig(Config):
    """Width, audio and repetitions."""

    case: str = opt("", f"run one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    channels: int = opt(16, "channels of DAC's first convolution (the paper: 64)", ge=1)
    encodec_channels: int = opt(20, "channels of EnCodec's first convolution", ge=1)
    seconds: float = opt(1.0, "length of the audio at 48 kHz", gt=0)
    repeats: int = opt(3, "repetitions per process, of which the minimum counts", ge=1)
    rounds: int = opt(2, "processes per case", ge=1)
    out: str = opt("runs/bench_codec.json", "results file")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case and self.case not in CASES:
            raise ValueError(f"case must be one of {', '.join(CASES)}, got {self.case!r}")


@dataclass(frozen=True)
class Model:
    """A network with a common interface: audio_BCS to features and back."""

    net: nn.Module
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def build(settings: CodecBenchConfig) -> Model:
    """Return the encoder and decoder of a case, at 25 latent frames per second."""
    c = settings.channels
    if settings.case in ("DAC", "spectral"):
        dac = DACConfig(strides=STRIDES, encoder_channels=c, hidden_channels=16 * c, decoder_channels=24 * c)
        kind: Any = "dac" if settings.case == "DAC" else "spectral"
        codec = Codec(CodecConfig(kind=kind, dac=dac, latent_channels=32))
        both = nn.ModuleList([codec.encoder, codec.decoder])
        return Model(both, codec.encoder, codec.decoder)
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

    if settings.case == BASELINE:
        net: Any = DacModel(
            DacConfig(
                encoder_hidden_size=c,
                downsampling_ratios=list(STRIDES),
                upsampling_ratios=list(reversed(STRIDES)),
                decoder_hidden_size=24 * c,
                hidden_size=16 * c,
                sampling_rate=48_000,
            )
        )
        return Model(nn.ModuleList([net.encoder, net.decoder]), net.encoder, net.decoder)
    net = EncodecModel(
        EncodecConfig(
            sampling_rate=48_000,
            upsampling_ratios=list(reversed(STRIDES)),
            num_filters=settings.encodec_channels,
            hidden_size=16 * c,
            use_causal_conv=False,
            norm_type="weight_norm",
        )
    )
    return Model(nn.ModuleList([net.encoder, net.decoder]), net.encoder, net.decoder)


def measure(settings: CodecBenchConfig) -> dict[str, Any]:
    """Return seconds of CPU time per second of audio and MiB above the loaded model, by phase of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(settings)
    model.net.eval()
    audio = torch.rand(1, 1, round(48_000 * settings.seconds) // 1920 * 1920) - 0.5
    seconds = audio.shape[-1] / 48_000
    reset_peak()
    loaded = peak_mib()
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in model.net.parameters())}

    def add(phase: str, call: Callable[[], Any]) -> None:
        results[phase] = cpu_seconds(call, settings.repeats, warm_ups=1) / seconds
        results[f"{phase}_mib"] = peak_mib() - loaded

    with torch.no_grad():
        features = model.encode(audio)
        if model.decode(features).shape[-1] != audio.shape[-1]:
            raise ValueError(f"{settings.case} returned {model.decode(features).shape[-1]} samples")
        add("encode", lambda: model.encode(audio))
        add("decode", lambda: model.decode(features))
    model.net.train()

    def step() -> None:
        (model.decode(model.encode(audio)) - audio).abs().mean().backward()
        model.net.zero_grad(set_to_none=True)

    add("train", step)
    return results


def build_table(results: dict[str, dict[str, Any]]) -> Table:
    """Return a table of the numbers and their ratios to the baseline."""
    baseline = results[BASELINE]
    table = Table("model", "parameters", *(f"{p} s/s" for p in PHASES), *(f"{p} MiB" for p in PHASES))
    for case, numbers in results.items():
        times = [f"{numbers[p]:.3f} ({numbers[p] / baseline[p]:.2f}x)" for p in PHASES]
        memory = [f"{numbers[f'{p}_mib']:,.0f}" for p in PHASES]
        table.add_row(case, f"{numbers['parameters'] / 1e6:.1f} M", *times, *memory)
    return table


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(CodecBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {k: v for k, v in config.to_dict(settings).items() if k not in ("case", "rounds", "out")}
    record = BenchmarkRecord.open(settings.out, fixed, ("transformers",))
    results = run_interleaved("benchmarks.codec", list(CASES), argv, settings.rounds, record)
    console = Console(highlight=False)
    console.print(build_table(results))
    console.print(f"ratios to {BASELINE}; differences below 10 % are noise: {settings.out}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
