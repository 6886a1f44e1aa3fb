"""Timestep embedding."""

import math

import pytest
import torch

from src.models.transformer.adaln import timestep_embedding


def test_timestep_embedding():
    features = timestep_embedding(torch.tensor([0.0, 0.5]), 8)
    assert features[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert features[1, [0, 4]].tolist() == pytest.approx([math.cos(500), math.sin(500)], abs=1e-4)
