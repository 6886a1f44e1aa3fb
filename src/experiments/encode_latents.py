"""Encode a prepared data set once: posterior moments, not one draw of them, keyed by content and encoder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from src.core.errors import UserError
from src.core.fields import opt
from src.models.tae.model import TAE
from src.models.text.config import FrozenTextConfig
from src.models.text.frozen_encoder import FrozenEncoder
from src.parallel.fsdp import CPU
from src.runs import loading, run_directory
from src.streaming.collate import with_fps
from src.streaming.pixels import from_uint8
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.cache_keys import latent_key, stable_hash
from src.streaming.schema.dataset_index import read_info
from src.streaming.schema.records import LatentRecord, PixelRecord
from src.streaming.schema.writer import LatentWriter
from src.training import precision

PART_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which encoder, which data."""

    experiment: str = opt("latents", "kind of run")
    name: str = opt("latents", "what the run is called")
    run_dir: str = opt("runs/${name}", "where the latents go: RUN_DIR/train, RUN_DIR/val")
    tae: str = opt("???", "run directory (or checkpoint) of the TAE")
    data: str = opt("???", "prepared data set: the directory that holds train/ and val/")
    encoders: dict[str, FrozenTextConfig] = opt(
        {}, "frozen text encoders by name, whose embeddings of every caption are stored along"
    )
    first_frames: bool = opt(False, "store each film's first frame as a picture too, for image-to-video")
    batch_size: int = opt(32, "clips encoded at a time")
    precision: str = opt("fp32", "fp32 or bf16")
    renew: bool = opt(False, "replace latents that another encoder or other data made")


def run(config: Config) -> None:
    """Encode every split."""
    run_dir = Path(config.run_dir)
    with run_directory.opened(run_dir, config, compare=not config.renew):
        model, encoder = loading.load_tae(Path(config.tae))
        texts = load_encoders(config.encoders)
        encoder = cache_key(encoder, texts, config.first_frames)
        splits = [p.parent.name for p in sorted(Path(config.data).glob("*/dataset.json"))]
        if "train" not in splits:
            raise UserError(f"data={config.data}: no prepared data set there (train/dataset.json is missing)")
        for split in splits:
            encode_split(config, model, texts, encoder, split, run_dir / split)


def load_encoders(configs: dict[str, FrozenTextConfig]) -> dict[str, FrozenEncoder]:
    """The frozen text encoders by name.

    Raises:
        UserError: one cannot be loaded, or its name cannot be part of a record.
    """
    try:
        return {name: FrozenEncoder(name, each) for name, each in sorted(configs.items())}
    except ValueError as error:
        raise UserError(str(error)) from error


def cache_key(tae: str, texts: dict[str, FrozenEncoder], first_frames: bool = False) -> str:
    """Key of all that encodes: the TAE's alone, or with the text encoders' and what else is stored."""
    if not texts and not first_frames:
        return tae
    keys = {name: each.fingerprint() for name, each in texts.items()}
    return stable_hash({"tae": tae, "text": keys} | ({"first_frames": True} if first_frames else {}))


def encode_split(
    config: Config, model: TAE, texts: dict[str, FrozenEncoder], encoder: str, split: str, out: Path
) -> None:
    """Encode one split in parts; parts that are there already are kept."""
    dataset = Dataset(Path(config.data) / split)
    key = latent_key(dataset.info.content, encoder)
    provenance: dict[str, Any] = {"pixels": str(dataset.root), "tae": config.tae, "encoder": encoder}
    if texts:
        provenance["text"] = {name: asdict(each.config) for name, each in texts.items()}
    if config.first_frames:
        provenance["first_frames"] = True
    parts = dataset.parts(PART_SIZE)
    columns = (TextColumn(f"encode {split}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with LatentWriter(out, key, renew=config.renew) as writer, Progress(*columns) as progress:
        missing = writer.missing(len(parts))
        total = sum(stop - start for _, start, stop in parts)
        todo = sum(parts[n][2] - parts[n][1] for n in missing)
        task = progress.add_task("", total=total, completed=total - todo)
        for number in missing:
            bucket, start, stop = parts[number]
            with writer.part(number) as part:
                for first in range(start, stop, config.batch_size):
                    indices = range(first, min(first + config.batch_size, stop))
                    for record in encode(model, texts, dataset, bucket, indices, config):
                        part.add(record)
                    progress.advance(task, len(indices))
        writer.finish(len(parts), provenance)


@torch.inference_mode()
def encode(
    model: TAE,
    texts: dict[str, FrozenEncoder],
    dataset: Dataset,
    bucket: str,
    indices: range,
    config: Config,
) -> list[LatentRecord]:
    """The latent records of some clips of one bucket."""
    records = [dataset.pixels(bucket, i) for i in indices]
    video_BCTHW = from_uint8(torch.stack([r.video_TCHW for r in records]).transpose(1, 2))
    with precision.autocast(precision.resolve(config.precision, CPU.type), CPU.type):
        posterior = model.encode(video_BCTHW)
        firsts = model.encode(video_BCTHW[:, :, :1]).mean_BCTHW.half() if config.first_frames else None
    moments = torch.cat([posterior.mean_BCTHW, posterior.std_BCTHW], 1).half()
    return [
        LatentRecord(
            id=record.id,
            moments_2CTHW=moments[i].clone(),
            bucket=Bucket.parse(bucket),
            fps=record.fps,
            captions=record.captions,
            facts=record.facts,
            source=record.source,
            content_sha256=record.content_sha256,
            first_C1HW=None if firsts is None else firsts[i].clone(),
            text={name: embeddings(each, record) for name, each in texts.items()},
        )
        for i, record in enumerate(records)
    ]


def embeddings(encoder: FrozenEncoder, record: PixelRecord) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens float16 [N, L, D] and mask uint8 [N, L] of a record's captions as the model reads them.

    Raises:
        UserError: it has no caption, or an embedding is beyond the range of float16.
    """
    if not record.captions:
        raise UserError(f"encoders.{encoder.name}: {record.id} has no caption to encode")
    texts = [c if record.bucket.is_image else with_fps(c, record.fps) for c in record.captions]
    tokens_NLD, mask_NL = encoder.encode(texts)
    half_NLD = tokens_NLD.half().cpu()
    if not bool(torch.isfinite(half_NLD).all()):
        raise UserError(f"encoders.{encoder.name}: embeddings of {record.id} do not fit float16")
    return half_NLD, mask_NL.byte().cpu()


def read_statistics(latents: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation per channel over the training split, float32 [C] each (spec, section 13)."""
    found = read_info(latents / "train").statistics
    assert found is not None, f"{latents} holds no latents"
    return torch.tensor(found["mean"]), torch.tensor(found["std"])
