"""AdamW of our own compared with torch's, with moments in host memory too."""

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from src.flow.noise import torch_generator
from src.training.optim import adamw
from src.training.optim.adamw import AdamW
from src.training.optim.muon import Muon
from tests.fixtures.step_memory import LiveBytes

SIZES = ((40, 30), (7,), (3, 5, 2), (33, 64))


def new_params() -> list[torch.nn.Parameter]:
    generator = torch_generator(0, "adamw")
    return [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in SIZES]


def set_gradients(params: list[torch.nn.Parameter], step: int) -> None:
    for p in params:
        p.grad = torch.randn(p.shape, generator=torch_generator(0, "gradient", step))
    params[0].grad = params[0].grad.T.contiguous().T  # type: ignore[union-attr]  # another order in memory


@pytest.mark.parametrize("offload", [False, True])
def test_same_bits_as_the_fused_step_of_torch(offload: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adamw, "CHUNK_BYTES", 10_000)
    settings: dict[str, Any] = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.1}
    ours, theirs = new_params(), new_params()
    optimizers = (
        AdamW([{"params": ours}], offload=offload, **settings),
        torch.optim.AdamW(theirs, fused=True, **settings),
    )
    for step in range(3):
        for params, optimizer in zip((ours, theirs), optimizers, strict=True):
            set_gradients(params, step)
            if params is theirs:  # which takes any order in memory for that of the weight
                params[0].grad = params[0].grad.contiguous()  # type: ignore[union-attr]
            optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)
    assert len(list(optimizers[0]._chunks([optimizers[0]._row(p) for p in ours]))) == (2 if offload else 1)


class DeviceBytes(LiveBytes):
    """Counts fake tensors on a GPU only."""

    def _add(self, tensors: list[Any]) -> None:
        super()._add([each for each in tensors if isinstance(each, torch.Tensor) and each.is_cuda])


@pytest.mark.parametrize("matrices", [False, True], ids=["adamw", "muon"])
def test_offloaded_moments_leave_the_device(matrices: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adamw, "CHUNK_BYTES", 2 * 4 * 64 * 64)
    live = []
    for offload in (False, True):
        with FakeTensorMode(), torch.device("cuda"):
            params = [torch.nn.Parameter(torch.zeros(64, 64)) for _ in range(8)]
            for p in params:
                p.grad = torch.zeros_like(p)
            group = {"params": params, "weight_decay": 0.1, "matrices": matrices}
            kind = Muon if matrices else AdamW
            optimizer = kind([group], lr=0.1, offload=offload)
            optimizer.found_inf = torch.zeros(())
            with DeviceBytes([p for p in params]) as found:
                optimizer.step()
                optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
            name = "momentum" if matrices else "exp_avg"
            assert {each[name].device.type for each in optimizer.state.values()} == {
                "cpu" if offload else "cuda"
            }
            live.append(found.live())
    matrix = 4 * 64 * 64
    assert live[0] - live[1] >= (7 if matrices else 15) * matrix  # all moments but those that were there last
