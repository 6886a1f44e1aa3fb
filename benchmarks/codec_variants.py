"""Train encoders and decoders of codecs for equal CPU time, with equal parameters, bottleneck and losses.

`python -m benchmarks.codec_variants [CONFIG.yaml] [key=value ...]`: each variant trains for `seconds` of CPU
time of one thread on the crops of a prepared set, then reconstructs the clips of another one that has stems.
Variants: "spectral", the codec of configs/codec/tiny.yaml; "DAC", the paper's structure; "EncodecModel" and
"DacModel", encoder and decoder of transformers without their quantizers. Widths are chosen for about as many
parameters. An interrupted command resumes with the next variant. Needs `pip install transformers`.
"""

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.autoencoders import run_cases
from eval.alignment.onsets import detect_onsets, match_onsets, merge_close_times
from eval.core.audio import Audio
from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.rng import numpy_generator
from src.losses.audio import mel_distance, si_sdr, stft_distance
from src.models.codec.config import CodecConfig, DACConfig, SpectralConfig
from src.models.codec.model import Codec
from src.streaming.batch import AudioBatch
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.training.config import TrainConfig
from src.training.modules.codec import CodecModule
from src.training.modules.codec_config import CodecLossConfig
from src.training.optim.lr_schedule import learning_rate

VARIANTS = ("spectral", "DAC", "DacModel", "EncodecModel")
STRIDES = (2, 8, 10, 12)
TOLERANCE_S = 0.04
DISTANCES = CodecLossConfig()


@dataclass(frozen=True, kw_only=True)
class CodecVariantsConfig(Config):
    """Data, length and size of the variants."""

    case: str = opt("", f"run one variant in this process; empty: all ({', '.join(VARIANTS)})")
    data: str = opt("datasets/audio_tiny/train", "prepared audio to train on")
    test: str = opt("datasets/audio_tiny_test/val", "prepared audio with stems to reconstruct")
    num_test_clips: int = opt(32, "clips of it", ge=1)
    seconds: float = opt(240.0, "CPU seconds of training of each variant", gt=0)
    latent_channels: int = opt(32, "channels of the latent", ge=1)
    batch_size: int = opt(4, "crops of a step", ge=1)
    crop: int = opt(30_720, "samples of a crop, a multiple of 1920", ge=1920)
    lr: float = opt(2e-3, "peak learning rate of spectral; the others take a quarter of it", gt=0)
    dac_channels: int = opt(14, "channels of the first convolution of DAC and DacModel", ge=1)
    encodec_channels: int = opt(16, "the same of EncodecModel", ge=1)
    losses: CodecLossConfig = opt(CodecLossConfig(gan_weight=0.0), "losses of all variants")
    rounds: int = opt(1, "processes per variant", ge=1)
    out: str = opt("runs/codec_variants.json", "results file")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case and self.case not in VARIANTS:
            raise ValueError(f"case must be one of {', '.join(VARIANTS)}, got {self.case!r}")


def build(settings: CodecVariantsConfig) -> Codec:
    """Return the codec of a variant; all have the bottleneck of the spectral one."""
    c = settings.dac_channels
    spectral = SpectralConfig(
        frame_channels=144, hidden_channels=256, sample_channels=64, tones_per_octave=24
    )
    if settings.case != "spectral":
        spectral = replace(spectral, hidden_channels=16 * c)
    codec = Codec(CodecConfig(kind="spectral", latent_channels=settings.latent_channels, spectral=spectral))
    if settings.case == "DAC":
        dac = DACConfig(strides=STRIDES, encoder_channels=c, hidden_channels=16 * c, decoder_channels=24 * c)
        ours = Codec(CodecConfig(dac=dac, latent_channels=settings.latent_channels))
        codec.encoder, codec.decoder = ours.encoder, ours.decoder
    elif settings.case != "spectral":
        encoder, decoder = _transformers_halves(settings)
        codec.encoder, codec.decoder = cast(Any, encoder), cast(Any, decoder)
    return codec


def _transformers_halves(settings: CodecVariantsConfig) -> tuple[nn.Module, nn.Module]:
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

    c, up = settings.dac_channels, list(reversed(STRIDES))
    net: Any
    if settings.case == "DacModel":
        sizes = {"encoder_hidden_size": c, "decoder_hidden_size": 24 * c, "hidden_size": 16 * c}
        strides: dict[str, Any] = {"downsampling_ratios": list(STRIDES), "upsampling_ratios": up}
        net = DacModel(DacConfig(**sizes, **strides, sampling_rate=48_000))
    else:
        sizes = {"num_filters": settings.encodec_channels, "hidden_size": 16 * c}
        form: dict[str, Any] = {"use_causal_conv": False, "norm_type": "weight_norm"}
        net = EncodecModel(EncodecConfig(sampling_rate=48_000, upsampling_ratios=up, **sizes, **form))
    return net.encoder, net.decoder


