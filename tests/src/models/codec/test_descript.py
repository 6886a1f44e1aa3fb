"""The published layout of DAC: names are read, and the values are those of an independent implementation."""

from pathlib import Path

import pytest
import torch

from src.core.errors import UserError
from src.models.codec.config import CodecConfig, DACConfig
from src.models.codec.descript import from_descript, is_descript
from src.models.codec.model import Codec
from src.parallel.checkpoint_io import CheckpointError
from src.training.config import TrainConfig
from src.training.init_weights import InitFrom, load_weights
from src.training.modules.codec import CodecModule
from src.training.modules.codec_config import CodecLossConfig

STRIDES = (2, 4, 6)
SHAPE = CodecConfig(
    latent_channels=4,
    dac=DACConfig(strides=STRIDES, encoder_channels=4, hidden_channels=12, decoder_channels=24),
)


def published_names(transformers_name: str) -> str:
    """Return the published name of a tensor of transformers' DacModel, written down from both layouts."""
    half, *rest = transformers_name.split(".")
    out = [half, "block" if half == "encoder" else "model"]
    last = len(STRIDES) + 1
    if rest[0] == "block":
        out += [str(int(rest[1]) + 1), "block"]
        rest = rest[2:]
        encoder = {"res_unit1": "0", "res_unit2": "1", "res_unit3": "2", "snake1": "3", "conv1": "4"}
        decoder = {"snake1": "0", "conv_t1": "1", "res_unit1": "2", "res_unit2": "3", "res_unit3": "4"}
        names = encoder if half == "encoder" else decoder
        out.append(names[rest[0]])
        if rest[0].startswith("res_unit"):
            out += ["block", {"snake1": "0", "conv1": "1", "snake2": "2", "conv2": "3"}[rest[1]]]
            rest = rest[1:]
    else:
        out.append({"conv1": "0", "snake1": str(last), "conv2": str(last + 1)}[rest[0]])
    return ".".join([*out, *rest[1:]])


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.DacModel(
        transformers.DacConfig(
            encoder_hidden_size=4,
            downsampling_ratios=list(STRIDES),
            upsampling_ratios=list(reversed(STRIDES)),
            decoder_hidden_size=24,
            hidden_size=12,
            n_codebooks=1,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a DacModel under published names, with weight normalization."""
    found: dict[str, torch.Tensor] = {"quantizer.quantizers.0.codebook.weight": torch.zeros(4, 2)}
    for name, value in model.state_dict().items():
        if not name.startswith(("encoder.", "decoder.")):
            continue
        ours = published_names(name)
        if ours.endswith(".weight"):
            found[f"{ours}_g"] = torch.norm_except_dim(value, 2, 0)
            found[f"{ours}_v"] = 3.0 * value
        else:
            found[ours] = value
    return found


def test_values_are_those_of_transformers(reference: torch.nn.Module) -> None:
    codec = Codec(SHAPE).eval()
    weights = from_descript(published(reference), {f"codec.{k}": v for k, v in codec.state_dict().items()})
    halves = {k.removeprefix("codec."): v for k, v in weights.items() if k.startswith("codec.")}
    missing, unexpected = codec.load_state_dict(halves, strict=False)
    assert not unexpected
    assert all(name.startswith("bottleneck.") for name in missing)
    audio, latent = torch.randn(1, 1, 48 * 7), torch.randn(1, 12, 7)
    with torch.no_grad():
        torch.testing.assert_close(codec.encoder(audio), reference.encoder(audio), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(codec.decoder(latent), reference.decoder(latent), atol=1e-5, rtol=1e-4)


def module_of(codec: CodecConfig) -> CodecModule:
    module = CodecModule(codec, CodecLossConfig(gan_weight=0.0), TrainConfig(ema_decay=0.9))
    module.configure_model()
    return module


def test_a_checkpoint_initializes_a_run_as_far_as_shapes_agree(
    reference: torch.nn.Module, tmp_path: Path
) -> None:
    weights = published(reference)
    new = {
        k.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): v
        for k, v in weights.items()
    }
    for number, tensors in enumerate((weights, new)):
        path = tmp_path / f"{number}.pth"
        torch.save({"state_dict": tensors, "metadata": {"kwargs": {"sample_rate": 44100}}}, path)
        other = DACConfig(strides=(2, 4, 8), encoder_channels=4, hidden_channels=12, decoder_channels=24)
        module = module_of(CodecConfig(latent_channels=4, dac=other))
        before = {k: v.clone() for k, v in module.state_dict().items()}
        report = load_weights(module, InitFrom(path, "raw", ("codec.", "latent_")))
        after = module.state_dict()
        assert torch.equal(after["codec.encoder.block.0.weight_v"], weights["encoder.block.0.weight_v"])
        assert torch.equal(after["ema.codec.decoder.model.0.bias"], weights["decoder.model.0.bias"])
        kernel = "codec.encoder.block.3.block.4.weight_v"  # of stride 8, not 6
        assert torch.equal(after[kernel], before[kernel])
        assert kernel in report.new
        assert f"{kernel} [32, 16, 12] for [32, 16, 16]" in report.dropped
        assert "quantizer.quantizers.0.codebook.weight" in report.dropped
        assert {name for name in report.new if not name.startswith(("codec.bottleneck.", "latent_"))} == {
            kernel,
            "codec.decoder.model.1.block.1.weight_v",
        }


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert not is_descript({"tae.encoder.weight": torch.zeros(1)})
    torch.save({"state_dict": {"other.weight": torch.zeros(1)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors"):
        load_weights(module_of(SHAPE), InitFrom(tmp_path / "a.pth", "raw", ("codec.", "latent_")))
    assert issubclass(CheckpointError, UserError)
