"""Training over meshes of two and four processes against one: FSDP2, HSDP, context and tensor parallelism.

Rows have 9 or 3 tokens, so that parts are uneven and some processes have none.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from src.core.errors import UserError
from src.parallel import tensor_parallel, token_shards
from src.parallel.fsdp import full_tensor
from src.training.modules import optimization
from tests.fixtures.mesh_runs import (
    Outcome,
    build,
    largest_difference,
    process_mesh,
    relative_difference,
    run_with,
)
from tests.fixtures.ranks import Ranks

FOUR = ("fsdp4", "hsdp2x2", "tp2xfsdp2", "cp2xfsdp2", "tp2xcp2")


_references: dict[str, Outcome] = {}


def one_process(settings: dict[str, Any]) -> Outcome:
    """Return what one process computes with the same settings."""
    key = repr(settings)
    if key not in _references:
        _references[key] = run_with("one", settings)
    return _references[key]


def assert_equal_to_one_process(
    ranks: Ranks,
    mesh: str,
    *,
    gradients: float = 1e-5,
    trained: float = 1e-5,
    losses: float | None = None,
    **settings: Any,
) -> Outcome:
    """Compare step 0's gradients, all losses, norms and final weights; return what the mesh computed."""
    # compiling takes minutes on a busy machine
    ours, theirs = ranks.run(run_with, mesh, settings, timeout_s=500)[0], one_process(settings)
    assert largest_difference(ours.gradients, theirs.gradients) < (gradients, "")
    assert ours.losses == pytest.approx(theirs.losses, rel=losses or trained)
    assert ours.norms == pytest.approx(theirs.norms, rel=trained)
    assert largest_difference(ours.weights, theirs.weights) < (trained, "")
    return ours


@pytest.mark.parametrize("mesh", FOUR)
def test_gradients_losses_and_weights(mesh: str, four_ranks: Ranks) -> None:
    """Images and videos in turn; SGD, which keeps the size of a wrong gradient."""
    assert_equal_to_one_process(four_ranks, mesh, steps=4, lr=0.1)


@pytest.mark.parametrize("mesh", ["cp2", "tp2"])
def test_two_processes(mesh: str, ranks: Ranks) -> None:
    assert_equal_to_one_process(ranks, mesh, steps=4, lr=0.1)


@pytest.mark.parametrize("mesh", ["cp2xfsdp2", "tp2xcp2"])
@pytest.mark.parametrize(
    "settings",
    [
        {"transformer": {"num_checkpointed_blocks": 2}},
        {"packed": True},
        {"wrapped": True},
        {"transformer": {"bias": True, "qk_norm": True, "ffn_kind": "gelu", "norm": "layer"}},
        {"num_micro_batches": 2},
        {
            "packed": True,
            "num_micro_batches": 2,
            "wrapped": True,
            "transformer": {"num_checkpointed_blocks": 1},
        },
    ],
    ids=lambda each: "-".join(each) if len(each) > 1 else str(next(iter(each.values()))),
)
def test_with(mesh: str, settings: dict[str, Any], four_ranks: Ranks) -> None:
    assert_equal_to_one_process(four_ranks, mesh, steps=2, lr=0.1, **settings)


@pytest.mark.parametrize("every", [True, False])
def test_copies_accumulate_micro_batches(every: bool, four_ranks: Ranks) -> None:
    settings = {"num_micro_batches": 2, "parallel": {"reduce_every_micro_batch": every}}
    assert_equal_to_one_process(four_ranks, "hsdp2x2", steps=2, lr=0.1, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", FOUR)
@pytest.mark.parametrize(("optimizer", "tolerance"), [("sgd", 1e-5), ("adamw", 2e-4), ("muon", 3e-4)])
def test_twenty_steps(mesh: str, optimizer: str, tolerance: float, four_ranks: Ranks) -> None:
    lr = {"sgd": 0.1, "adamw": 1e-3, "muon": 1e-3}[optimizer]
    assert_equal_to_one_process(four_ranks, mesh, optimizer=optimizer, trained=tolerance, lr=lr)


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["fsdp4", "cp2xfsdp2"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_twenty_steps_in_double_precision(mesh: str, optimizer: str, four_ranks: Ranks) -> None:
    """Losses are computed in float32."""
    tight = {"gradients": 1e-9, "trained": 1e-9, "losses": 1e-6}
    assert_equal_to_one_process(four_ranks, mesh, optimizer=optimizer, lr=1e-3, double=True, **tight)


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["fsdp4", "cp2xfsdp2"])
@pytest.mark.parametrize(("optimizer", "tolerance"), [("adamw", 2e-4), ("muon", 3e-4)])
@pytest.mark.parametrize("compiled", [False, True])
def test_steps_with_everything(
    mesh: str, optimizer: str, tolerance: float, compiled: bool, four_ranks: Ranks
) -> None:
    """Checkpointing, micro-batches and adapters, with packing; with compiled blocks fewer steps."""
    settings: dict[str, Any] = {
        "num_micro_batches": 2,
        "wrapped": True,
        "transformer": {"num_checkpointed_blocks": 1},
        "packed": not compiled,
        "steps": 3 if compiled else 20,
        "parallel": {"compile_blocks": True, "compile_backend": "aot_eager"} if compiled else {},
    }
    assert_equal_to_one_process(four_ranks, mesh, optimizer=optimizer, trained=tolerance, lr=1e-3, **settings)


def test_muon_of_cut_weights(four_ranks: Ranks) -> None:
    """Orthogonalizing a process's cut instead of the matrix would change the first step."""
    assert_equal_to_one_process(four_ranks, "tp2xfsdp2", trained=3e-4, steps=3, optimizer="muon", lr=1e-3)


@pytest.mark.parametrize("mesh", ["cp2xfsdp2", "tp2xcp2"])
def test_samples(mesh: str, four_ranks: Ranks) -> None:
    settings = {"steps": 1, "sample": True}
    ours, theirs = four_ranks.run(run_with, mesh, settings), one_process(settings)
    assert theirs.samples is not None
    for each in ours:
        assert relative_difference(each.samples, theirs.samples) < 1e-4
        assert torch.equal(each.samples, ours[0].samples)  # peers continue from the same state


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["fsdp4", "cp2xfsdp2"])
def test_compiled_blocks(mesh: str, four_ranks: Ranks) -> None:
    parallel = {"compile_blocks": True, "compile_backend": "aot_eager"}
    assert_equal_to_one_process(four_ranks, mesh, steps=2, lr=0.1, parallel=parallel)


