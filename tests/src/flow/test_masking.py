import pytest
import torch

from src.flow.masking import KINDS, draw_known, known_positions


def draws(num_samples: int = 4000, **changes: object) -> torch.Tensor:
    uniforms = torch.rand(4, num_samples, generator=torch.Generator().manual_seed(0))
    settings = {"full_mask_prob": 0.5, "min_mask_fraction": 0.75} | changes
    return draw_known(uniforms, 40, **settings)  # type: ignore[arg-type]


def runs(known_N: torch.Tensor) -> int:
    """Number of changes between known and masked."""
    return int((known_N[1:] != known_N[:-1]).sum())


def test_known_positions_of_each_kind() -> None:
    for kind, shown in {
        "none": "......",
        "prefix": "##....",
        "suffix": "....##",
        "ends": "#....#",
        "span": "..##..",
    }.items():
        found = known_positions(kind, 6, 2)
        assert "".join("#" if known else "." for known in found.tolist()) == shown
    assert known_positions("span", 6, 2, offset=0.0).tolist() == known_positions("prefix", 6, 2).tolist()
    with pytest.raises(ValueError, match="kind of mask must be none or one of prefix"):
        known_positions("all", 6, 2)


def test_half_are_masked_completely_and_the_others_by_three_quarters_or_more() -> None:
    known = draws()
    fraction = known.float().mean(1)
    assert (fraction == 0).float().mean() == pytest.approx(0.5 + 0.5 * 0.05, abs=0.03)  # rounding adds a few
    assert fraction.max() == pytest.approx(0.25)
    kept = fraction[fraction > 0]
    assert kept.mean() == pytest.approx(0.13, abs=0.015)
    assert not draws(full_mask_prob=1.0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_context(kind: str) -> None:
    known = draws(400, full_mask_prob=0.0, kinds=(kind,))
    known = known[known.any(1)]
    first, last = known[:, 0], known[:, -1]
    if kind == "prefix":
        assert first.all()
        assert not last.any()
    elif kind == "suffix":
        assert last.all()
        assert not first.any()
    elif kind == "ends":
        assert (first | last).all()
        assert (first & last).float().mean() > 0.5
    else:
        assert max(runs(row) for row in known) == 2
    assert all(runs(row) <= 2 for row in known)


def test_all_kinds_occur_equally_often() -> None:
    known = draws(full_mask_prob=0.0, min_mask_fraction=0.5)
    first, last = known[:, 0], known[:, -1]
    num = known.any(1).sum()
    assert (first & last).sum() / num == pytest.approx(0.25, abs=0.04)
    assert (first & ~last).sum() / num == pytest.approx(0.25, abs=0.05)
    assert (~first & last).sum() / num == pytest.approx(0.25, abs=0.05)
