"""Start a stage from the weights, and optionally the optimizer state, of another run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from src.models.transformer.pos_embed import expand_table
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.fsdp import copy_full_
from src.parallel.safetensors_io import COUNTERS, EMA_PREFIX, SUFFIX
from src.parallel.state_dict import load_named_optimizer_state, scatter_optimizer
from src.parallel.weight_source import WeightSource, shape_of
from src.training.checkpoint_paths import find_checkpoint
from src.training.config import PositionGrowth, Use

if TYPE_CHECKING:  # it imports lightning
    from src.training.modules.base import TrainingModule

TIME_TABLE = "pos_embed.time"  # always padded: longer videos at the same spacing (Movie Gen, sec. 3.2.2)
SPATIAL_TABLES = ("pos_embed.height", "pos_embed.width")


@dataclass(frozen=True)
class InitFrom:
    """Source of the weights that a stage starts from.

    Args:
        use: the EMA's weights (where there is an EMA) or the raw ones.
        allow_new: prefixes of names that the source may lack (new parts of a model).
        keep: names of tensors that are not loaded.
        position_growth: how spatial position tables become longer; None refuses longer ones.
        with_optimizer: also load the state of the optimizers.
    """

    checkpoint: Path
    use: Use = "ema"
    allow_new: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    position_growth: PositionGrowth | None = None
    with_optimizer: bool = False


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
        counts = f"{len(self.loaded)} tensors loaded, {len(self.resized)} resized"
        counts += f", {len(self.new)} new, {len(self.dropped)} dropped"
        lines = [f"weights from {self.source} ({self.use}): {counts}"]
        for kind in ("resized", "new", "dropped"):
            names = getattr(self, kind)
            if names:
                listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
                lines.append(f"  {kind}: {listed}")
        return "\n".join(lines)


def load_weights(module: "TrainingModule", init: InitFrom, run_dir: Path = Path()) -> WeightReport:
    """Load another run's weights into a module and its EMA; step counters stay at 0.

    Each process reads its own shards; collective where the source is a sharded checkpoint.

    Args:
        init: its `checkpoint` is a checkpoint of either format, a .safetensors file of weights, or a run
            directory (its newest checkpoint).
        run_dir: the run that starts, for messages.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or does not fit; the message names the path and
            the first tensor that differs.
    """
    path = find_checkpoint(init.checkpoint)
    module.configure_model()
    source = module.adapt_weights(WeightSource(path, init.use))
    report = WeightReport(path, init.use)
    skipped = {*COUNTERS, *init.keep}
    targets = {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if not name.startswith(EMA_PREFIX) and name not in skipped
    }
    report.dropped = [name for name in source if name not in targets and name not in skipped]
    _check_any_match(path, source, targets, run_dir)
    equal: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, target in targets.items():
            if name in source and shape_of(source, name) == target.shape:
                equal[name] = target
                report.loaded.append(name)
            else:
                _load_other(report, name, target, source, init)
        if isinstance(source, WeightSource):
            source.copy_to_(equal)
        else:
            for name, target in equal.items():
                copy_full_(target, source[name])
    module.reset_ema()
    return report


def _check_any_match(
    path: Path, source: Mapping[str, Tensor], targets: Mapping[str, Tensor], run_dir: Path
) -> None:
    if any(name in targets and shape_of(source, name) == targets[name].shape for name in source):
        return
    found = f", such as {next(iter(source))}" if source else ""
    name, tensor = next(iter(targets.items()))
    raise CheckpointError(
        f"{path}: none of its {len(source)} tensors{found} is one of the {len(targets)} tensors of "
        f"{run_dir / 'config.yaml'}, such as {name} {list(tensor.shape)}"
    )


def _load_other(
    report: WeightReport, name: str, target: Tensor, source: Mapping[str, Tensor], init: InitFrom
) -> None:
    """Load a tensor of another shape, or none where the source may lack it."""
    if name not in source:
        if not any(name.startswith(prefix) for prefix in init.allow_new):
            raise CheckpointError(f"{report.source}: architecture mismatch: missing key {name}")
        report.new.append(name)
        return
    found = shape_of(source, name)
    position_growth = _growth_of(report.source, name, found, target.shape, init.position_growth)
    copy_full_(target, expand_table(source[name].float(), target.shape[0], position_growth))
    report.resized.append(f"{name} {list(found)} -> {list(target.shape)}")


def _growth_of(
    path: Path, name: str, found: torch.Size, shape: torch.Size, position_growth: PositionGrowth | None
) -> PositionGrowth:
    """Return how a table becomes longer; CheckpointError for anything but a shorter table."""
    is_table = name.endswith((TIME_TABLE, *SPATIAL_TABLES))
    if not is_table or found[1:] != shape[1:] or found[0] >= shape[0]:
        raise CheckpointError(
            f"{path}: architecture mismatch: {name} has shape {list(found)}, the model's is {list(shape)}"
        )
    mode: PositionGrowth | None = "pad" if name.endswith(TIME_TABLE) else position_growth
    if mode is None:
        raise CheckpointError(
            f"{path}: {name} has {found[0]} positions, the model's {shape[0]}; give position_growth=pad "
            "for larger frames of the same resolution, interpolate for a higher resolution"
        )
    return mode


def load_optimizer_state(optimizers: Sequence[torch.optim.Optimizer], checkpoint: Path) -> None:
    """Load the moments of the same parameters from another run; learning rates and decay stay this run's.

    Each process reads its own shards; collective where the source is a sharded checkpoint.

    Raises:
        CheckpointError: the checkpoint has no optimizer, or that of other parameters.
    """
    path = find_checkpoint(checkpoint)
    if checkpoint_io.is_sharded(path):
        stored = checkpoint_io.read_metadata(path).get("optimizer_groups", [])
        _refuse_other_parameters(path, [each["param_groups"] for each in stored], optimizers)
        index = checkpoint_io.read_tensor_index(path)
        for number, (optimizer, groups) in enumerate(zip(optimizers, stored, strict=True)):
            prefix = f"optimizer_{number}/"
            own = {name: entry for name, entry in index.items() if name.startswith(prefix)}
            groups["param_groups"] = optimizer.state_dict()["param_groups"]
            load_named_optimizer_state(optimizer, groups, prefix, own, path)
        return
    is_export = path.suffix == SUFFIX
    states = [] if is_export else checkpoint_io.read_checkpoint(path, mmap=True).get("optimizer_states", [])
    _refuse_other_parameters(path, [each["param_groups"] for each in states], optimizers)
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        scatter_optimizer(optimizer, {"state": state["state"], "param_groups": groups})


def _refuse_other_parameters(
    path: Path, stored: Sequence[Any], optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    if [_layout(groups) for groups in stored] != [_layout(o.param_groups) for o in optimizers]:
        raise CheckpointError(
            f"{path}: has no state of this run's optimizer over the same parameters; give a checkpoint of a "
            "run with the same model and optimizer"
        )


def _layout(groups: Sequence[Mapping[str, Any]]) -> list[tuple[int, bool | None]]:
    """Return the number of parameters of each group, and of Muon whether they are its matrices."""
    return [(len(group["params"]), group.get("matrices")) for group in groups]
