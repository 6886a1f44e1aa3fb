"""Average the weights of several finished runs into a new run (Movie Gen, sec. 3.3)."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from src.core.errors import UserError
from src.core.launch import is_first_rank
from src.experiments.config import AverageConfig
from src.parallel import checkpoint_io
from src.parallel.safetensors_io import read_weights
from src.parallel.state_dict import check_architecture, shapes_of
from src.runs import loading, run_directory
from src.runs.config import VideoRunConfig
from src.runs.latents import NAMES
from src.streaming.media_loaders import MediaLoaders
from src.training.checkpoint_paths import checkpoint_dir, find_checkpoint
from src.training.config import Use


def run(config: AverageConfig) -> None:
    """Write the mean as step 0 of a run with the first input's config."""
    if len(config.inputs) < 2:
        raise UserError(f"inputs: needs at least two runs, got {len(config.inputs)}")
    run_dir, console = Path(config.run_dir), Console(highlight=False)
    with run_directory.locked_run_dir(run_dir / "average", config):
        selected = [Path(p) for p in config.inputs]
        if config.select == "greedy":
            selected = greedy(selected, config, run_dir / "average" / "greedy.json")
        mean = average_weights(selected, config.use)
        payload: dict = {"state_dict": mean, **autoencoder_keys(config.inputs)}
        if config.validate:
            payload["val_metrics"] = validation(mean, selected[0])
        checkpoint_io.write_checkpoint(payload, checkpoint_dir(run_dir) / "step-00000000.ckpt")
        text = loading.read_config_text(Path(config.inputs[0]))
        (run_dir / "config.yaml").write_text(text, encoding="utf-8")
        if is_first_rank():
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
    single = {path: validation(average_weights([path], config.use), inputs[0])["val/loss"] for path in inputs}
    ranked = sorted(inputs, key=lambda path: single[path])
    selected, best = ranked[:1], single[ranked[0]]
    steps = [{"run": str(path), "alone": loss} for path, loss in single.items()]
    for path in ranked[1:]:
        loss = validation(average_weights([*selected, path], config.use), inputs[0])["val/loss"]
        steps.append({"run": str(path), "together": loss, "kept": loss <= best})
        if loss <= best:
            selected, best = [*selected, path], loss
    log.write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")
    return selected


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
            # summed in float64: the mean is then rounded once and independent of the order
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


@torch.no_grad()
def validation(weights: dict[str, Tensor], run: Path) -> dict[str, float]:
    """Measure validation losses of a video model's weights on the validation data of a run.

    Raises:
        UserError: the run has no validation data.
    """
    config = loading.load_run_config(VideoRunConfig, run)
    loader: Any = MediaLoaders(config.data, config.train.seed, num_steps=1).val_dataloader()
    if not len(loader):
        raise UserError(f"{run}: has no validation data (data.val is empty)")
    model = loading.video_model_with(config, weights, run)
    losses: dict[str, list[Tensor]] = {}
    for batch in loader:
        for name, loss_B in model.validation_losses(batch).items():
            losses.setdefault(name, []).append(loss_B)
    # float64: a mean that does not depend on how samples are split over batches
    return {name: float(torch.cat(parts).double().mean()) for name, parts in sorted(losses.items())}
