"""Reopen finished runs: a run's config, and its networks with their weights, ready for inference."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from src.core import config as configs
from src.core.errors import UserError
from src.models.codec.model import Codec
from src.models.nn.config import AttentionBackend
from src.models.tae.model import TAE
from src.models.tae.pretrained import PretrainedAutoencoder, is_pretrained, pretrained_key
from src.parallel import checkpoint_io, safetensors_io, weight_source
from src.parallel.fsdp import ParallelContext, copy_full_, full_tensor
from src.parallel.state_dict import describe_differences, shapes_of
from src.parallel.weight_source import WeightSource, shape_of
from src.runs.audio_config import AudioRunConfig
from src.runs.config import CodecRunConfig, TAERunConfig, VideoRunConfig
from src.streaming.schema.cache_keys import encoder_key
from src.training.checkpoint_paths import find_checkpoint
from src.training.config import Use
from src.training.modules.audio_model import AudioModel, build_audio_model
from src.training.modules.video_model import VideoModel, build_video_model
from src.training.precision import resolve

T = TypeVar("T")
Autoencoder = Literal["tae", "codec"]
MISMATCH = "the checkpoint does not match its config.yaml, or the model's code has changed"
HUB_WEIGHTS = "diffusion_pytorch_model.safetensors"  # diffusers' name of a component's weights


def load_run_config(schema: type[T], run: Path) -> T:
    """Load the config that a run was started with.

    Args:
        run: a run directory, one of its checkpoints, or an exported file.

    Raises:
        UserError: there is no run, or one of another kind.
    """
    tree = configs.read_text(read_config_text(run))
    kind = next(f.default for f in fields(schema) if f.name == "experiment")  # type: ignore[arg-type]
    if tree.get("experiment") != kind:
        raise UserError(f"{run}: expected a {kind} run, got {tree.get('experiment')}")
    return configs.build(schema, tree)


def read_config_text(run: Path) -> str:
    """Read a run's config as YAML.

    Raises:
        UserError: the path is no run directory, or the file is no export of a run.
    """
    if run.suffix == safetensors_io.SUFFIX:
        return safetensors_io.read_header(run).config
    path = run_folder(run) / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run}: not a run directory (config.yaml not found)")
    return path.read_text(encoding="utf-8")


def run_folder(run: Path) -> Path:
    """Return the directory of a run or checkpoint; of an exported file its folder or path without suffix."""
    if run.suffix == safetensors_io.SUFFIX:
        return run.parent.parent if run.name == HUB_WEIGHTS else run.with_suffix("")
    return run.parent.parent if run.parent.name == "checkpoints" else run


def read_weights(run: Path, use: Use = "ema") -> dict[str, Tensor]:
    """Read weights by name, of a run's newest checkpoint or of one checkpoint; by default the EMA's."""
    return weight_source.read_weights(find_checkpoint(run), use)


def stored_key(run: Path, kind: Autoencoder = "tae") -> str:
    """Return the key of the TAE or codec whose latents a run was trained on; empty if the file names none.

    Args:
        run: a run directory, a checkpoint or a file of weights; an exported autoencoder names its own key.
    """
    path, entry = find_checkpoint(run), f"{kind}_key"
    if path.suffix == safetensors_io.SUFFIX:
        header = safetensors_io.find_header(path)
        return str(getattr(header, entry)) if header else ""
    return str(checkpoint_io.read_entry(path, entry, ""))


def find_export(run: Path) -> safetensors_io.Header | None:
    """Return the header of a run that is an exported file; None for anything else."""
    return safetensors_io.find_header(run) if run.suffix == safetensors_io.SUFFIX else None


def strip_prefix(tensors: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """Return the tensors of one network, named without the network's name."""
    prefix = f"{network}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def tensors_sha256(tensors: Mapping[str, Tensor], prefix: str = "") -> str:
    """Hash names and values; optimizer state and file format do not enter.

    Args:
        prefix: hash the tensors under it, named without it.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(prefix)):
        tensor = tensors[name]
        header = f"{name.removeprefix(prefix)}:{tuple(tensor.shape)}:{tensor.dtype}"
        digest.update(header.encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def read_key(run: Path, kind: Autoencoder, use: Use = "ema") -> str:
    """Return the key that latents encoded with a TAE or codec carry; reads its weights and builds no model.

    Rounded weights hash differently; an exported file carries the key of those that it was rounded from.
    """
    if kind == "tae" and is_pretrained(run):
        return pretrained_key(run)
    exported = find_export(run)
    if exported and getattr(exported, f"{kind}_key"):
        return str(getattr(exported, f"{kind}_key"))
    config: TAERunConfig | CodecRunConfig
    config = load_run_config(TAERunConfig, run) if kind == "tae" else load_run_config(CodecRunConfig, run)
    weights = tensors_sha256(WeightSource(find_checkpoint(run), use), f"{kind}.")
    return encoder_key(weights, {"range": "[-1, 1]", "model": asdict(config.model)})


def load_autoencoder(run: Path, use: Use = "ema") -> tuple[TAE, str]:
    """Load a TAE, or a published autoencoder in diffusers' format, which has the methods of one; and its key.

    Raises:
        UserError: neither is there.
    """
    if not is_pretrained(run):
        return load_tae(run, use)
    try:
        return cast(TAE, PretrainedAutoencoder(run)), read_key(run, "tae")
    except ValueError as error:
        raise UserError(f"tae={error}") from error


def load_tae(run: Path, use: Use = "ema") -> tuple[TAE, str]:
    """Load a trained TAE in evaluation mode, and the key that latents encoded with it carry."""
    config = load_run_config(TAERunConfig, run)
    model = TAE(config.model)
    load_state(model, strip_prefix(read_weights(run, use), "tae"), run)
    return model.eval().requires_grad_(False), read_key(run, "tae", use)


def load_codec(run: Path, use: Use = "ema") -> tuple[Codec, str]:
    """Load a trained audio codec in evaluation mode, and the key that latents encoded with it carry."""
    config = load_run_config(CodecRunConfig, run)
    model = Codec(config.model)
    load_state(model, strip_prefix(read_weights(run, use), "codec"), run)
    return model.eval().requires_grad_(False), read_key(run, "codec", use)


def read_kind(run: Path) -> str:
    """Return the kind of run that a run directory, a checkpoint or an exported file is of."""
    return str(configs.read_text(read_config_text(run)).get("experiment", ""))


def load_video(
    run: Path,
    use: Use = "ema",
    *,
    attention: AttentionBackend | None = None,
    context: ParallelContext | None = None,
) -> tuple[VideoModel, VideoRunConfig]:
    """Load a trained video model (text network, transformer, latent statistics) and its run's config.

    Args:
        attention: the kernel; None: the run's.
        context: its place in a mesh, of which each process reads its shards; None: one process has all of it.
    """
    config = load_run_config(VideoRunConfig, run)
    if attention is not None:
        config = with_attention(config, attention)
    return video_model_with(config, WeightSource(find_checkpoint(run), use), run, context), config


def with_attention(config: VideoRunConfig, attention: AttentionBackend) -> VideoRunConfig:
    """Return a run's config with another attention kernel; weights do not depend on it."""
    text = config.text
    if text.attention == "flash":
        text = replace(text, attention=attention)
    return replace(config, transformer=replace(config.transformer, attention=attention), text=text)


