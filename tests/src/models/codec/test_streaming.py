"""Streaming: the values of one pass, in windows of bounded size."""

import subprocess
import sys

import pytest
import torch

from src.models.codec.config import CodecConfig
from src.models.codec.layers import WeightNormConv
from src.models.codec.model import Codec
from src.models.codec.spectral import LayerScale, Linear
from src.models.codec.streaming import cut_windows, decode_stream, encode_stream, reconstruct_stream
from tests.src.models.codec.test_model import KINDS, small


def codec_of(kind: str, **changes: object) -> Codec:
    torch.manual_seed(0)
    codec = Codec(small(kind, **changes)).eval()
    with torch.no_grad():
        for module in codec.modules():  # signals keep their size, so that distant samples count
            if isinstance(module, WeightNormConv):
                module.weight_g.fill_(1.5)
            elif isinstance(module, Linear):
                module.weight.normal_(std=module.in_features**-0.5)
            elif isinstance(module, LayerScale):
                module.gain.fill_(1.0)
    return codec


def pieces(audio: torch.Tensor, sizes: tuple[int, ...]) -> list[torch.Tensor]:
    found, at = [], 0
    while at < audio.shape[-1]:
        size = sizes[len(found) % len(sizes)]
        found.append(audio[..., at : at + size])
        at += size
    return found


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare up to the rounding of float32, which differs with the length of a window."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * (1 + expected.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_samples", [1, 95, 96, 3 * 96 + 1, 60 * 96, 61 * 96 - 5])
@torch.no_grad()
def test_a_stream_equals_one_pass(kind: str, num_samples: int) -> None:
    codec = codec_of(kind, num_channels=2)
    audio = torch.randn(1, 2, num_samples)
    full = codec.encode(audio)
    parts = list(encode_stream(codec, pieces(audio, (7, 500, 96)), window_frames=3))
    assert_equal(torch.cat([p.mean_BCL for p in parts], -1), full.mean_BCL)
    assert_equal(torch.cat([p.std_BCL for p in parts], -1), full.std_BCL)
    latent = full.mode()
    decoded = torch.cat(list(decode_stream(codec, pieces(latent, (1, 5)), window_frames=3)), -1)
    assert_equal(decoded, codec.decode(latent))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_context_is_needed_and_sufficient(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = codec_of(kind)
    audio = torch.randn(1, 1, 60 * 96)
    full = codec.encode(audio).mean_BCL
    context = codec.encoder.context_frames()
    monkeypatch.setattr(codec.encoder, "context_frames", lambda: max(1, context // 2 - 1))
    parts = torch.cat([p.mean_BCL for p in encode_stream(codec, [audio], window_frames=3)], -1)
    assert parts.shape == full.shape
    assert (parts - full).abs().max() > 1e-3 * full.abs().max()
    # samples beyond the context change nothing, those within it do
    changed = audio.clone()
    changed[..., : 30 * 96] += 1.0
    difference = (codec.encode(changed).mean_BCL - full).abs().amax((0, 1))
    assert float(difference[30 + context :].max()) == 0.0
    assert float(difference[:30].min()) > 0.0


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_reconstruction_of_a_stream(kind: str) -> None:
    codec = codec_of(kind)
    audio = torch.randn(2, 1, 50 * 96 + 31).clamp(-1, 1)
    parts = list(reconstruct_stream(codec, pieces(audio, (100, 1000)), window_frames=4))
    assert_equal(torch.cat(parts, -1), codec(audio).audio_BCS)


def test_windows_are_bounded_and_cover_everything_once() -> None:
    signal = torch.arange(1000.0)[None]
    found = list(cut_windows(pieces(signal, (1, 30, 333)), 40, 7))
    assert max(w.data.shape[-1] for w in found) <= 40 + 2 * 7
    kept = [w.data[..., w.left : w.data.shape[-1] - w.right] for w in found]
    assert torch.equal(torch.cat(kept, -1), signal)
    assert all(w.left == 7 for w in found[1:])


PEAK = """
import sys, torch
from benchmarks.cases import peak_mib
from src.core import config
from src.models.codec.model import Codec
from src.models.codec.streaming import reconstruct_stream
from src.runs.config import CodecRunConfig
torch.set_num_threads(1)
codec = Codec(config.load(CodecRunConfig, "configs/codec/tiny.yaml").model).eval()
with torch.inference_mode():
    second = torch.rand(2, 1, 48000) - 0.5
    total = sum(x.shape[-1] for x in reconstruct_stream(codec, (second for _ in range(int(sys.argv[1])))))
assert total == 48000 * int(sys.argv[1])
print(peak_mib())
"""


@pytest.mark.long
def test_ten_minutes_take_the_memory_of_one() -> None:
    """Peak memory of the process, of a stereo signal at the tiny width."""

    def peak(seconds: int) -> float:
        command = [sys.executable, "-c", PEAK, str(seconds)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak(600) <= 1.2 * peak(60)


def test_default_windows_are_longer_than_their_context() -> None:
    for codec in (Codec(CodecConfig(kind="spectral")),):
        assert 0 < codec.encoder.context_frames() < 20
        assert 0 < codec.decoder.context_frames() < 20
