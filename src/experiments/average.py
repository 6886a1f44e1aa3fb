"""Average the weights of several finished runs into a new run (Movie Gen, sec. 3.3)."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor
from torch.distributed import tensor as distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Replicate, Shard

from src.core.errors import UserError
from src.core.launch import is_first_rank
from src.experiments.config import AverageConfig
from src.inference.device import resolve_attention, resolve_device
from src.parallel import checkpoint_io
from src.parallel.fsdp import CPU
from src.parallel.process_group import joined_processes
from src.parallel.sharded_saver import ShardedSaver
from src.parallel.state_dict import check_architecture
from src.parallel.weight_source import MODEL_PREFIX, WeightSource
from src.runs import loading, run_directory
from src.runs.config import VideoRunConfig
from src.runs.latents import NAMES
from src.streaming.media_loaders import MediaLoaders
from src.training.checkpoint_paths import checkpoint_dir, find_checkpoint
from src.training.config import Use
from src.training.precision import resolve


def run(config: AverageConfig) -> None:
    """Write the mean as step 0 of a run with the first input's config."""
    if len(config.inputs) < 2:
        raise UserError(f"inputs: needs at least two runs, got {len(config.inputs)}")
    run_dir, console = Path(config.run_dir), Console(highlight=False)
    with run_directory.locked_run_dir(run_dir / "average", config), joined_processes() as num_processes:
        selected = [Path(p) for p in config.inputs]
        if config.select == "greedy":
            selected = greedy(selected, config, run_dir / "average" / "greedy.json")
        mean = average_weights(selected, config.use)
        entries: dict[str, Any] = dict(autoencoder_keys(config.inputs))
        if config.validate:
            entries["val_metrics"] = validation(mean, selected[0], config)
        path = checkpoint_dir(run_dir) / "step-00000000.ckpt"
        if num_processes == 1:
            checkpoint_io.write_checkpoint({"state_dict": mean, **entries}, path)
        else:
            tensors = {f"{MODEL_PREFIX}{name}": value for name, value in mean.items()}
            ShardedSaver(is_async=False).save(tensors, {**entries, "optimizer_groups": []}, path)
        if is_first_rank():
            text = loading.read_config_text(Path(config.inputs[0]))
            (run_dir / "config.yaml").write_text(text, encoding="utf-8")
            console.print(f"{run_dir}: mean of {', '.join(map(str, selected))}", soft_wrap=True)


def autoencoder_keys(inputs: tuple[str, ...]) -> dict[str, str]:
    """Return a checkpoint's entries: the keys of TAE and codec whose latents all inputs were trained on."""
    kinds: tuple[loading.Autoencoder, ...] = ("tae", "codec")
    return {f"{kind}_key": common_key(inputs, kind) for kind in kinds}


def common_key(inputs: tuple[str, ...], kind: loading.Autoencoder) -> str:
    """Return the key of the TAE or codec whose latents all inputs were trained on; empty if none names one.

    Raises:
        UserError: two inputs were trained on latents of different ones.
    """
    keys, name = {path: key for path in inputs if (key := loading.stored_key(Path(path), kind))}, NAMES[kind]
    first = next(iter(keys), "")
    for path, key in keys.items():
        if key != keys[first]:
            raise UserError(
                f"inputs: {first} was trained on latents of a {name} with key {keys[first][:12]}, {path} on "
                f"those of one with key {key[:12]}; average runs on latents of one {name}"
            )
    return keys.get(first, "")


