"""Start a stage from the weights of another run; average the weights of several runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from src.core.errors import UserError
from src.models.transformer.pos_embed import expand_table
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.fsdp import copy_full_
from src.parallel.safetensors_io import COUNTERS, EMA_PREFIX, read_weights
from src.parallel.state_dict import check_architecture, shapes_of
from src.training.checkpoint_paths import find_checkpoint
from src.training.config import Use

if TYPE_CHECKING:  # it imports lightning, which averaging does not need
    from src.training.modules.base import TrainingModule

# Position tables may grow between stages: spatial ones are interpolated (higher resolution), the temporal one
# is padded (longer videos) (Movie Gen, sec. 3.2.2).
RESIZABLE: dict[str, Literal["interpolate", "pad"]] = {
    "pos_embed.height": "interpolate",
    "pos_embed.width": "interpolate",
    "pos_embed.time": "pad",
}


@dataclass
class WeightReport:
    """Parameter names: loaded, resized, new, dropped."""

    source: Path
    use: Use
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"weights from {self.source} ({self.use}): {len(self.loaded)} tensors loaded"]
        for kind in ("resized", "new", "dropped"):
            names = getattr(self, kind)
            if names:
                listed = ", ".join(names[:6]) + (f", ... ({len(names)} in total)" if len(names) > 6 else "")
                lines.append(f"  {kind}: {listed}")
        return "\n".join(lines)


def load_weights(
    module: "TrainingModule", checkpoint: Path, use: Use = "ema", allow_new: tuple[str, ...] = ()
) -> WeightReport:
    """Load another run's weights into a module and its EMA; step counters stay at 0.

    Args:
        checkpoint: a checkpoint of either format, a .safetensors file of weights, or a run directory (its
            newest checkpoint).
        use: the EMA's weights (where there is an EMA) or the raw ones.
        allow_new: prefixes of names that the checkpoint may lack (new parts of a model).

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or does not fit; the message names the path and
            the first tensor that differs.
    """
    path = find_checkpoint(Path(checkpoint))
    module.configure_model()
    source = module.adapt_weights(read_weights(path, use))
    report = WeightReport(path, use)
    with torch.no_grad():
        for name, target in module.state_dict(keep_vars=True).items():
            if name.startswith(EMA_PREFIX) or name in COUNTERS:
                continue
            _load_tensor(report, name, target, source, allow_new)
    targets = module.state_dict().keys()
    report.dropped = [n for n in source if n not in targets and n not in COUNTERS]
    if not report.loaded:
        raise CheckpointError(f"{path}: none of its {len(source)} tensors matches this model")
    module.reset_ema()
    return report


def _load_tensor(
    report: WeightReport,
    name: str,
    target: Tensor,
    source: Mapping[str, Tensor],
    allow_new: tuple[str, ...],
) -> None:
    value = source.get(name)
    if value is None:
        if not any(name.startswith(prefix) for prefix in allow_new):
            raise CheckpointError(f"{report.source}: architecture mismatch: missing key {name}")
        report.new.append(name)
        return
    if value.shape != target.shape:
        value = _resize(report.source, name, value, target.shape)
        report.resized.append(f"{name} {list(source[name].shape)} -> {list(target.shape)}")
    else:
        report.loaded.append(name)
    copy_full_(target, value)


def _resize(path: Path, name: str, value: Tensor, shape: torch.Size) -> Tensor:
    mode = next((mode for suffix, mode in RESIZABLE.items() if name.endswith(suffix)), None)
    if mode is None or value.shape[1:] != shape[1:] or value.shape[0] >= shape[0]:
        raise CheckpointError(
            f"{path}: architecture mismatch: {name} has shape {list(value.shape)}, "
            f"the model's is {list(shape)}"
        )
    return expand_table(value.float(), shape[0], mode)


def average_weights(checkpoints: list[Path], use: Use = "ema") -> dict[str, Tensor]:
    """Return the uniform mean of several checkpoints' weights (model averaging: Movie Gen, sec. 3.3).

    Raises:
        CheckpointError: a checkpoint is unreadable, or its architecture differs from the first one's.
        UserError: the list is empty.
    """
    if not checkpoints:
        raise UserError("average: no checkpoints given")
    total: dict[str, Tensor] = {}
    for path in map(find_checkpoint, checkpoints):
        found = read_weights(path, use)
        if not total:
            # summed in float64: the mean is then rounded once, whatever the order
            total = {k: v.double() if v.is_floating_point() else v.clone() for k, v in found.items()}
            dtypes = {k: v.dtype for k, v in found.items()}
            continue
        check_architecture(path, shapes_of(found), shapes_of(total))
        for name, value in found.items():
            if value.is_floating_point():
                total[name] += value.double()
    return {
        k: (v / len(checkpoints)).to(dtypes[k]) if dtypes[k].is_floating_point else v
        for k, v in total.items()
    }
