"""Weights handed from one stage to the next, with a report of what became of each tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from src.core.errors import UserError
from src.models.transformer.pos_embed import expand_table
from src.parallel import architecture
from src.parallel import safetensors_io as files
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.fsdp import copy_whole_
from src.training.callbacks.checkpoint import find
from src.training.config import Use
from src.training.modules.base import TrainingModule

# Tables that may grow between stages (spec, section 3.4): finer grids stretch, a longer film goes on.
GROWING = {"positions.height": "interpolate", "positions.width": "interpolate", "positions.time": "pad"}
COUNTERS = ("batch_counter",)


@dataclass
class WeightReport:
    """Names of tensors by their fate."""

    source: Path
    use: Use
    loaded: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"weights from {self.source} ({self.use}): {len(self.loaded)} tensors loaded"]
        for word in ("grown", "new", "dropped"):
            names = getattr(self, word)
            if names:
                shown = ", ".join(names[:6]) + (f", ... ({len(names)} in all)" if len(names) > 6 else "")
                lines.append(f"  {word}: {shown}")
        return "\n".join(lines)


def load_weights(
    module: TrainingModule, checkpoint: Path, use: Use = "ema", allow_new: tuple[str, ...] = ()
) -> WeightReport:
    """Start a module from another run's weights; averages start from them too. Counters stay at 0.

    Args:
        checkpoint: a checkpoint of either format, a .safetensors file of weights, or a run directory
            (its newest checkpoint).
        use: the averaged weights (where there are any) or the raw ones.
        allow_new: prefixes of names that the checkpoint need not have (new parts of a model).

    Raises:
        CheckpointError: no such checkpoint, not a whole one, or one that does not fit; one line that
            names the path and the first tensor in question.
    """
    path = find(Path(checkpoint))
    module.configure_model()
    source = module.adapt_weights(files.read(path, use))
    report = WeightReport(path, use)
    with torch.no_grad():
        for name, target in module.state_dict(keep_vars=True).items():
            if name.startswith("ema.") or name in COUNTERS:
                continue
            _load_one(report, name, target, source, allow_new)
    targets = module.state_dict().keys()
    report.dropped = [n for n in source if n not in targets and n not in COUNTERS]
    if not report.loaded:
        raise CheckpointError(f"{path}: none of its {len(source)} tensors fits this model")
    module.reset_ema()
    return report


def _load_one(
    report: WeightReport,
    name: str,
    target: Tensor,
    source: Mapping[str, Tensor],
    allow_new: tuple[str, ...],
) -> None:
    value = source.get(name)
    if value is None:
        if not name.startswith(allow_new or ("\0",)):
            raise CheckpointError(f"{report.source}: is of another architecture: it has no {name}")
        report.new.append(name)
        return
    if value.shape != target.shape:
        value = _grow(report.source, name, value, target.shape)
        report.grown.append(f"{name} {list(source[name].shape)} -> {list(target.shape)}")
    else:
        report.loaded.append(name)
    copy_whole_(target, value)


def _grow(path: Path, name: str, value: Tensor, shape: torch.Size) -> Tensor:
    mode = next((mode for end, mode in GROWING.items() if name.endswith(end)), None)
    fits = mode is not None and value.shape[1:] == shape[1:] and value.shape[0] < shape[0]
    if not fits:
        raise CheckpointError(
            f"{path}: is of another architecture: {name} is {list(value.shape)} there and {list(shape)} here"
        )
    return expand_table(value.float(), shape[0], mode)  # type: ignore[arg-type]


def average(checkpoints: list[Path], use: Use = "ema") -> dict[str, Tensor]:
    """The uniform mean of several checkpoints' weights (spec, section 4.4: model averaging).

    Raises:
        CheckpointError: a checkpoint is unreadable or of another architecture than the first.
        UserError: nothing to average.
    """
    if not checkpoints:
        raise UserError("average: no checkpoints given")
    total: dict[str, Tensor] = {}
    for path in map(find, checkpoints):
        found = files.read(path, use)
        if not total:
            total = {k: v.double() if v.is_floating_point() else v.clone() for k, v in found.items()}
            kinds = {k: v.dtype for k, v in found.items()}
            continue
        shapes = {k: v.shape for k, v in found.items()}
        architecture.check(path, shapes, {k: v.shape for k, v in total.items()})
        for name, value in found.items():
            if value.is_floating_point():
                total[name] += value.double()
    return {
        k: (v / len(checkpoints)).to(kinds[k]) if kinds[k].is_floating_point else v for k, v in total.items()
    }
