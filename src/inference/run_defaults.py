"""Settings of generation that follow from the run: size, frame rate, and the TAE of its latents."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.core import config as configs
from src.core.errors import UserError
from src.inference.config import GenerateConfig
from src.models.tae.config import TAEConfig
from src.models.transformer.config import TransformerConfig
from src.parallel.safetensors_io import Header
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.config import StreamConfig
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.dataset_index import DatasetInfo, read_info

DEFAULT_FPS = 16.0
EXPORTED_TAE = "tae.safetensors"


@dataclass(frozen=True)
class VideoFormat:
    """Number of frames, size in pixels and frame rate of the videos to generate; one frame is an image."""

    num_frames: int
    height: int
    width: int
    fps: float

    @property
    def is_image(self) -> bool:
        return self.num_frames == 1

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.num_frames, self.height, self.width)


def has_dataset(stream: StreamConfig) -> bool:
    """Return whether a stream's data set is on this machine."""
    return bool(stream.path) and (Path(stream.path) / "dataset.json").is_file()


def stream_buckets(stream: StreamConfig) -> list[Bucket]:
    """Return the buckets of a stream: those it names, else its data set's; [] if there is none."""
    names = list(stream.buckets)
    if not names and has_dataset(stream):
        names = sorted(read_info(stream.path).buckets)
    kinds = {"all": (True, False), "videos": (False,), "images": (True,)}[stream.media]
    return [bucket for bucket in map(Bucket.parse, names) if bucket.is_image in kinds]


def video_format(config: GenerateConfig, stage: VideoRunConfig, tae: TAEConfig) -> VideoFormat:
    """Return the configured format; what is null comes from the largest bucket that the run was trained on.

    Largest: most frames, then most pixels. If neither the run's data sets are here nor its exported file
    names them, it is the extent of the model's position tables.
    """
    exported = loading.find_export(Path(config.run))
    buckets = trained_buckets(stage, exported) or [largest_possible_bucket(stage.transformer, tae)]
    if config.num_frames is not None:  # images have a size of their own
        buckets = [bucket for bucket in buckets if bucket.num_frames == config.num_frames] or buckets
    largest = max(buckets, key=bucket_size)
    fps = config.fps if config.fps is not None else trained_fps(stage, largest, exported)
    return VideoFormat(
        config.num_frames or largest.num_frames,
        config.height or largest.height,
        config.width or largest.width,
        fps,
    )


def bucket_size(bucket: Bucket) -> tuple[int, int, int]:
    """Return what buckets are ordered by: frames, then pixels, then width."""
    return bucket.num_frames, bucket.height * bucket.width, bucket.width


def trained_buckets(stage: VideoRunConfig, exported: Header | None = None) -> list[Bucket]:
    """Return the buckets that a run was trained on, sorted; [] if they are unknown.

    Args:
        exported: header of the run's exported file, which names them; otherwise its data sets do.
    """
    if exported and exported.buckets:
        return sorted(map(Bucket.parse, exported.buckets))
    return sorted({bucket for stream in stage.data.streams.values() for bucket in stream_buckets(stream)})


def largest_possible_bucket(transformer: TransformerConfig, tae: TAEConfig) -> Bucket:
    """Return the largest video that the position tables cover."""
    units = (tae.temporal_factor, tae.spatial_factor, tae.spatial_factor)
    sizes = zip(transformer.max_positions, transformer.patch, units, strict=True)
    return Bucket(*(positions * patch * unit for positions, patch, unit in sizes))


def trained_fps(stage: VideoRunConfig, bucket: Bucket, exported: Header | None = None) -> float:
    """Return the frame rate of the first training record of a bucket, else the default."""
    if exported and exported.fps:
        return exported.fps
    for stream in filter(has_dataset, stage.data.streams.values()):
        dataset = Dataset(stream.path, verify=False)
        if bucket.name in dataset.readers:
            return dataset.latents(bucket.name, 0).fps
    return DEFAULT_FPS


def latents_info(stage: VideoRunConfig) -> Iterator[DatasetInfo]:
    """Yield the index of each training data set that is on this machine."""
    for stream in filter(has_dataset, stage.data.streams.values()):
        yield read_info(stream.path)


def tae_of_latents(run: str, stage: VideoRunConfig) -> str:
    """Return the TAE that encoded a run's training latents: of an exported file `tae.safetensors` next to it.

    Raises:
        UserError: the latents are not on this machine.
    """
    sibling = Path(run).with_name(EXPORTED_TAE)
    if loading.find_export(Path(run)) and sibling.is_file():
        return str(sibling)
    stream = next(iter(stage.data.streams.values()))
    try:
        return str(read_info(stream.path).provenance["tae"])
    except DataError as error:
        raise UserError(
            f"run={run}: its latents are not on this machine, so its TAE is unknown; give tae=... ({error})"
        ) from error


def refuse_other_tae(run: str, stage: VideoRunConfig, tae: str, key: str) -> None:
    """Raise UserError if the latents that a run was trained on were encoded by another TAE than `key`'s.

    The key is that of the checkpoint or exported file, else that of the latents where they are here.
    """
    names = {info.provenance.get("tae_key", ""): info.provenance.get("tae") for info in latents_info(stage)}
    stored = loading.stored_key(Path(run))
    for latents_key in filter(None, (stored, *names)):
        if latents_key != key:
            where = f" ({names[latents_key]})" if names.get(latents_key) else ""
            raise UserError(
                f"tae={tae}: key {key[:12]}, but the run's latents were encoded by a TAE with key "
                f"{latents_key[:12]}{where}; give that one as tae=..."
            )


def refuse_recipe(run: str) -> None:
    """Raise UserError for the directory of a recipe; the message names its last video stage."""
    tree = configs.read_text(loading.read_config_text(Path(run)))
    if tree.get("experiment") != "recipe":
        return
    for name in reversed(list(tree.get("stages", {}))):
        path = Path(run) / str(name) / "config.yaml"
        if path.is_file() and configs.read_flat(path).get("experiment") == "video":
            raise UserError(f"run={run}: is a recipe, not one of its stages; give run={path.parent}")
    raise UserError(f"run={run}: is a recipe without a finished video stage; give the run of a video model")
