"""Frozen encoders, loaded from tiny random checkpoints, and the trained projections."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from src.models.text.config import FrozenTextConfig
from src.models.text.frozen_encoder import FrozenEncoder, quoted_text
from src.models.text.projection import ProjectedText, drop_encoders, without_text

transformers = pytest.importorskip("transformers")
DIMS = {"byt5": 12, "metaclip": 16, "ul2": 20}


def write_checkpoints(root: Path) -> dict[str, FrozenTextConfig]:
    """Random T5, ByT5 and CLIP text towers of a few kilobytes, saved by save_pretrained."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = ["<pad>", "</s>", "<unk>", "a", "red", "star", "moves", "says", "sign", "fps", "hello"]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    t5 = {"d_ff": 24, "d_kv": 4, "num_layers": 1, "num_heads": 2}
    makers = {
        "ul2": (transformers.T5EncoderModel, transformers.T5Config(vocab_size=16, d_model=20, **t5), fast),
        "byt5": (
            transformers.T5EncoderModel,
            transformers.T5Config(vocab_size=384, d_model=12, **t5),
            transformers.ByT5Tokenizer(),
        ),
        "metaclip": (
            transformers.CLIPTextModel,
            transformers.CLIPTextConfig(
                vocab_size=16, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                num_attention_heads=2, max_position_embeddings=12, pad_token_id=0, eos_token_id=1,
            ),
            fast,
        ),
    }  # fmt: skip
    configs = {}
    for name, (kind, config, words_of) in makers.items():
        kind(config).save_pretrained(root / name)
        words_of.save_pretrained(root / name)
        configs[name] = FrozenTextConfig(
            kind="clip" if name == "metaclip" else "t5",
            path=str(root / name),
            dim=DIMS[name],
            max_tokens=12,
            quoted=name == "byt5",
        )
    return configs


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FrozenTextConfig]:
    return write_checkpoints(tmp_path_factory.mktemp("encoders"))


def test_quoted_text() -> None:
    assert quoted_text('a sign says "hello" and “good bye”, it\'s late') == "hello good bye"
    assert quoted_text("nothing") == ""


@pytest.mark.parametrize("name", ["ul2", "byt5", "metaclip"])
def test_encoding_is_independent_of_the_batch(configs: dict[str, FrozenTextConfig], name: str) -> None:
    encoder = FrozenEncoder(name, configs[name])
    texts = ['a red star says "hello"', 'a sign says "a"', "a star moves"]
    tokens, mask = encoder.encode(texts)
    assert tokens.shape == (*mask.shape, DIMS[name])
    assert not any(p.requires_grad for p in encoder.model.parameters())
    for i, text in enumerate(texts):
        one, real = encoder.encode([text])
        n = int(mask[i].sum())
        assert int(real.sum()) == n
        torch.testing.assert_close(tokens[i, :n], one[0, :n], rtol=1e-4, atol=1e-5)
        assert not tokens[i, n:].any()
    if name == "byt5":
        assert mask.sum(1).tolist() == [6, 2, 0]  # bytes and the end token; no tokens without quotes
    else:
        assert mask.sum(1).min() >= 3
    _, nothing = encoder.encode(["", ""])
    assert len(nothing) == 2
    long, _ = encoder.encode(['"' + "star " * 40 + '"'])
    assert long.shape[1] == 12


def test_fingerprint_depends_on_files_and_config(configs: dict, tmp_path: Path) -> None:
    first = FrozenEncoder("ul2", configs["ul2"]).fingerprint()
    assert FrozenEncoder("other", configs["ul2"]).fingerprint() == first
    shorter = dataclasses.replace(configs["ul2"], max_tokens=5)
    assert FrozenEncoder("ul2", shorter).fingerprint() != first
    model = transformers.T5EncoderModel.from_pretrained(configs["ul2"].path)
    with torch.no_grad():
        model.shared.weight += 1
    copy = Path(shutil.copytree(configs["ul2"].path, tmp_path / "copy"))
    moved = dataclasses.replace(configs["ul2"], path=str(copy))
    assert FrozenEncoder("ul2", moved).fingerprint() == first
    model.save_pretrained(copy)
    assert FrozenEncoder("ul2", moved).fingerprint() != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere"}, r"encoders\.ul2\.path=nowhere: not a checkpoint"),
        ({"dim": 19}, r"encoders\.ul2\.dim must be 20"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
    ],
)
def test_errors_name_the_key(configs: dict, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrozenEncoder("ul2", dataclasses.replace(configs["ul2"], **change))


def test_errors_for_too_many_tokens_and_a_broken_file(configs: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"encoders\.m\.max_tokens must be at most 12, got 13"):
        FrozenEncoder("m", dataclasses.replace(configs["metaclip"], max_tokens=13))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ValueError, match="cannot be loaded"):
        FrozenEncoder("m", FrozenTextConfig(path=str(tmp_path)))


def test_missing_package_names_the_extra(configs: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="extra `text`"):
        FrozenEncoder("ul2", configs["ul2"])


def make_embeddings(batch: int = 3) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    lengths = {"ul2": 5, "byt5": 2, "metaclip": 4}
    return {
        n: (torch.randn(batch, length, DIMS[n]), torch.ones(batch, length, dtype=torch.bool))
        for n, length in lengths.items()
    }


def test_encoders_are_projected_normalized_and_concatenated(configs: dict) -> None:
    net, found = ProjectedText(configs, 24), make_embeddings()
    context = net.encode(found)
    assert context.tokens_BLD.shape == (3, 1 + 2 + 4 + 5, 24)  # null, then by name
    expected = net.norms["metaclip"](found["metaclip"][0] @ net.projections["metaclip"].weight.T)
    torch.testing.assert_close(context.tokens_BLD[:, 3:7], expected)
    torch.testing.assert_close(expected.mean(-1), torch.zeros(3, 4), atol=1e-5, rtol=0)
    context.tokens_BLD.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    with pytest.raises(ValueError, match="no embeddings of encoder ul2; there are: byt5"):
        net.encode({"byt5": found["byt5"], "metaclip": found["metaclip"]})


def test_drop_encoders(configs: dict) -> None:
    found = make_embeddings(3)
    uniforms = {
        "": torch.tensor([0.05, 0.5, 0.5]),
        "ul2": torch.tensor([0.9, 0.1, 0.9]),
        "byt5": torch.tensor([0.9, 0.9, 0.9]),
        "metaclip": torch.tensor([0.9, 0.9, 0.2]),
    }
    dropped = drop_encoders(found, uniforms, each=0.25, all_=0.1)
    rows = {name: mask.any(1).tolist() for name, (_, mask) in dropped.items()}
    assert rows == {
        "ul2": [False, False, True],
        "byt5": [False, True, True],
        "metaclip": [False, True, False],
    }
    net = ProjectedText(configs, 24)
    context = net.encode(dropped)
    assert context.mask_BL.sum(1).tolist() == [1, 7, 8]
    assert net.encode(without_text(found)).mask_BL.sum(1).tolist() == [1, 1, 1]
