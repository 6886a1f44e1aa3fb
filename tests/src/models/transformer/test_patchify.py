"""Patches of latents and the way back."""

import pytest
import torch
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.transformer.patchify import from_patches, to_patches


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch_generator(0, "test.parts", *shape), dtype=dtype)


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 1, 4), (1, 1, 1)])
def test_patches_are_a_strided_convolution(patch):
    x, weight = randn(2, 3, 4, 4, 8), randn(5, 3, *patch)
    convolved = F.conv3d(x, weight, stride=patch).flatten(2).transpose(1, 2)
    torch.testing.assert_close(to_patches(x, patch) @ weight.flatten(1).T, convolved)


def test_patches_there_and_back():
    x, patch = randn(2, 3, 4, 4, 8), (2, 1, 4)
    assert torch.equal(from_patches(to_patches(x, patch), (2, 4, 2), patch), x)
