import torch

from src.models.nn.rotary import rotate, rotation

CPU = torch.device("cpu")


def test_logits_depend_on_differences_of_positions_only() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8).expand(-1, -1, 12, -1, -1)
    rotated_q, rotated_k = (rotate(x, rotation(12, 8, CPU))[0, :, 0] for x in (q, k))
    logits = rotated_q @ rotated_k.T
    for offset in (-5, 0, 3):
        diagonal = logits.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert logits[0, 1] != logits[1, 0]


def test_lengths_are_kept_and_the_first_position_is_not_rotated() -> None:
    x = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(1))
    out = rotate(x, rotation(5, 8, CPU))
    torch.testing.assert_close(out.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(out[:, 0], x[:, 0])
    assert not torch.allclose(out[:, 1], x[:, 1])