def double_gradients(mesh: str) -> dict[str, Tensor]:
    """Return the gradients of a transformer in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        module = build(mesh)
        generator = torch.Generator().manual_seed(0)
        x, t, text = (torch.randn(s, generator=generator) for s in ((2, 4, 3, 2, 6), (2,), (2, 5, 16)))
        weight = torch.randn(x.shape, generator=generator)
        (module.transformer(x, t.sigmoid(), text) * weight).sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    params = list(module.transformer.named_parameters())
    tensor_parallel.sum_gradients(p for _, p in params)
    return {name: full_tensor(p.grad) for name, p in params}  # type: ignore[arg-type]


@pytest.mark.parametrize("mesh", ["cp2xfsdp2", "tp2xcp2"])
def test_double_precision(mesh: str, four_ranks: Ranks) -> None:
    ours = four_ranks.run(double_gradients, mesh)[0]
    assert largest_difference(ours, double_gradients("one")) < (1e-9, "")


def without(what: str, mesh: str) -> Outcome:
    """Run one step with an exchange left out; shapes stay as they are."""

    def scatter_only(x: Tensor, lengths: tuple[int, ...], group: token_shards.Group) -> Tensor:
        return x.split(lengths, 1)[group.rank]

    with pytest.MonkeyPatch.context() as patch:
        if what == "sum of keys' and values' gradients":
            patch.setattr(
                token_shards._GatherTokens,
                "backward",
                staticmethod(lambda ctx, grad: (scatter_only(grad, ctx.lengths, ctx.group), None, None)),
            )
        elif what == "sum over heads":
            patch.setattr(
                token_shards._ReduceTokens,
                "forward",
                staticmethod(
                    lambda ctx, x, lengths, group: (
                        setattr(ctx, "lengths", lengths),
                        setattr(ctx, "group", group),
                        scatter_only(x, lengths, group),
                    )[-1]
                ),
            )
        elif what == "sum of complete weights' gradients":
            patch.setattr(optimization, "sum_gradients", lambda params: None)
        elif what == "factor of the context group":
            patch.setattr(
                token_shards._GatherLoss,
                "backward",
                staticmethod(lambda ctx, grad: (grad[:, ctx.own].clone(), None, None, None)),
            )
        return run_with(mesh, {"steps": 1})


@pytest.mark.parametrize(
    ("what", "mesh"),
    [
        ("sum of keys' and values' gradients", "cp2xfsdp2"),
        ("factor of the context group", "cp2xfsdp2"),
        ("sum over heads", "tp2xfsdp2"),
        ("sum of complete weights' gradients", "tp2xfsdp2"),
    ],
)
def test_an_exchange_that_is_left_out_is_noticed(what: str, mesh: str, four_ranks: Ranks) -> None:
    broken, right = four_ranks.run(without, what, mesh)[0], one_process({"steps": 1})
    assert largest_difference(broken.gradients, right.gradients) > (1e-2, "")


def peers_and_noise(mesh: str) -> tuple[int, float]:
    """Return this process's data rank and a number that it draws for its first sample."""
    from tests.fixtures.mesh_runs import toy_batch

    module, place = build(mesh), process_mesh(mesh)
    assert place is not None
    batch = toy_batch(0, place.data_rank, place.num_data_ranks, packed=False)
    return place.data_rank, float(module.normal(batch, "time")[0])


def test_peers_draw_the_same_noise_and_data_ranks_do_not(four_ranks: Ranks) -> None:
    drawn = four_ranks.run(peers_and_noise, "cp2xfsdp2")
    assert [rank for rank, _ in drawn] == [0, 0, 1, 1]
    assert drawn[0] == drawn[1]
    assert drawn[2] == drawn[3]
    assert drawn[0][1] != drawn[2][1]


def refused(settings: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        build("tp2", **settings)
    return str(error.value)


def test_heads_that_do_not_divide_are_refused(ranks: Ranks) -> None:
    message = ranks.run(refused, {"transformer": {"num_heads": 1}})[0]
    assert message == "train.parallel.tensor_parallel=2 does not divide blocks.0.attention: its heads, 1"
