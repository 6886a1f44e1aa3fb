"""Outliers in an autoencoder's latents (paper section 3.1.1): how many positions, how far out, and where.

    python -m src.train configs/studies/latent_outliers.yaml tae=RUN data=DATASET/val

A latent position's *distance* is the norm of its difference from its frame's mean, in units of the norm of
the frame's standard deviation: what the outlier penalty compares with r. Positions far out are the spots that
the penalty is there to remove. Writes latent_norms.json and latent_norms.png.

Legend: B batch (1), C channels, T frames, H height, W width, N latent frames, S = H * W positions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from src import losses
from src.core.errors import UserError
from src.core.fields import opt
from src.models.tae import TAE
from src.models.tae.tiling import TilingConfig, encode_tiled
from src.runs import loading
from src.streaming.reader import Dataset
from src.training.callbacks.checkpoint import find
from src.training.config import Use


@dataclass(frozen=True, kw_only=True)
class Config:
    """Whose latents of which films."""

    experiment: str = opt("latent_norms", "kind of run")
    name: str = opt("latent_norms", "what the measurement is called")
    tae: str = opt("???", "run directory or checkpoint of an autoencoder")
    use: Use = opt("ema", "weights: ema or raw")
    data: str = opt("???", "prepared data set of pixels (the directory that holds dataset.json)")
    out: str = opt("", "where to write; empty: RUN/latent_norms")
    number: int = opt(64, "films of the data set, spread over its buckets; 0: all")
    beyond: tuple[float, ...] = opt((2.0, 3.0, 4.0, 5.0), "deviations beyond which positions are counted")
    shown: int = opt(6, "films in the picture, the ones with the farthest positions")
    tiling: TilingConfig = opt(TilingConfig(), "tiles of long films and large frames")

    def __post_init__(self) -> None:
        for name, least in (("number", 0), ("shown", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.beyond or min(self.beyond) <= 0:
            raise ValueError(f"beyond must name deviations above 0, got {list(self.beyond)}")


@dataclass(frozen=True)
class Film:
    """One film's frame from its middle and its distances, in deviations, of every latent frame."""

    name: str
    frame_HWC: np.ndarray
    distance_THW: Tensor


def run(config: Config) -> None:
    """Encode, count, draw, write."""
    tae, _ = loading.load_tae(Path(config.tae), config.use)
    found = [measure(tae, *film, config.tiling) for film in films(config)]
    if not found:
        raise UserError(f"data={config.data}: holds no films")
    every = torch.cat([film.distance_THW.flatten() for film in found])
    beyond = {f"{r:g}": float((every > r).double().mean()) for r in config.beyond}
    path = Path(config.tae)
    root = path.parent.parent if path.parent.name == "checkpoints" else path
    out = Path(config.out or root / "latent_norms")
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"checkpoint": str(find(path)), "use": config.use, "data": config.data}
    record |= {"films": len(found), "positions": len(every)}
    record |= {"beyond": beyond, "farthest": float(every.max())}
    (out / "latent_norms.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw(found, every, config, out / "latent_norms.png")
    shown = ", ".join(f"r = {r}: {share:.3%}" for r, share in beyond.items())
    console = Console(highlight=False)
    console.print(
        f"positions beyond r deviations: {shown}; farthest {record['farthest']:.1f}", soft_wrap=True
    )
    console.print(f"written: {out / 'latent_norms.json'}, latent_norms.png", soft_wrap=True)


def films(config: Config) -> Iterator[tuple[str, Tensor]]:
    """Names and pixels, uint8 [T, 3, H, W]; the first ones of each bucket, in equal shares.

    Raises:
        UserError: no data set, or one of latents.
    """
    dataset = Dataset(Path(config.data))
    if dataset.info.kind != "pixels":
        raise UserError(f"data={config.data}: holds {dataset.info.kind}, pixels are needed")
    share = -(-config.number // len(dataset.readers)) if config.number else 0
    for bucket, reader in dataset.readers.items():
        for index in range(min(share or len(reader), len(reader))):
            record = dataset.pixels(bucket, index)
            yield record.id, record.video_TCHW


@torch.inference_mode()
def measure(tae: TAE, name: str, video_TCHW: Tensor, tiling: TilingConfig) -> Film:
    """Distances of the posterior's mean; frames are padded to what the model divides."""
    video = video_TCHW.transpose(0, 1)[None].float().div(127.5).sub(1.0)
    unit = tae.config.spatial_factor
    pad = (0, -video.shape[4] % unit, 0, -video.shape[3] % unit, 0, 0)
    latent_BCTHW = encode_tiled(tae, F.pad(video, pad, mode="replicate"), tiling).mean_BCTHW
    distance_NS, deviation_N1 = losses.distances(latent_BCTHW)
    ratio_NS = distance_NS / deviation_N1.clamp_min(1e-12)
    frame = video_TCHW[len(video_TCHW) // 2].permute(1, 2, 0).numpy()
    return Film(name, frame, ratio_NS.reshape(latent_BCTHW.shape[2:]))


def draw(found: list[Film], every: Tensor, config: Config, path: Path) -> None:
    """Middle frames above maps of their latents' distances, and the share of positions beyond any r."""
    shown = sorted(found, key=lambda film: -float(film.distance_THW.max()))[: config.shown]
    figure = Figure(figsize=(1.6 * len(shown) + 4.2, 3.6), layout="constrained")
    grid = figure.add_gridspec(2, len(shown) + 1, width_ratios=[1.0] * len(shown) + [2.2])
    top = max(6.0, float(every.max()))
    maps = []
    for column, film in enumerate(shown):
        middle = film.distance_THW[len(film.distance_THW) // 2]
        for row, picture in enumerate((film.frame_HWC, middle.numpy())):
            axes = figure.add_subplot(grid[row, column])
            axes.axis("off")
            colours = {} if row == 0 else {"vmin": 0.0, "vmax": top, "cmap": "magma"}
            maps.append((axes, axes.imshow(picture, interpolation="nearest", **colours)))
            if row:
                axes.set_title(f"max {float(film.distance_THW.max()):.1f}", fontsize="small")
    figure.colorbar(maps[-1][1], ax=[axes for axes, _ in maps], shrink=0.8, label="distance in deviations")
    axes = figure.add_subplot(grid[:, -1])
    ordered = np.sort(every.numpy())
    axes.step(ordered, 1 - np.arange(len(ordered)) / len(ordered), where="post")
    for r in config.beyond:
        axes.axvline(r, linewidth=0.6, linestyle=":")
    axes.set(yscale="log", xlabel="r (deviations)", ylabel="share of positions beyond r", xlim=(0, top))
    figure.savefig(path, dpi=120)
