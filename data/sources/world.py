"""Films and pictures of the Bounce world: nothing to read, every film a pure function of its seed."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from data.bounce.captions import WORDINGS, worded
from data.bounce.config import WorldConfig
from data.bounce.world import WORLD_VERSION, film
from data.work_units import Input
from src.core.fields import opt
from src.streaming.schema import PixelRecord, Rejection, content_sha256

VAL_SEEDS = 5_000_000  # validation films start here, beyond every training film


@dataclass(frozen=True, kw_only=True)
class WorldSet:
    """Films of one length and size; one frame makes pictures."""

    films: int = opt(4000, "training films")
    val_films: int = opt(256, "validation films: same distribution, other seeds")
    num_frames: int = opt(16, "frames of each film; 1 makes pictures")
    height: int = opt(32, "height in pixels")
    width: int = opt(32, "width in pixels")
    fps: float = opt(16.0, "frames in a second")
    wordings: tuple[str, ...] = opt(tuple(WORDINGS), "captions of each film: plain, short, long")
    first_seed: int = opt(0, "seed of the first film")
    world: WorldConfig = opt(WorldConfig(), "which films: objects, motion, cameras, held-out combinations")

    def __post_init__(self) -> None:
        if not 0 <= self.films <= VAL_SEEDS:
            raise ValueError(f"films must be between 0 and {VAL_SEEDS}, got {self.films}")
        if self.val_films < 0:
            raise ValueError(f"val_films must be at least 0, got {self.val_films}")
        if not self.wordings or not set(self.wordings) <= WORDINGS.keys():
            raise ValueError(f"wordings={list(self.wordings)}: choose one or more of {', '.join(WORDINGS)}")
        if not self.fps > 0:
            raise ValueError(f"fps must be above 0, got {self.fps}")


@dataclass(frozen=True)
class WorldSource:
    """Sets of films by name, such as "videos" and "images"."""

    sets: dict[str, WorldSet]

    def splits(self) -> dict[str, list[Input]]:
        out: dict[str, list[Input]] = {"train": [], "val": []}
        for name, one in self.sets.items():
            out["train"] += [{"set": name, "seed": one.first_seed + i} for i in range(one.films)]
            out["val"] += [
                {"set": name, "seed": one.first_seed + VAL_SEEDS + i} for i in range(one.val_films)
            ]
        return out

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        one, seed = self.sets[item["set"]], item["seed"]
        try:
            made = film(
                seed, one.world, num_frames=one.num_frames, height=one.height, width=one.width, fps=one.fps
            )
        except ValueError as error:  # the world found no legible film for this seed
            yield Rejection(self.name(item), "no film", str(error))
            return
        video = torch.from_numpy(made.video_THWC).permute(0, 3, 1, 2).contiguous()
        yield PixelRecord(
            id=self.name(item),
            video_TCHW=video,
            fps=one.fps,
            captions=tuple(worded(made.facts, one.wordings)),
            facts=made.facts.to_dict(),
            source={"world": WORLD_VERSION, "seed": seed, "audio": one.num_frames > 1},
            content_sha256=content_sha256(video),
        )

    def version(self) -> dict[str, Any]:
        return {"world": WORLD_VERSION, "sets": {n: dataclasses.asdict(s) for n, s in self.sets.items()}}

    def name(self, item: Input) -> str:
        return f"{item['set']}/{item['seed']}"

    def per_part(self, item: Input) -> int:
        return 128
