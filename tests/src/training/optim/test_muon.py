import copy

import pytest
import torch

from src.flow.noise import torch_generator
from src.training.optim.muon import Muon, is_hidden_matrix, orthogonalize


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch_generator(0, "muon"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(48, 48), (32, 96), (96, 32), (32, 320)])
def test_singular_values_become_similar(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = draw(max(shape), min(shape)) @ torch.diag(torch.logspace(0, -3, min(shape)))
    matrix = matrix.view(shape) if shape[0] >= shape[1] else matrix.T
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalize(matrix, dtype=dtype))
    assert before.max() / before.median() > 4
    assert after.max() < 1.35
    assert after.median() > 0.6
    cosine = torch.trace(orthogonalize(matrix, dtype=dtype).T @ matrix) / matrix.norm() / min(shape) ** 0.5
    assert cosine > 0.1  # it is an ascent direction


def test_step_has_the_size_of_adamw_and_vectors_use_adamw() -> None:
    weight, bias = torch.nn.Parameter(draw(64, 32, 3)), torch.nn.Parameter(draw(64))
    twin = torch.nn.Parameter(bias.detach().clone())
    groups = [
        {"params": [weight], "weight_decay": 0.0, "matrices": True},
        {"params": [bias], "weight_decay": 0.0},
    ]
    ours, plain = Muon(groups, lr=0.1), torch.optim.AdamW([twin], lr=0.1, weight_decay=0.0, fused=True)
    start = weight.detach().clone()
    for p in (weight, bias, twin):
        p.grad = torch.ones_like(p) if p.dim() == 1 else draw(*p.shape)
    ours.step()
    plain.step()
    assert torch.equal(bias, twin)
    assert (weight - start).detach().square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)
    assert weight.grad is not None  # still there for gradient norms and callbacks


def test_state_survives_saving() -> None:
    def new_optimizer() -> tuple[torch.nn.Parameter, Muon]:
        p = torch.nn.Parameter(draw(32, 32))
        return p, Muon([{"params": [p], "weight_decay": 0.1, "matrices": True}], lr=0.01)

    p, optimizer = new_optimizer()
    for step in range(4):
        p.grad = torch.roll(draw(32, 32), step)
        optimizer.step()
        if step == 1:
            saved = (p.detach().clone(), copy.deepcopy(optimizer.state_dict()))
            q, other = new_optimizer()
            with torch.no_grad():
                q.copy_(saved[0])
            other.load_state_dict(saved[1])
        if step > 1:
            q.grad = torch.roll(draw(32, 32), step)
            other.step()
    assert torch.equal(p, q)


def test_result_does_not_depend_on_threads() -> None:
    def step(threads: int) -> list[torch.Tensor]:
        params = [torch.nn.Parameter(draw(32 + 8 * n, 64)) for n in range(5)]
        optimizer = Muon([{"params": params, "weight_decay": 0.1, "matrices": True}], lr=0.01)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for p in params:
                p.grad = p.detach().roll(1)
            optimizer.step()
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return params

    for alone, shared in zip(step(1), step(3), strict=True):
        assert torch.equal(alone, shared)


def test_tables_first_and_last_layers_use_adamw() -> None:
    assert is_hidden_matrix("blocks.0.ffn.down.weight", draw(64, 64))
    assert is_hidden_matrix("encoder.levels.0.0.conv1.0.weight", draw(64, 64, 3, 3))
    for name in (
        "patch_embed.weight",
        "decoder.conv_out.0.weight",
        "t_embedder.linear_1.weight",
        "pos_embed.time",
    ):
        assert not is_hidden_matrix(name, draw(64, 64))
    assert not is_hidden_matrix("blocks.0.ffn.gate_up.norm.weight", draw(64))
    assert not is_hidden_matrix("blocks.0.narrow.weight", draw(8, 64))
