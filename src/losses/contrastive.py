"""Symmetric contrastive loss, and retrieval among a batch.

Legend: B batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(cosine_BB: Tensor, scale: Tensor, same_BB: Tensor | None = None) -> Tensor:
    """Return the mean of both directions' cross-entropies, each sample's own partner being the target, [B].

    Args:
        same_BB: bool, where another sample's partner is equal to one's own (two clips of one caption); these
            are no negatives.
    """
    logits_BB = cosine_BB.float() * scale
    if same_BB is not None:
        others_BB = same_BB & ~torch.eye(len(same_BB), dtype=torch.bool, device=same_BB.device)
        logits_BB = logits_BB.masked_fill(others_BB, float("-inf"))
    target_B = torch.arange(len(logits_BB), device=logits_BB.device)
    there = F.cross_entropy(logits_BB, target_B, reduction="none")
    back = F.cross_entropy(logits_BB.T, target_B, reduction="none")
    return (there + back) / 2


def recall_at_1(cosine_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each sample whether its own partner is strictly the most similar: of rows, of columns."""
    own_B = cosine_BB.diagonal()
    diagonal_BB = torch.eye(len(own_B), dtype=torch.bool, device=own_B.device)
    others_BB = cosine_BB.masked_fill(diagonal_BB, float("-inf"))
    return (own_B > others_BB.amax(1)).float(), (own_B > others_BB.amax(0)).float()
