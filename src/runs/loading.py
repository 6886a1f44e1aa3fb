"""Finished runs opened again: a run's config, its networks with their weights, ready for inference."""

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from src.core import config as configs
from src.core.errors import UserError
from src.models.tae import TAE
from src.parallel import safetensors_io
from src.streaming.schema import encoder_key
from src.training.callbacks.checkpoint import find
from src.training.config import Use

T = TypeVar("T")


def run_config(schema: type[T], run: Path) -> T:
    """The config that a run was started with.

    Args:
        run: a run's directory, one of its checkpoints, or an exported file.

    Raises:
        UserError: there is no run, or one of another kind.
    """
    tree = configs.read_text(config_text(run))
    kind = next(f.default for f in fields(schema) if f.name == "experiment")  # type: ignore[arg-type]
    if tree.get("experiment") != kind:
        raise UserError(f"{run}: is a run of kind {tree.get('experiment')}, one of kind {kind} is needed")
    return configs.build(schema, tree)


def config_text(run: Path) -> str:
    """A run's config as YAML.

    Raises:
        UserError: the directory holds no run, or the file is no export of one.
    """
    if run.suffix == safetensors_io.SUFFIX:
        return safetensors_io.read_header(run).config
    path = folder_of(run) / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run}: holds no run (config.yaml is missing)")
    return path.read_text(encoding="utf-8")


def folder_of(run: Path) -> Path:
    """A run's directory, given that or one of its checkpoints; an exported file without its ending."""
    if run.suffix == safetensors_io.SUFFIX:
        return run.with_suffix("")
    return run.parent.parent if run.parent.name == "checkpoints" else run


def read_weights(run: Path, use: Use = "ema") -> dict[str, Tensor]:
    """A run's newest weights (or one checkpoint's) by name, averaged ones where there are any."""
    return safetensors_io.read(find(run), use)


def part(tensors: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """The tensors of one network, without its name."""
    prefix = f"{network}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """A hash of names and values; optimiser state and file format play no part in it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}:{tuple(tensors[name].shape)}:{tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def load_tae(run: Path, use: Use = "ema") -> tuple[TAE, str]:
    """A trained TAE in evaluation mode, and the key that latents made with it carry."""
    from src.runs import tae

    config = run_config(tae.Config, run)
    found = part(read_weights(run, use), "tae")
    model = TAE(config.model)
    _load(model, found, run)
    key = encoder_key(tensors_sha256(found), {"range": "[-1, 1]", "model": asdict(config.model)})
    return model.eval().requires_grad_(False), key


def load_video(run: Path, use: Use = "ema") -> Any:
    """A trained video module (text encoder, transformer, latent statistics) and its run's config."""
    from src.runs import video

    config = run_config(video.Config, run)
    return video_module(config, read_weights(run, use), run), config


def video_module(config: Any, found: dict[str, Tensor], run: Path) -> Any:
    """A video module with given weights, in evaluation mode; `run` is for messages."""
    from src.runs import video

    module = video.build_module(config)
    module.configure_model()
    module.ema.clear()  # the weights to use go into the networks themselves
    for name in ("text", "transformer"):
        _load(module.network(name), part(found, name), run)
    module.set_latent_statistics(found["latent_mean_C"], found["latent_std_C"])
    return module.eval().requires_grad_(False)


def _load(model: Any, tensors: dict[str, Tensor], run: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{run}: its checkpoint does not fit its config.yaml: {detail}") from error
