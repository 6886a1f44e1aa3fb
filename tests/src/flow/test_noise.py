"""Philox against its published vectors, statistics of its numbers, independence of batch and device."""

import math

import pytest
import torch

from src.core import rng
from src.flow.noise import normal, philox, rand_samples, randn_samples, random_words, uniform

# Random123's kat_vectors: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(counter, key, words) -> None:
    samples = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(int(word) for word in samples) == words


def test_words_are_frozen() -> None:
    """Every run depends on these: they may never change."""
    assert random_words([rng.key(0, "train/noise", 3, 5)], 5).tolist() == [
        [140461427, 1858951201, 3438100486, 350427647, 511182035]
    ]
    assert random_words([2**63 - 1, 1], 2).shape == (2, 2)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert torch.equal(random_words([7], 9)[:, :5], random_words([7], 5))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    together = randn_samples((3, 5), 1, "noise", 4, [6, 2, 9])
    for row, index in enumerate([6, 2, 9]):
        assert torch.equal(together[row], randn_samples((3, 5), 1, "noise", 4, [index])[0])
    others = [
        randn_samples((3, 5), *key, [6])[0] for key in ((2, "noise", 4), (1, "other", 4), (1, "noise", 5))
    ]
    assert not any(torch.equal(together[0], other) for other in others)
    assert torch.equal(rand_samples(0, "u", 1, [3, 4])[1:], rand_samples(0, "u", 1, [4]))


def test_uniform_numbers_are_uniform() -> None:
    values = uniform(range(64), (4096,)).double().flatten()
    assert 0 <= float(values.min()) < 1e-4
    assert 1 - 1e-4 < float(values.max()) < 1
    counts = torch.histc(values, bins=256, min=0, max=1)
    expected = len(values) / 256
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_squared - 255) < 5 * math.sqrt(2 * 255)


def test_normal_numbers_are_normal_and_uncorrelated() -> None:
    values = normal(range(64), (4096,)).double()
    num = values.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert float((values**power).mean()) == pytest.approx(moment, abs=5 * math.sqrt(variance / num))
    assert float(values.abs().max()) > 4.2
    neighbors = float((values[:, 1:] * values[:, :-1]).mean())
    pairs = float((values[:, ::2] * values[:, 1::2]).mean())  # cosine and sine of one angle
    samples = float((values[1:] * values[:-1]).mean())
    assert max(abs(neighbors), abs(pairs), abs(samples)) < 5 / math.sqrt(num / 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same_numbers() -> None:
    keys = list(range(8))
    assert torch.equal(random_words(keys, 1001, "cuda").cpu(), random_words(keys, 1001))
    assert torch.equal(uniform(keys, (1001,), "cuda").cpu(), uniform(keys, (1001,)))
    torch.testing.assert_close(
        normal(keys, (1001,), "cuda").cpu(), normal(keys, (1001,)), rtol=1e-5, atol=1e-6
    )
