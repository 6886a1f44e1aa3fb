"""Contrastive loss and retrieval against closed forms."""

import math

import pytest
import torch

from src.losses.contrastive import contrastive_loss, recall_at_1


def test_loss_of_orthogonal_pairs_has_a_closed_form() -> None:
    loss_B = contrastive_loss(torch.eye(4), torch.tensor(2.0))
    expected = math.log(math.exp(2) + 3) - 2
    assert loss_B.tolist() == pytest.approx([expected] * 4)
    assert contrastive_loss(torch.zeros(4, 4), torch.tensor(2.0)).tolist() == pytest.approx([math.log(4)] * 4)


def test_both_directions_count() -> None:
    cosine_BB = torch.tensor([[1.0, 0.0], [1.0, 0.5]])
    rows = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(0.5))]
    columns = [math.log(2), math.log(1 + math.exp(-0.5))]
    expected = [(a + b) / 2 for a, b in zip(rows, columns, strict=True)]
    assert contrastive_loss(cosine_BB, torch.tensor(1.0)).tolist() == pytest.approx(expected)


def test_equal_partners_are_no_negatives() -> None:
    same_BB = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    cosine_BB = torch.zeros(3, 3)
    loss_B = contrastive_loss(cosine_BB, torch.tensor(1.0), same_BB)
    assert loss_B.tolist() == pytest.approx([math.log(2), math.log(2), math.log(3)])


def test_recall_needs_the_own_partner_to_be_strictly_best() -> None:
    there_B, back_B = recall_at_1(torch.tensor([[0.9, 0.1, 0.0], [0.95, 0.5, 0.0], [0.3, 0.3, 0.3]]))
    assert there_B.tolist() == [1.0, 0.0, 0.0]
    assert back_B.tolist() == [0.0, 1.0, 1.0]
    assert torch.stack(recall_at_1(torch.ones(5, 5))).sum() == 0  # one answer for all is no answer
