"""Activations have the same dtypes on one process and sharded; in bf16 only vectors of blocks are rounded."""

from typing import Any

import pytest
import torch

from src.parallel.fsdp import copy_full_, full_tensor, shard_groups
from src.training import precision
from tests.fixtures.mesh_runs import build, toy_batch
from tests.fixtures.ranks import Ranks

LAYERS = ("", "patch_embed", "t_embedder", "pos_embed", "final_modulation", "proj_out")
PARTS = ("0", "1", "modulation", "attention", "cross_attention", "ffn")


def first_step(mesh: str, rounded: bool) -> tuple[float, list[torch.dtype]]:
    """Return the loss of step 0 in bf16, and the dtypes of all layers' outputs.

    Args:
        rounded: begin with norm gains and modulation tables of blocks that bf16 can represent.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bf16", lambda device_type: True)  # emulated where it is not
        module = build(mesh, precision="bf16", transformer={"qk_norm": True})
    module.optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    groups = [group for net in (module.text, module.transformer) for group in shard_groups(net)]
    for name, p in (each for group in groups for each in group.named_parameters()):
        if rounded and (p.dim() < 2 or name.endswith("table_KD")):
            with torch.no_grad():
                copy_full_(p, full_tensor(p.detach()).bfloat16().float())
    dtypes: list[torch.dtype] = []

    def note(_: Any, __: Any, out: Any) -> None:
        dtypes.extend(each.dtype for each in (out if isinstance(out, tuple) else [out]))

    for name, layer in module.transformer.named_modules():
        if name in LAYERS or (name.startswith("blocks.") and name.split(".")[-1] in PARTS):
            layer.register_forward_hook(note)
    place = (0, 1) if module.mesh is None else (module.mesh.data_rank, module.mesh.num_data_ranks)
    module.train()
    module.training_step(toy_batch(0, *place, packed=False), 0)
    return float(module.metrics["loss"]), dtypes


@pytest.mark.parametrize("mesh", ["fsdp2", "tp2"])
def test_only_vectors_of_blocks_are_rounded(mesh: str, ranks: Ranks) -> None:
    for rounded in (True, False):
        loss, dtypes = first_step("one", rounded)
        found, found_dtypes = ranks.run(first_step, mesh, rounded)[0]
        assert found_dtypes == dtypes
        assert found == pytest.approx(loss, rel=2e-3)
        if rounded and mesh == "fsdp2":
            assert found == pytest.approx(loss, rel=2e-6)
