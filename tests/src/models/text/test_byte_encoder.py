"""The byte encoder: tokens, word order, padding."""

import pytest
import torch

from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig
from src.models.text.context import TextContext, drop_captions, join_batches

TEXTS = ["", "A red star.", "Static shot. A large blue ring drifts up-right and bounces off the wall."]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ByteEncoder(ByteEncoderConfig(hidden_size=32, depth=2, num_heads=2, ffn_dim=64))


def test_words_become_tokens(encoder):
    ids, mask = encoder.tokenize(TEXTS)
    assert ids.shape == (3, mask.shape[1], 13)
    assert mask.sum(1).tolist() == [1, 5, 18]
    red = [b for b in ids[1, 2].tolist() if b < 256]
    assert bytes(red) == b"red"


def read_back(row, mask):
    """Decode ids: a space before each token, unless it is glued."""
    out = b""
    for symbols in row[mask][1:].tolist():
        glued = symbols[-1] == 258
        out += (b"" if glued else b" ") + bytes(s for s in symbols[:-1] if s < 256)
    return out.decode().removeprefix(" ") if out != b" " else " "


@pytest.mark.parametrize(
    "text",
    [
        *TEXTS,
        "a  b",
        "a b",
        " a",
        "a ",
        "ab",
        "a7b",
        "a 7 b",
        "a\nb",
        "é e",
        "日本語 x",
        "abcdefghijklmnop",
        "x-y, z.",
    ],
)
def test_no_byte_is_lost(encoder, text):
    ids, mask = encoder.tokenize([text])
    assert read_back(ids[0], mask[0]) == text


def test_pure_bytes():
    encoder = ByteEncoder(
        ByteEncoderConfig(hidden_size=8, depth=0, num_heads=1, ffn_dim=8, bytes_per_token=1)
    )
    ids, _ = encoder.tokenize(["a b"])
    assert ids[0, :, 0].tolist() == [257, 97, 32, 98]


def test_long_text_is_truncated():
    encoder = ByteEncoder(ByteEncoderConfig(hidden_size=8, depth=1, num_heads=1, ffn_dim=8, max_tokens=5))
    assert encoder.encode(["word " * 100]).tokens_BLD.shape == (1, 5, 8)


def test_padding_changes_nothing(encoder):
    together = encoder.encode(TEXTS)
    for i, text in enumerate(TEXTS):
        alone = encoder.encode([text]).tokens_BLD
        torch.testing.assert_close(together.tokens_BLD[i, : alone.shape[1]], alone[0])


def test_word_order_matters(encoder):
    a, b = encoder.encode(["red blue", "blue red"]).tokens_BLD
    assert not torch.allclose(a[1], b[2], atol=1e-3)


def test_every_parameter_gets_a_gradient(encoder):
    encoder.encode(TEXTS).tokens_BLD.square().sum(-1).var().backward()
    encoder.encode(TEXTS).tokens_BLD[..., 0].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_std_of_position_embeddings():
    torch.manual_seed(0)
    encoder = ByteEncoder(
        ByteEncoderConfig(hidden_size=32, depth=0, num_heads=1, ffn_dim=8, position_std=0.3)
    )
    assert encoder.pos_embed.std().item() == pytest.approx(0.3, rel=0.1)


def test_captions_are_dropped_by_the_given_numbers():
    assert drop_captions(["a", "b", "c"], torch.tensor([0.05, 0.5, 0.0999]), 0.1) == ["", "b", ""]
    assert drop_captions(["a"], torch.tensor([0.0]), 0.0) == ["a"]


def test_join_batches(encoder):
    joined = join_batches(encoder.encode(TEXTS), encoder.encode([""]))
    assert joined.tokens_BLD.shape[0] == 4
    assert joined.mask_BL.sum(1).tolist() == [1, 5, 18, 1]
    assert isinstance(joined, TextContext)
    torch.testing.assert_close(joined.tokens_BLD[3, 0], encoder.encode([""]).tokens_BLD[0, 0])


@pytest.mark.parametrize(
    "bad", [{"hidden_size": 0}, {"depth": -1}, {"num_heads": 5}, {"ffn_dim": 12}, {"max_tokens": 0}]
)
def test_errors_for_invalid_configs(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}"):
        ByteEncoderConfig(**bad)
