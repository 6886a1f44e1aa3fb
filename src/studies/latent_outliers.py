"""Outliers in an autoencoder's latents (Movie Gen, sec. 3.1.1): how many positions, how far out, and where.

    python -m src.train configs/studies/latent_outliers.yaml tae=RUN data=DATASET/val

The *distance* of a latent position is the norm of its difference from its frame's mean, in units of the norm
of the frame's standard deviation: the quantity that the outlier penalty compares with r. Distant positions
are the spots that the penalty removes. Writes latent_outliers.json and latent_outliers.png.

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

from src.core.errors import UserError
from src.losses.latent import spatial_deviations
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import encode_tiled
from src.runs import loading
from src.streaming.pixels import from_uint8
from src.streaming.reader import Dataset
from src.studies.config import LatentOutliersConfig
from src.training.checkpoint_paths import find_checkpoint


@dataclass(frozen=True)
class VideoDistances:
    """One video: its middle frame, and the distances of all positions of its latent frames."""

    name: str
    frame_HWC: np.ndarray
    distance_THW: Tensor


def run(config: LatentOutliersConfig) -> None:
    """Encode the videos, count the outliers, write and plot them."""
    tae_path = Path(config.tae)
    tae, _ = loading.load_tae(tae_path, config.use)
    videos = [measure(tae, name, video_TCHW, config.tiling) for name, video_TCHW in read_videos(config)]
    if not videos:
        raise UserError(f"data={config.data}: contains no videos")
    all_distances = torch.cat([video.distance_THW.flatten() for video in videos])
    beyond = {f"{r:g}": float((all_distances > r).double().mean()) for r in config.beyond}
    out = Path(config.out or loading.run_folder(tae_path) / "latent_outliers")
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "checkpoint": str(find_checkpoint(tae_path)),
        "use": config.use,
        "data": config.data,
    }
    result |= {"num_videos": len(videos), "num_positions": len(all_distances)}
    result |= {"beyond": beyond, "max_distance": float(all_distances.max())}
    (out / "latent_outliers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(videos, all_distances, config, out / "latent_outliers.png")
    fractions = ", ".join(f"r = {r}: {fraction:.3%}" for r, fraction in beyond.items())
    console = Console(highlight=False)
    console.print(
        f"positions beyond r deviations: {fractions}; farthest {result['max_distance']:.1f}", soft_wrap=True
    )
    console.print(f"written: {out / 'latent_outliers.json'}, latent_outliers.png", soft_wrap=True)


def read_videos(config: LatentOutliersConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield names and pixels, uint8 [T, 3, H, W]: equally many from the start of each bucket.

    Raises:
        UserError: no data set, or one of latents.
    """
    dataset = Dataset(Path(config.data))
    if dataset.info.kind != "pixels":
        raise UserError(f"data={config.data}: holds {dataset.info.kind}, expected pixels")
    per_bucket = -(-config.num_videos // len(dataset.readers)) if config.num_videos else 0
    for bucket, reader in dataset.readers.items():
        for index in range(min(per_bucket or len(reader), len(reader))):
            record = dataset.pixels(bucket, index)
            yield record.id, record.video_TCHW


@torch.inference_mode()
def measure(tae: TAE, name: str, video_TCHW: Tensor, tiling: TilingConfig) -> VideoDistances:
    """Return the distances of the posterior mean; frames are padded to a multiple of the model's factor."""
    video_BCTHW = from_uint8(video_TCHW).transpose(0, 1)[None]
    factor = tae.config.spatial_factor
    pad = (0, -video_BCTHW.shape[4] % factor, 0, -video_BCTHW.shape[3] % factor, 0, 0)
    latent_BCTHW = encode_tiled(tae, F.pad(video_BCTHW, pad, mode="replicate"), tiling).mean_BCTHW
    distance_NS, deviation_N1 = spatial_deviations(latent_BCTHW)
    ratio_NS = distance_NS / deviation_N1.clamp_min(1e-12)  # a constant frame has deviation zero
    frame_HWC = video_TCHW[len(video_TCHW) // 2].permute(1, 2, 0).numpy()
    return VideoDistances(name, frame_HWC, ratio_NS.reshape(latent_BCTHW.shape[2:]))


def plot(
    videos: list[VideoDistances], all_distances: Tensor, config: LatentOutliersConfig, path: Path
) -> None:
    """Plot middle frames above maps of their latents' distances, and the fraction of positions beyond r."""
    worst = sorted(videos, key=lambda video: -float(video.distance_THW.max()))[: config.num_plotted]
    figure = Figure(figsize=(1.6 * len(worst) + 4.2, 3.6), layout="constrained")
    grid = figure.add_gridspec(2, len(worst) + 1, width_ratios=[1.0] * len(worst) + [2.2])
    top = max(6.0, float(all_distances.max()))
    maps = []
    for column, video in enumerate(worst):
        distance_HW = video.distance_THW[len(video.distance_THW) // 2].numpy()
        for row, image in enumerate((video.frame_HWC, distance_HW)):
            axes = figure.add_subplot(grid[row, column])
            axes.axis("off")
            scale: dict[str, Any] = {} if row == 0 else {"vmin": 0.0, "vmax": top, "cmap": "magma"}
            maps.append((axes, axes.imshow(image, interpolation="nearest", **scale)))
            if row:
                axes.set_title(f"max {float(video.distance_THW.max()):.1f}", fontsize="small")
    figure.colorbar(maps[-1][1], ax=[axes for axes, _ in maps], shrink=0.8, label="distance in deviations")
    axes = figure.add_subplot(grid[:, -1])
    ascending = np.sort(all_distances.numpy())
    axes.step(ascending, 1 - np.arange(len(ascending)) / len(ascending), where="post")
    for r in config.beyond:
        axes.axvline(r, linewidth=0.6, linestyle=":")
    axes.set(yscale="log", xlabel="r (deviations)", ylabel="fraction of positions beyond r", xlim=(0, top))
    figure.savefig(path, dpi=120)
