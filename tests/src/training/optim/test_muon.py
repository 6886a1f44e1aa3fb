import copy

import pytest
import torch

from src.flow.noise import torch_generator
from src.training.optim.muon import Muon, is_hidden_matrix, orthogonalise


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch_generator(0, "muon"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(48, 48), (32, 96), (96, 32), (32, 320)])
def test_singular_values_are_brought_together(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = draw(max(shape), min(shape)) @ torch.diag(torch.logspace(0, -3, min(shape)))
    matrix = matrix.view(shape) if shape[0] >= shape[1] else matrix.T
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalise(matrix, dtype=dtype))
    assert before.max() / before.median() > 4
    assert after.max() < 1.35
    assert after.median() > 0.6
    turned = torch.trace(orthogonalise(matrix, dtype=dtype).T @ matrix) / matrix.norm() / min(shape) ** 0.5
    assert turned > 0.1  # it is an ascent direction


def test_update_has_the_size_of_an_adamw_step_and_vectors_take_adamw() -> None:
    weight, bias = torch.nn.Parameter(draw(64, 32, 3)), torch.nn.Parameter(draw(64))
    twin = torch.nn.Parameter(bias.detach().clone())
    groups = [
        {"params": [weight], "weight_decay": 0.0, "matrices": True},
        {"params": [bias], "weight_decay": 0.0},
    ]
    ours, plain = Muon(groups, lr=0.1), torch.optim.AdamW([twin], lr=0.1, weight_decay=0.0)
    start = weight.detach().clone()
    for p in (weight, bias, twin):
        p.grad = torch.ones_like(p) if p.dim() == 1 else draw(*p.shape)
    ours.step()
    plain.step()
    assert torch.equal(bias, twin)
    assert (weight - start).detach().square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)
    assert weight.grad is not None  # it is there for whoever looks at it next


def test_state_survives_saving() -> None:
    def fresh() -> tuple[torch.nn.Parameter, Muon]:
        p = torch.nn.Parameter(draw(32, 32))
        return p, Muon([{"params": [p], "weight_decay": 0.1, "matrices": True}], lr=0.01)

    p, optimiser = fresh()
    for step in range(4):
        p.grad = torch.roll(draw(32, 32), step)
        optimiser.step()
        if step == 1:
            saved = (p.detach().clone(), copy.deepcopy(optimiser.state_dict()))
            q, other = fresh()
            with torch.no_grad():
                q.copy_(saved[0])
            other.load_state_dict(saved[1])
        if step > 1:
            q.grad = torch.roll(draw(32, 32), step)
            other.step()
    assert torch.equal(p, q)


def test_cores_share_the_matrices_and_change_nothing() -> None:
    def stepped(threads: int) -> list[torch.Tensor]:
        params = [torch.nn.Parameter(draw(32 + 8 * n, 64)) for n in range(5)]
        optimiser = Muon([{"params": params, "weight_decay": 0.1, "matrices": True}], lr=0.01)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for p in params:
                p.grad = p.detach().roll(1)
            optimiser.step()
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return params

    for alone, shared in zip(stepped(1), stepped(3), strict=True):
        assert torch.equal(alone, shared)


def test_tables_first_and_last_layers_are_left_to_adamw() -> None:
    assert is_hidden_matrix("blocks.0.ffn.down.weight", draw(64, 64))
    assert is_hidden_matrix("encoder.levels.0.0.conv1.0.weight", draw(64, 64, 3, 3))
    for name in ("patch_in.weight", "decoder.conv_out.0.weight", "time.block.weight", "positions.time"):
        assert not is_hidden_matrix(name, draw(64, 64))
    assert not is_hidden_matrix("blocks.0.ffn_norm.weight", draw(64))
    assert not is_hidden_matrix("blocks.0.narrow.weight", draw(8, 64))
