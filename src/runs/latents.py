"""Properties of encoded latents: text encoders, cache keys, statistics."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from src.core.errors import UserError
from src.models.tae.config import TilingConfig
from src.models.text.config import FrozenTextConfig
from src.models.text.frozen_encoder import FrozenEncoder, fingerprint
from src.models.vision.config import FrozenVisionConfig
from src.models.vision.frozen_tower import FrozenTower
from src.runs import loading
from src.runs.audio_config import AudioRunConfig
from src.runs.config import VideoRunConfig
from src.streaming.config import StorageConfig
from src.streaming.remote_index import may_have_info, open_info
from src.streaming.schema.bucket import Bucket, Kind
from src.streaming.schema.cache_keys import latent_key, stable_hash
from src.streaming.schema.dataset_index import read_info

FlowRunConfig = VideoRunConfig | AudioRunConfig
NAMES = {"tae": "TAE", "codec": "codec"}


def load_vision(config: FrozenVisionConfig) -> FrozenTower:
    """Load a frozen image tower; UserError if it cannot be loaded."""
    try:
        return FrozenTower(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def load_text_encoders(
    configs: dict[str, FrozenTextConfig], device: str | torch.device = "cpu"
) -> dict[str, FrozenEncoder]:
    """Load the frozen text encoders by name.

    Raises:
        UserError: one cannot be loaded, or its name cannot be part of a record.
    """
    try:
        return {name: FrozenEncoder(name, each, device) for name, each in sorted(configs.items())}
    except ValueError as error:
        raise UserError(str(error)) from error


def encoders_key(
    autoencoder: str,
    texts: dict[str, FrozenTextConfig],
    first_frames: bool = False,
    vision: str = "",
    flags_captions: bool = False,
    tiling: dict[str, int] | None = None,
) -> str:
    """Return the cache key of all encoders: that of TAE or codec alone, or combined with what else is stored.

    Loads no model.

    Args:
        vision: fingerprint of a frozen image tower.
        tiling: of `cut_tiling`.
    """
    if not (texts or first_frames or vision or flags_captions or tiling):
        return autoencoder
    keys = {name: fingerprint(each) for name, each in texts.items()}
    more: dict[str, Any] = {"first_frames": True} if first_frames else {}
    more |= {"vision": vision} if vision else {}
    more |= {"flags_captions": True} if flags_captions else {}
    more |= {"tiling": tiling} if tiling else {}
    return stable_hash({"tae": autoencoder, "text": keys} | more)


def cut_tiling(tiling: TilingConfig, buckets: Iterable[Bucket]) -> dict[str, int]:
    """Return the tile sizes that change the latents of some bucket; empty where every clip is one tile."""
    found = list(buckets)
    sizes: dict[str, int] = {}
    if any(bucket.num_frames > tiling.frames for bucket in found):
        sizes["frames"] = tiling.frames
    if tiling.size and any(max(bucket.height, bucket.width) > tiling.size for bucket in found):
        sizes |= {"size": tiling.size, "size_overlap": tiling.size_overlap}
    return sizes


def expected_latent_keys(config: FlowRunConfig) -> dict[str, str]:
    """Return, by path of a stream, the key that its latents would have if they were encoded now.

    Reads weights and files, and loads no model but an image tower. Streams whose data, TAE or codec, or
    frozen encoders are not on this machine are left out: nothing can be checked.
    """
    keys: dict[str, str] = {}
    encoders: dict[str, str] = {}
    for stream in (*config.data.streams.values(), *config.data.val.values()):
        if not may_have_info(stream.path):
            continue  # the loader reports what is missing
        provenance = open_info(stream.path, config.data.storage).provenance
        pixels, kind = provenance.get("pixels", ""), autoencoder_of(config)
        run = provenance.get(kind, "")
        if not (Path(pixels) / "dataset.json").is_file() or not run or not Path(run).exists():
            continue
        if run not in encoders:
            encoders[run] = loading.read_key(Path(run), kind)
        texts = {name: FrozenTextConfig(**each) for name, each in provenance.get("text", {}).items()}
        tower = provenance.get("vision", {})
        if all(
            Path(path).is_dir() for path in [*(text.path for text in texts.values()), tower.get("path", ".")]
        ):
            key = encoders_key(
                encoders[run],
                texts,
                provenance.get("first_frames", False),
                load_vision(FrozenVisionConfig(**tower)).fingerprint() if tower else "",
                provenance.get("flags_captions", False),
                provenance.get("tiling"),
            )
            keys[stream.path] = latent_key(read_info(pixels).content, key)
    return keys


def autoencoder_of(config: FlowRunConfig) -> loading.Autoencoder:
    """Return what encodes the latents of a kind of run."""
    return "tae" if isinstance(config, VideoRunConfig) else "codec"


def dataset_kind(config: FlowRunConfig) -> Kind:
    """Return the kind of data set that holds the latents of a kind of run."""
    return "latents" if isinstance(config, VideoRunConfig) else "audio_latents"


def autoencoder_key(config: FlowRunConfig) -> str:
    """Return the key of the TAE or codec that encoded a stage's latents; empty if they name none.

    Raises:
        UserError: two streams come from different ones.
    """
    kind = autoencoder_of(config)
    streams = (*config.data.streams.values(), *config.data.val.values())
    paths = (config.latents + "/train", *(s.path for s in streams))
    found = {path: _key_of(path, kind, config.data.storage) for path in paths}
    found = {path: key for path, key in found.items() if key}
    for path, key in found.items():
        first, first_key = next(iter(found.items()))
        if key != first_key:
            raise UserError(
                f"{first} and {path} were encoded by different {NAMES[kind]}s, with keys {first_key[:12]} "
                f"and "
                f"{key[:12]}; encode both with one"
            )
    return next(iter(found.values()), "")


def _key_of(path: str, kind: loading.Autoencoder, storage: StorageConfig) -> str:
    # the loader reports what is missing
    return open_info(path, storage).provenance.get(f"{kind}_key", "") if may_have_info(path) else ""


def refuse_other_autoencoder(
    kind: loading.Autoencoder, setting: str, source: Path, latents: str, key: str, advice: str
) -> None:
    """Raise UserError if a model was trained on latents of another TAE or codec than the one with this key.

    Args:
        setting: what names the model, and `advice` what would work, for the message.
        source: the model's run directory, checkpoint or exported file.
        latents: path of the latents that were encoded by the one with this key.
    """
    source_key = loading.stored_key(source, kind)
    if source_key and key and source_key != key:
        raise UserError(
            f"{setting}: was trained on latents of a {NAMES[kind]} with key {source_key[:12]}, but "
            f"latents={latents} "
            f"were encoded by one with key {key[:12]}; {advice}"
        )


def read_statistics(
    latents: str, kind: Kind = "latents", storage: StorageConfig | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read mean and standard deviation per channel over the training split; float32 [C] each.

    Args:
        latents: directory, or address in a store, of the data sets of all splits.

    Raises:
        UserError: the data set holds something else.
    """
    info = open_info(f"{latents}/train", storage, kind)
    if info.kind != kind or info.statistics is None:
        raise UserError(f"latents={latents}: expected {kind}, found {info.kind}")
    statistics = info.statistics
    return torch.tensor(statistics["mean"]), torch.tensor(statistics["std"])
