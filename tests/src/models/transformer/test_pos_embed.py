"""Position embeddings and their expansion."""

import pytest
import torch

from src.models.transformer.pos_embed import FactorizedPosEmbed, expand_table


def test_positions_are_sums_of_three_tables():
    positions = FactorizedPosEmbed((3, 4, 5), 6)
    table = positions((2, 3, 4)).unflatten(0, (2, 3, 4))
    expected = positions.time[1] + positions.height[2] + positions.width[3]
    torch.testing.assert_close(table[1, 2, 3], expected)
    assert positions.time.std().item() == pytest.approx(0.02, rel=0.5)


def test_spread_of_positions_is_a_setting():
    torch.manual_seed(0)
    positions = FactorizedPosEmbed((10, 10, 10), 100, 0.3)
    for table in positions.parameters():
        assert table.std().item() == pytest.approx(0.3, rel=0.1)


def test_expansion_of_positions():
    table = torch.tensor([[0.0], [1.0], [4.0]])
    torch.testing.assert_close(expand_table(table, 5).flatten(), torch.tensor([0.0, 0.5, 1.0, 2.5, 4.0]))
    assert torch.equal(expand_table(table, 5, "pad").flatten(), torch.tensor([0.0, 1.0, 4.0, 4.0, 4.0]))
    assert torch.equal(expand_table(table, 3), table)
    assert torch.equal(expand_table(table[:1], 2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="2 after 3"):
        expand_table(table, 2)
