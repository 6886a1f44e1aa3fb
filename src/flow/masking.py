"""Masks of the known part of a sequence, whose rest is generated: masked prediction (Movie Gen, sec. 6.1).

Legend: B batch, N positions in time.
"""

import torch
from torch import Tensor

KINDS = ("prefix", "suffix", "ends", "span")


def known_positions(kind: str, num_positions: int, num_known: int, offset: float = 0.5) -> Tensor:
    """Return bool [N], True at known positions.

    Args:
        kind: "none"; "prefix" or "suffix"; "ends": all but one span, so that it is filled in; "span": one
            span, so that it is extended both ways.
        offset: place of the span in [0, 1], for "ends" and "span": 0 is as early as possible.

    Raises:
        ValueError: unknown kind.
    """
    known = torch.zeros(num_positions, dtype=torch.bool)
    free = num_positions - num_known
    if kind == "prefix":
        known[:num_known] = True
    elif kind == "suffix":
        known[free:] = True
    elif kind == "span":
        start = round(offset * free)
        known[start : start + num_known] = True
    elif kind == "ends":
        start = round(offset * num_known)
        known[:] = True
        known[start : start + free] = False
    elif kind != "none":
        raise ValueError(f"kind of mask must be none or one of {', '.join(KINDS)}, got {kind!r}")
    return known


def draw_known(
    uniforms_4B: Tensor,
    num_positions: int,
    *,
    full_mask_prob: float,
    min_mask_fraction: float,
    kinds: tuple[str, ...] = KINDS,
) -> Tensor:
    """Draw the known positions of a batch, bool [B, N]; at least one position of each sample is not known.

    Args:
        uniforms_4B: numbers in [0, 1): whether all is masked, the kind, the fraction, and the place of a
            span.
        full_mask_prob: probability that nothing is known.
        min_mask_fraction: otherwise a fraction between this one and 1 is masked.
    """
    rows = []
    for is_full, kind, fraction, offset in uniforms_4B.T.tolist():
        if is_full < full_mask_prob:
            rows.append(known_positions("none", num_positions, 0))
            continue
        num_known = min(round((1 - min_mask_fraction) * fraction * num_positions), num_positions - 1)
        rows.append(known_positions(kinds[int(kind * len(kinds))], num_positions, num_known, offset))
    return torch.stack(rows)
