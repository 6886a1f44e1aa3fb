"""Videos and images of the Bounce world, each a pure function of its seed."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from data.bounce.captions import captions_by_wording
from data.bounce.world import WORLD_VERSION, make_video
from data.config import VAL_SEEDS, WorldSetConfig
from data.work_units import Input
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord, content_sha256


@dataclass(frozen=True)
class WorldSource:
    """Sets of videos by name, such as "videos" and "images"."""

    sets: dict[str, WorldSetConfig]

    def splits(self) -> dict[str, list[Input]]:
        out: dict[str, list[Input]] = {"train": [], "val": []}
        for name, one in self.sets.items():
            out["train"] += [{"set": name, "seed": one.first_seed + i} for i in range(one.num_videos)]
            out["val"] += [
                {"set": name, "seed": one.first_seed + VAL_SEEDS + i} for i in range(one.num_val_videos)
            ]
        return out

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        settings, seed = self.sets[item["set"]], item["seed"]
        try:
            rendered = make_video(
                seed,
                settings.world,
                num_frames=settings.num_frames,
                height=settings.height,
                width=settings.width,
                fps=settings.fps,
            )
        except ValueError as error:  # no legible video for this seed
            yield Rejection(self.name(item), "no video", str(error))
            return
        video = torch.from_numpy(rendered.video_THWC).permute(0, 3, 1, 2).contiguous()
        yield PixelRecord(
            id=self.name(item),
            video_TCHW=video,
            fps=settings.fps,
            captions=tuple(captions_by_wording(rendered.facts, settings.wordings)),
            facts=rendered.facts.to_dict(),
            source={"world": WORLD_VERSION, "seed": seed, "audio": settings.num_frames > 1},
            content_sha256=content_sha256(video),
        )

    def version(self) -> dict[str, Any]:
        return {"world": WORLD_VERSION, "sets": {n: dataclasses.asdict(s) for n, s in self.sets.items()}}

    def notes(self) -> list[str]:
        return []

    def name(self, item: Input) -> str:
        return f"{item['set']}/{item['seed']}"

    def unit_size(self, item: Input) -> int:
        return 128
