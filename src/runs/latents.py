"""Properties of encoded latents: text encoders, cache keys, statistics."""

from pathlib import Path

import torch

from src.core.errors import UserError
from src.models.text.config import FrozenTextConfig
from src.models.text.frozen_encoder import FrozenEncoder
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.schema.cache_keys import latent_key, stable_hash
from src.streaming.schema.dataset_index import read_info


def load_text_encoders(configs: dict[str, FrozenTextConfig]) -> dict[str, FrozenEncoder]:
    """Load the frozen text encoders by name.

    Raises:
        UserError: one cannot be loaded, or its name cannot be part of a record.
    """
    try:
        return {name: FrozenEncoder(name, each) for name, each in sorted(configs.items())}
    except ValueError as error:
        raise UserError(str(error)) from error


def encoders_key(tae: str, texts: dict[str, FrozenEncoder], first_frames: bool = False) -> str:
    """Return the cache key of all encoders: the TAE's alone, or combined with what else is stored."""
    if not texts and not first_frames:
        return tae
    keys = {name: each.fingerprint() for name, each in texts.items()}
    return stable_hash({"tae": tae, "text": keys} | ({"first_frames": True} if first_frames else {}))


def expected_latent_keys(config: VideoRunConfig) -> dict[str, str]:
    """Return, by path of a stream, the key that its latents would have if they were encoded now.

    Streams whose pixels, TAE or text encoders are not on this machine are left out: nothing can be checked.
    """
    keys: dict[str, str] = {}
    encoders: dict[str, str] = {}
    for stream in (*config.data.streams.values(), *config.data.val.values()):
        if not (Path(stream.path) / "dataset.json").is_file():
            continue  # the loader reports what is missing
        provenance = read_info(stream.path).provenance
        pixels, tae = provenance.get("pixels", ""), provenance.get("tae", "")
        if not (Path(pixels) / "dataset.json").is_file() or not Path(tae).exists():
            continue
        if tae not in encoders:
            encoders[tae] = loading.load_tae(Path(tae))[1]
        texts = {name: FrozenTextConfig(**each) for name, each in provenance.get("text", {}).items()}
        if all(Path(text.path).is_dir() for text in texts.values()):
            key = encoders_key(
                encoders[tae], load_text_encoders(texts), provenance.get("first_frames", False)
            )
            keys[stream.path] = latent_key(read_info(pixels).content, key)
    return keys


def tae_key(config: VideoRunConfig) -> str:
    """Return the key of the TAE that encoded a stage's latents; empty if they name none.

    Raises:
        UserError: two streams come from different TAEs.
    """
    streams = (*config.data.streams.values(), *config.data.val.values())
    found = {path: _key_of(path) for path in (config.latents + "/train", *(s.path for s in streams))}
    found = {path: key for path, key in found.items() if key}
    for path, key in found.items():
        first, first_key = next(iter(found.items()))
        if key != first_key:
            raise UserError(
                f"{first} and {path} were encoded by different TAEs, with keys {first_key[:12]} and "
                f"{key[:12]}; encode both with one"
            )
    return next(iter(found.values()), "")


def _key_of(path: str) -> str:
    has_index = bool(path) and (Path(path) / "dataset.json").is_file()  # the loader reports what is missing
    return read_info(path).provenance.get("tae_key", "") if has_index else ""


def refuse_other_tae(setting: str, source: Path, latents: str, key: str, advice: str) -> None:
    """Raise UserError if a model was trained on latents of another TAE than the one with this key.

    Args:
        setting: what names the model, and `advice` what would work, for the message.
        source: the model's run directory, checkpoint or exported file.
        latents: path of the latents that were encoded by the TAE with this key.
    """
    source_key = loading.stored_tae_key(source)
    if source_key and key and source_key != key:
        raise UserError(
            f"{setting}: was trained on latents of a TAE with key {source_key[:12]}, but latents={latents} "
            f"were encoded by one with key {key[:12]}; {advice}"
        )


def read_statistics(latents: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Read mean and standard deviation per channel over the training split; float32 [C] each."""
    statistics = read_info(latents / "train", "latents").statistics
    assert statistics is not None, f"{latents} holds no latents"
    return torch.tensor(statistics["mean"]), torch.tensor(statistics["std"])
