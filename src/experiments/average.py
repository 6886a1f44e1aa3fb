"""Average the weights of several finished runs into a run of its own (spec, section 4.4)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from torch import Tensor

from src.core.errors import UserError
from src.core.fields import opt
from src.parallel import checkpoint_io
from src.runs import loading, run_directory, video
from src.streaming.datamodule import MediaData
from src.training.callbacks.checkpoint import checkpoint_dir
from src.training.config import Use
from src.training.init_weights import average


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs to average."""

    experiment: str = opt("average", "kind of run")
    name: str = opt("???", "what the average is called")
    run_dir: str = opt("runs/${name}", "where the average goes; it can be used like any finished run")
    inputs: tuple[str, ...] = opt((), "runs, checkpoints or exported files of one architecture")
    use: Use = opt("ema", "which weights of each: ema or raw")
    select: Literal["all", "greedy"] = opt(
        "all", "all: the uniform mean; greedy: from the best on, those that do not raise the validation loss"
    )
    validate: bool = opt(False, "measure the average's validation loss on the first input's validation data")


def run(config: Config) -> None:
    """Write the mean as step 0 of a run with the first input's config."""
    if len(config.inputs) < 2:
        raise UserError(f"inputs: at least two runs are needed, got {len(config.inputs)}")
    run_dir, console = Path(config.run_dir), Console(highlight=False)
    with run_directory.opened(run_dir / "average", config):
        chosen = [Path(p) for p in config.inputs]
        if config.select == "greedy":
            chosen = greedy(chosen, config, run_dir / "average" / "greedy.json")
        mean = average(chosen, config.use)
        payload: dict = {"state_dict": mean}
        if config.validate:
            payload["val_metrics"] = validation(mean, chosen[0])
        checkpoint_io.write_file(payload, checkpoint_dir(run_dir) / "step-00000000.ckpt")
        text = loading.config_text(Path(config.inputs[0]))
        (run_dir / "config.yaml").write_text(text, encoding="utf-8")
        if run_directory.is_first_rank():
            console.print(f"{run_dir}: mean of {', '.join(map(str, chosen))}", soft_wrap=True)


def greedy(inputs: list[Path], config: Config, log: Path) -> list[Path]:
    """The greedy soup (Wortsman et al., 2022): best first, and each next one only if the mean gets no worse.

    Args:
        log: JSON of every loss on the way.
    """
    alone = {path: validation(average([path], config.use), inputs[0])["val/loss"] for path in inputs}
    ranked = sorted(inputs, key=lambda path: alone[path])
    chosen, best = ranked[:1], alone[ranked[0]]
    steps = [{"run": str(path), "alone": loss} for path, loss in alone.items()]
    for path in ranked[1:]:
        loss = validation(average([*chosen, path], config.use), inputs[0])["val/loss"]
        steps.append({"run": str(path), "together": loss, "kept": loss <= best})
        if loss <= best:
            chosen, best = [*chosen, path], loss
    log.write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")
    return chosen


@torch.no_grad()
def validation(weights: dict[str, Tensor], run: Path) -> dict[str, float]:
    """Validation losses of a video model's weights on the validation data of a run.

    Raises:
        UserError: the run has no validation data.
    """
    config = loading.run_config(video.Config, run)
    loader = MediaData(config.data, config.train.seed, num_steps=1).val_dataloader()
    if not len(loader):
        raise UserError(f"{run}: has no validation data (data.val is empty)")
    module = loading.video_module(config, weights, run)
    module.on_validation_epoch_start()
    for number, batch in enumerate(loader):
        module.validation_step(batch, number)
    module.on_validation_epoch_end()
    return module.val_metrics