def greedy(inputs: list[Path], config: AverageConfig, log: Path) -> list[Path]:
    """Select runs for a greedy soup: best first, each next one only if the loss of the mean does not rise.

    Wortsman et al., "Model soups", 2022, algorithm 1.

    Args:
        log: JSON file for every loss measured.
    """

    def loss_of(paths: list[Path]) -> float:
        return validation(average_weights(paths, config.use), inputs[0], config)["val/loss"]

    single = {path: loss_of([path]) for path in inputs}
    ranked = sorted(inputs, key=lambda path: single[path])
    selected, best = ranked[:1], single[ranked[0]]
    steps = [{"run": str(path), "alone": loss} for path, loss in single.items()]
    for path in ranked[1:]:
        loss = loss_of([*selected, path])
        steps.append({"run": str(path), "together": loss, "kept": loss <= best})
        if loss <= best:
            selected, best = [*selected, path], loss
    if is_first_rank():
        log.write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")
    return selected


def average_weights(checkpoints: list[Path], use: Use = "ema") -> dict[str, Tensor]:
    """Return the uniform mean of several checkpoints' weights (model averaging: Movie Gen, sec. 3.3).

    Reads one tensor of one checkpoint at a time. With several processes each has a part of every tensor, and
    reads that part only.

    Raises:
        CheckpointError: a checkpoint is unreadable, or its architecture differs from the first one's.
        UserError: the list is empty.
    """
    if not checkpoints:
        raise UserError("average: no checkpoints given")
    sources = [WeightSource(find_checkpoint(path), use) for path in checkpoints]
    shapes = [{name: source.shape(name) for name in source} for source in sources]
    for source, found in zip(sources[1:], shapes[1:], strict=True):
        check_architecture(source.path, found, shapes[0])
    num_processes = dist.get_world_size() if dist.is_initialized() else 1
    mesh = init_device_mesh("cpu", (num_processes,)) if num_processes > 1 else None
    return {name: _mean(sources, name, mesh) for name in sources[0]}


def _mean(sources: list[WeightSource], name: str, mesh: DeviceMesh | None) -> Tensor:
    """Return the mean of one tensor; counters are the first source's."""
    shape, dtype = sources[0].shape(name), sources[0].dtype(name)
    if mesh is None:
        value = torch.empty(shape, dtype=dtype)
    else:
        placement = Shard(0) if shape and dtype.is_floating_point else Replicate()
        value = distributed.empty(shape, dtype=dtype, device_mesh=mesh, placements=[placement])
    # summed in float64: the mean is then rounded once and independent of the order
    total = None
    for source in sources if dtype.is_floating_point else sources[:1]:
        source.copy_to_({name: value})
        total = value.to(torch.float64, copy=True) if total is None else total.add_(value.double())
    assert total is not None
    return total.div_(len(sources)).to(dtype) if dtype.is_floating_point else value


@torch.no_grad()
def validation(
    weights: dict[str, Tensor], run: Path, options: AverageConfig | None = None
) -> dict[str, float]:
    """Measure validation losses of a video model's weights on the validation data of a run.

    Each of several processes measures the same numbers with full weights.

    Args:
        options: device, precision and attention kernel; by default the run's on a CPU.

    Raises:
        UserError: the run has no validation data.
    """
    config = loading.load_run_config(VideoRunConfig, run)
    loader: Any = MediaLoaders(config.data, config.train.seed, num_steps=1).val_dataloader()
    if not len(loader):
        raise UserError(f"{run}: has no validation data (data.val is empty)")
    device = resolve_device(options.device) if options else CPU
    attention, note = resolve_attention(
        (options and options.attention) or config.transformer.attention, device
    )
    if note and is_first_rank():
        Console(highlight=False).print(f"warning: {note}", soft_wrap=True)
    model = loading.video_model_with(loading.with_attention(config, attention), weights, run).to(device)
    name = (options and options.precision) or config.train.precision
    model.precision_name = resolve(name, device.type)
    losses: dict[str, list[Tensor]] = {}
    for batch in loader:
        for name, loss_B in model.validation_losses(batch.to(device)).items():
            losses.setdefault(name, []).append(loss_B)
    # float64: a mean that does not depend on how samples are split over batches
    return {name: float(torch.cat(parts).double().mean().cpu()) for name, parts in sorted(losses.items())}
