"""Compare the codec with transformers' DacModel and EncodecModel at equal width, rate, audio and dtype.

`python -m benchmarks.codec` measures encoding, decoding and a training step (L1) in CPU time of one thread
per second of audio (below 1: faster than real time), and peak memory above the loaded model. Quantizers are
left out: encoders and decoders run directly. "DAC" is the paper's structure at the width given, "small" the
codec of configs/codec/small.yaml. EnCodec's channels are chosen for about as many parameters. Needs
`pip install transformers`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.autoencoders import Autoencoder, build_table, measure_phases, print_table, run_cases
from src.core import cli, config
from src.core.fields import Config, opt
from src.models.codec.config import CodecConfig, DACConfig
from src.models.codec.model import Codec
from src.runs.config import CodecRunConfig

BASELINE = "DacModel"
CASES = ("DAC", BASELINE, "EncodecModel", "small")
SMALL = Path(__file__).resolve().parents[1] / "configs" / "codec" / "small.yaml"
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


def build(settings: CodecBenchConfig) -> Autoencoder:
    """Return the encoder and decoder of a case, at 25 latent frames per second."""
    c = settings.channels
    if settings.case in ("DAC", "small"):
        dac = DACConfig(strides=STRIDES, encoder_channels=c, hidden_channels=16 * c, decoder_channels=24 * c)
        codec_config = CodecConfig(dac=dac, latent_channels=32)
        if settings.case == "small":
            codec_config = config.load(CodecRunConfig, SMALL).model
        codec = Codec(codec_config)
        both = nn.ModuleList([codec.encoder, codec.decoder])
        return Autoencoder(both, codec.encoder, codec.decoder)
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
        return Autoencoder(nn.ModuleList([net.encoder, net.decoder]), net.encoder, net.decoder)
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
    return Autoencoder(nn.ModuleList([net.encoder, net.decoder]), net.encoder, net.decoder)


def measure(settings: CodecBenchConfig) -> dict[str, Any]:
    """Return seconds of CPU time per second of audio and MiB above the loaded model, by phase of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    audio = torch.rand(1, 1, round(48_000 * settings.seconds) // 1920 * 1920) - 0.5
    seconds = audio.shape[-1] / 48_000
    model = build(settings)
    return measure_phases(settings.case, model, audio, repeats=settings.repeats, warm_ups=1, size=seconds)


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(CodecBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    results = run_cases("benchmarks.codec", CASES, settings, argv, "transformers")
    rate = 1 / (2 * results["small"]["decode"])
    note = f"the small codec decodes 48 kHz stereo {rate:.0f} times faster than real time"
    print_table(build_table(results, BASELINE, "s/s", 3), BASELINE, settings.out, note)


if __name__ == "__main__":
    sys.exit(cli.run(main))
