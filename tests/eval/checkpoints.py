"""Tiny random networks on disk, in the layouts that the field's own files have."""

import json
import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

WORDS = "a the red blue green circle square moves left right hit loud soft film of".split()  # noqa: SIM905


def tokenizer() -> Tokenizer:
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
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    torch.manual_seed(2)
    ViTModel(ViTConfig(**TOWER, image_size=32, patch_size=8)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_clap(folder: Path, *, longest: int = 12) -> Path:
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