def video_model_with(
    config: VideoRunConfig, tensors: Mapping[str, Tensor], run: Path, context: ParallelContext | None = None
) -> VideoModel:
    """Return a video model with the given weights, in evaluation mode.

    Args:
        tensors: full or sharded, or a source of which each process reads its shards.
        run: where the weights come from, for messages.
    """
    model = build_video_model(
        config.transformer,
        config.text,
        config.encoders,
        config.flow,
        resolve(config.train.precision, "cpu"),
        context,
    )
    targets = model.state_dict(keep_vars=True)
    found = {name: shape_of(tensors, name) for name in tensors if name not in safetensors_io.COUNTERS}
    differences = describe_differences(found, shapes_of(targets))
    if differences:
        raise UserError(f"{run}: {MISMATCH}: {differences}")
    if isinstance(tensors, WeightSource):
        tensors.copy_to_(targets)
    else:
        with torch.no_grad():
            for name, target in targets.items():
                copy_full_(target, full_tensor(tensors[name]))
    return model.eval().requires_grad_(False)


def load_audio(run: Path, use: Use = "ema") -> tuple[AudioModel, AudioRunConfig]:
    """Load a trained audio model (text and video networks, transformer, statistics) and its run's config."""
    config = load_run_config(AudioRunConfig, run)
    model = build_audio_model(
        config.transformer,
        config.text,
        config.encoders,
        config.video,
        config.flow,
        config.latent_rate,
        resolve(config.train.precision, "cpu"),
    )
    tensors = read_weights(run, use)
    load_state(model, {k: v for k, v in tensors.items() if k not in safetensors_io.COUNTERS}, run)
    return model.eval().requires_grad_(False), config


def load_state(model: nn.Module, tensors: dict[str, Tensor], run: Path) -> None:
    """Load a state dict; UserError naming the run if names or shapes differ."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{run}: {MISMATCH}: {detail}") from error
