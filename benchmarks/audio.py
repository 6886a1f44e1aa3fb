"""Compare the audio transformer with diffusers' StableAudioDiTModel at equal dimensions.

`python -m benchmarks.audio` measures an evaluation and a training step in CPU time of one thread, and peak
memory above the loaded model. Both models have the same width, heads of 64, layers, SwiGLUs, cross-attention
to a text in each layer and rotary positions. Stable Audio puts one token for the flow time before the audio,
ours modulates every layer by it. Needs `pip install diffusers`.

Shapes: B batch, C latent channels, N latent frames, L text tokens, D width.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks.autoencoders import print_table, run_cases
from benchmarks.cases import cpu_seconds, peak_mib, reset_peak
from src.core import cli, config
from src.core.fields import Config, opt
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

BASELINE = "StableAudioDiTModel"
CASES = ("ours", BASELINE)
PHASES = ("evaluate", "train")
HEAD_DIM, TEXT_TOKENS = 64, 64


@dataclass(frozen=True, kw_only=True)
class AudioBenchConfig(Config):
    """Dimensions and repetitions; the defaults are those of half a minute at a tenth of the paper's width."""

    case: str = opt("", f"run one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    width: int = opt(512, "hidden size, a multiple of 64", ge=64)
    layers: int = opt(8, "layers", ge=1)
    latents: int = opt(750, "latent frames: 30 s at 25 Hz", ge=1)
    channels: int = opt(64, "channels of the latents", ge=1)
    batch_size: int = opt(1, "samples of a step", ge=1)
    repeats: int = opt(3, "repetitions per process, of which the minimum counts", ge=1)
    rounds: int = opt(2, "processes per case", ge=1)
    out: str = opt("runs/bench_audio.json", "results file")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case and self.case not in CASES:
            raise ValueError(f"case must be one of {', '.join(CASES)}, got {self.case!r}")
        if self.width % HEAD_DIM:
            raise ValueError(f"width must be a multiple of {HEAD_DIM}, got {self.width}")


@dataclass(frozen=True)
class Case:
    """A network and its evaluation: latents [B, C, N], times [B], text [B, L, D] -> [B, C, N]."""

    net: nn.Module
    evaluate: Callable[[Tensor, Tensor, Tensor], Tensor]


def build(settings: AudioBenchConfig) -> Case:
    """Return the network of a case."""
    s = settings
    if s.case == "ours":
        ours = MediaTransformer(
            TransformerConfig(
                hidden_size=s.width,
                depth=s.layers,
                num_heads=s.width // HEAD_DIM,
                ffn_dim=4 * s.width,
                patch=(1, 1, 1),
                max_positions=(s.latents, 1, 1),
                positions="rotary",
                latent_channels=s.channels,
                context_dim=s.width,
            )
        )
        return Case(ours, lambda x, t, text: ours(x[..., None, None], t, text)[..., 0, 0])
    from diffusers import StableAudioDiTModel
    from diffusers.models.embeddings import get_1d_rotary_pos_embed

    theirs = StableAudioDiTModel(
        sample_size=s.latents,
        in_channels=s.channels,
        out_channels=s.channels,
        num_layers=s.layers,
        attention_head_dim=HEAD_DIM,
        num_attention_heads=s.width // HEAD_DIM,
        num_key_value_attention_heads=s.width // HEAD_DIM,
        cross_attention_dim=s.width,
        cross_attention_input_dim=s.width,
        global_states_input_dim=s.width,
    )
    rotary = get_1d_rotary_pos_embed(
        HEAD_DIM // 2, s.latents + 1, use_real=True, repeat_interleave_real=False
    )

    def evaluate(x_BCN: Tensor, t_B: Tensor, text_BLD: Tensor) -> Tensor:
        out: Tensor = theirs(
            x_BCN, t_B, encoder_hidden_states=text_BLD, global_hidden_states=text_BLD[:, :1],
            rotary_embedding=rotary, return_dict=False,
        )[0]  # fmt: skip
        return out

    return Case(theirs, evaluate)


def measure(settings: AudioBenchConfig) -> dict[str, Any]:
    """Return parameters, CPU seconds and MiB above the loaded model, by phase of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    s, case = settings, build(settings)
    x = torch.randn(s.batch_size, s.channels, s.latents)
    t, text = torch.rand(s.batch_size), torch.randn(s.batch_size, TEXT_TOKENS, s.width)
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in case.net.parameters())}
    reset_peak()
    loaded = peak_mib()

    def step() -> None:
        case.evaluate(x, t, text).square().mean().backward()
        case.net.zero_grad(set_to_none=True)

    with torch.no_grad():
        shape = tuple(case.evaluate(x, t, text).shape)
        if shape != tuple(x.shape):
            raise ValueError(f"{s.case} returned shape {shape}, expected {tuple(x.shape)}")
        results["evaluate"] = cpu_seconds(lambda: case.evaluate(x, t, text), s.repeats, 1)
        results["evaluate_mib"] = peak_mib() - loaded
    results["train"] = cpu_seconds(step, s.repeats, 1)
    results["train_mib"] = peak_mib() - loaded
    return results


def build_table(results: dict[str, dict[str, Any]]) -> Table:
    """Return a table of the numbers and their ratios to the baseline."""
    reference = results[BASELINE]
    table = Table("model", "parameters", *(f"{p} s" for p in PHASES), *(f"{p} MiB" for p in PHASES))
    for case, numbers in results.items():
        cells = [f"{numbers[p]:.3f} ({numbers[p] / reference[p]:.2f}x)" for p in PHASES]
        cells += [f"{numbers[f'{p}_mib']:,.0f}" for p in PHASES]
        table.add_row(case, f"{numbers['parameters'] / 1e6:.1f} M", *cells)
    return table


def main(argv: list[str]) -> None:
    """Print one case as a line of JSON, or both as a table and a file."""
    settings = config.from_command_line(AudioBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    results = run_cases("benchmarks.audio", CASES, settings, argv, "diffusers")
    print_table(build_table(results), BASELINE, settings.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
