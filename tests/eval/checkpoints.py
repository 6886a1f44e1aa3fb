"""Tiny random networks on disk, in the layouts that the field's own files have."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

WORDS = "a the red blue green circle square moves left right hit loud soft film of".split()  # noqa: SIM905


def tokenizer() -> Any:
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<start>", "<unk>", *WORDS, "<end>"])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("<start>", 1), ("<end>", vocabulary["<end>"])]
    made.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=marks)
    return made


def save_tokenizer(folder: Path, longest: int) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(),
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=longest,
    ).save_pretrained(folder)


TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def save_clip(folder: Path, *, dim: int = 16, longest: int = 12) -> Path:
    pytest.importorskip("transformers")
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    end = len(WORDS) + 3
    text = {**TOWER, "vocab_size": end + 1, "max_position_embeddings": longest, "eos_token_id": end}
    config = CLIPConfig(
        text_config={**text, "bos_token_id": 1, "pad_token_id": 0},
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
        projection_dim=dim,
    )
    torch.manual_seed(1)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    save_tokenizer(folder, longest)
    return folder


def save_dino(folder: Path) -> Path:
    pytest.importorskip("transformers")
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    torch.manual_seed(2)
    ViTModel(ViTConfig(**TOWER, image_size=32, patch_size=8)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_clap(folder: Path, *, longest: int = 12) -> Path:
    pytest.importorskip("transformers")
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    text = {**TOWER, "vocab_size": len(WORDS) + 4, "max_position_embeddings": longest + 2, "pad_token_id": 0}
    sound = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "window_size": 4,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "num_classes": 4,
        "enable_fusion": False,
    }
    config = ClapConfig(text_config=text, audio_config=sound, projection_dim=16)
    torch.manual_seed(3)
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=8000,
        hop_length=80,
        max_length_s=1,
        fft_window_size=256,
        frequency_max=4000,
        truncation="rand_trunc",
    ).save_pretrained(folder)
    save_tokenizer(folder, longest)
    return folder


def save_script(module: nn.Module, path: Path) -> Path:
    """As TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and what the field's files are
        torch.jit.script(module.eval()).save(str(path))
    return path


def save_contract(folder: Path, contract: dict) -> None:
    (folder / "contract.json").write_text(json.dumps(contract))


class VideoProgram(nn.Module):
    """Mean colour of a clip."""

    def forward(self, x_NTCHW: torch.Tensor) -> torch.Tensor:
        return x_NTCHW.mean((1, 3, 4))


class ImageProgram(nn.Module):
    """Mean colour of a picture."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.mean((2, 3))


class TextProgram(nn.Module):
    """How often a text says red, green and blue."""

    def forward(self, ids_NL: torch.Tensor) -> torch.Tensor:
        return torch.stack([(ids_NL == word).sum(1) for word in (5, 7, 6)], 1).float()


class SoundProgram(nn.Module):
    """A loud sound is red, a soft one is blue."""

    def forward(self, x_NS: torch.Tensor) -> torch.Tensor:
        loud = (x_NS.abs().mean(1) > 0.2).float()
        return torch.stack([loud, torch.zeros_like(loud), 1 - loud], 1)


class SyncProgram(nn.Module):
    """Where is the brightest frame, where is the loudest sample? 10 frames per second, 1000 samples."""

    def forward(self, x_NTCHW: torch.Tensor, x_NS: torch.Tensor) -> torch.Tensor:
        seen = x_NTCHW.mean((2, 3, 4)).argmax(1) / 10
        heard = x_NS.abs().argmax(1) / 1000
        offsets = torch.linspace(-0.6, 0.6, 7)
        return -200 * (offsets[None] - (heard - seen)[:, None]) ** 2


class Detector(nn.Module):
    """One box around what is bright, none in the dark, and one that is not likely."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        at = (x_NCHW[0].mean(0) > 100).nonzero()
        rows = torch.tensor([[0.0, 0.0, 5.0, 5.0, 0.1]])
        if len(at) > 0:
            low, high = at.min(0)[0], at.max(0)[0] + 1
            box = torch.stack([low[1], low[0], high[1], high[0]]).float()
            rows = torch.cat([rows, torch.cat([box, torch.tensor([0.9])])[None]])
        return rows


PIXELS = {"size": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}


def save_joint_towers(folder: Path) -> Path:
    """Film, text and sound in the space of three colours."""
    folder.mkdir(exist_ok=True)
    save_script(VideoProgram(), folder / "video.pt")
    save_script(TextProgram(), folder / "text.pt")
    save_script(SoundProgram(), folder / "sound.pt")
    tokenizer().save(str(folder / "tokenizer.json"))
    save_contract(
        folder,
        {
            "model": "Colours",
            "video": {"program": "video.pt", "frames": 4, **PIXELS},
            "text": {"program": "text.pt", "context": 6},
            "sound": {"program": "sound.pt", "rate": 1000, "seconds": 0.5, "clips": 2},
        },
    )
    return folder


def save_sync(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    save_script(SyncProgram(), folder / "sync.pt")
    offsets = [round(-0.6 + 0.2 * i, 1) for i in range(7)]
    window = {"fps": 10, "rate": 1000, "seconds": 1.0, "offsets_s": offsets}
    save_contract(folder, {"model": "Flash and bang", "sync": {"program": "sync.pt", **window, **PIXELS}})
    return folder


def save_face(folder: Path, *, detector: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    save_script(ImageProgram(), folder / "image.pt")
    save_script(Detector(), folder / "detector.pt")
    contract = {"model": "Bright", "image": {"program": "image.pt", **PIXELS}}
    if detector:
        contract["detector"] = {"program": "detector.pt", "least_score": 0.5}
    save_contract(folder, contract)
    return folder


class I3dLike(nn.Module):
    """The signature of i3d_torchscript.pt; the 400 features begin with the mean colours of the frames."""

    def __init__(self, dim: int = 400) -> None:
        super().__init__()
        self.dim = dim

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        assert return_features
        assert not rescale
        assert not resize
        assert x.shape[3] == 224
        assert x.shape[4] == 224
        rows = x.mean((3, 4)).flatten(1)
        return torch.nn.functional.pad(rows, (0, self.dim - rows.shape[1]))


class InceptionLike(nn.Module):
    """clean-fid calls `layers` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 2048))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Middle(nn.Module):
    """The mean of two frames."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a + b) / 2


class Brightness(nn.Module):
    """0..100."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 100 * x.mean((1, 2, 3))[:, None]


def save_torchvision(name: str, path: Path, seed: int = 0) -> Path:
    """Random features; the large layers after them, which nobody looks at, are one number each."""
    import torchvision

    torch.manual_seed(seed)
    net = getattr(torchvision.models, name)(weights=None, num_classes=1000)
    state = net.state_dict()
    for key in state:
        if key.startswith("classifier"):
            state[key] = torch.zeros(1).expand(state[key].shape)
    torch.save(state, path)
    return path