def train(settings: CodecVariantsConfig, codec: Codec) -> int:
    """Train for the CPU time of the settings, the learning rate along a cosine; return the steps."""
    peak = settings.lr if settings.case == "spectral" else settings.lr / 4
    options = TrainConfig(optimizer="muon", lr=peak, weight_decay=0.0, precision="bf16")
    module = CodecModule(codec.config, settings.losses, options)
    module.codec = codec
    (optimizer,) = module.configure_optimizers()
    clips = [record.audio_CS for record in _records(settings.data, 0)]
    started, step = time.process_time(), 0
    while (spent := time.process_time() - started) < settings.seconds:
        fraction = round(1000 * spent / settings.seconds)
        lr = learning_rate(fraction, schedule="cosine", peak=peak, warmup=20, total=1000, final=0.0)
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch = _draw_batch(clips, settings, step)
        terms = module._terms(module._reconstruct(batch, batch.audio()), batch.audio(), adversarial=False)
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        module.advance_step()
        step += 1
    return step


def _draw_batch(clips: list[Tensor], settings: CodecVariantsConfig, step: int) -> AudioBatch:
    random = numpy_generator(0, "codec_variants", step)
    crops = []
    for index in random.integers(len(clips), size=settings.batch_size):
        start = int(random.integers(clips[index].shape[1] - settings.crop + 1))
        crops.append(clips[index][:, start : start + settings.crop])
    size = settings.batch_size
    names, real = [""] * size, torch.ones(size, dtype=torch.bool)
    return AudioBatch(names, list(range(size)), "", "", step, names, real, torch.stack(crops), 48_000)


def _records(path: str, num: int) -> list[AudioRecord]:
    found = []
    for reader in Dataset(Path(path)).readers.values():
        found += [reader[i] for i in range(len(reader))]
    records = [record for record in found if isinstance(record, AudioRecord)]
    if not records:
        raise UserError(f"{path}: holds no audio; prepare it with data.prepare source=audio")
    return records[: num or None]


@torch.no_grad()
def score(settings: CodecVariantsConfig, codec: Codec) -> dict[str, float]:
    """Return distances of clips, SI-SDR of their impacts alone, and F1 of onsets against the impacts."""
    codec.eval()
    distances, ratios, counts = [], [], np.zeros(2)
    records = [r for r in _records(settings.test, 0) if "impacts" in r.stems][: settings.num_test_clips]
    if not records:
        raise UserError(f"test={settings.test}: no clip has a stem of impacts; prepare it with stems=true")
    for record in records:
        clip, impacts = (each.float()[None] / 32768 for each in (record.audio_CS, record.stems["impacts"]))
        x, y = codec(clip).audio_BCS[0], clip[0]
        mel = mel_distance(x, y, 48_000, DISTANCES.mel_windows, DISTANCES.mel_bands)
        distances.append([float(mel), float(stft_distance(x, y, DISTANCES.stft_windows))])
        ratios += si_sdr(codec(impacts).audio_BCS[0], impacts[0]).tolist()
        times = merge_close_times(np.sort([impact["time_s"] for impact in record.facts["impacts"]]))
        onsets = detect_onsets(Audio(x.numpy(), 48_000))
        counts += 2 * len(match_onsets(onsets, times, TOLERANCE_S)), len(onsets) + len(times)
    mel_mean, stft_mean = np.mean(distances, 0)
    return {
        "si_sdr_impacts": float(np.nanmean(ratios)),
        "mel": float(mel_mean),
        "stft": float(stft_mean),
        "onset_f1": float(counts[0] / counts[1]),
    }


def measure(settings: CodecVariantsConfig) -> dict[str, Any]:
    """Train and score one variant."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    codec = build(settings)
    steps = train(settings, codec)
    return {
        "parameters": sum(p.numel() for p in codec.parameters()),
        "steps": steps,
        **score(settings, codec),
    }


def build_table(results: dict[str, dict[str, Any]], seconds: float) -> Table:
    """Return a table of the variants."""
    table = Table("variant", "parameters", "steps", "SI-SDR of impacts, dB", "mel", "STFT", "onset F1")
    for case, n in results.items():
        numbers = (
            f"{n['si_sdr_impacts']:.1f}",
            f"{n['mel']:.2f}",
            f"{n['stft']:.2f}",
            f"{n['onset_f1']:.3f}",
        )
        table.add_row(case, f"{n['parameters'] / 1e6:.1f} M", str(n["steps"]), *numbers)
    table.caption = f"{seconds:g} CPU seconds of training each"
    return table


def main(argv: list[str]) -> None:
    """Print one variant as a line of JSON, or all of them as a table and a file."""
    settings = config.from_command_line(CodecVariantsConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    results = run_cases("benchmarks.codec_variants", VARIANTS, settings, argv, "transformers")
    Console(highlight=False).print(build_table(results, settings.seconds))


if __name__ == "__main__":
    sys.exit(cli.run(main))
