"""Clips played in the ViZDoom engine on Freedoom's maps; an input is one episode of several clips."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from data.clip_audio import measure_levels, to_int16
from data.config import VAL_SEEDS
from data.vizdoom.captions import audio_caption, video_captions
from data.vizdoom.config import VizdoomConfig
from data.vizdoom.engine import engine_version, map_lumps, require_engine
from data.vizdoom.maps import LICENSE, gory_textures
from data.vizdoom.recorder import WORLD, RecordedClip, record_episode
from data.work_units import Input
from src.streaming.schema.clip_audio import encode_audio
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord, content_sha256


@dataclass(frozen=True)
class VizdoomSource:
    """Episodes on training maps, and on other maps for validation."""

    config: VizdoomConfig

    def splits(self) -> dict[str, list[Input]]:
        require_engine()
        c = self.config
        return {
            "train": self._episodes(c.maps, c.first_seed, c.num_clips),
            "val": self._episodes(c.val_maps, c.first_seed + VAL_SEEDS, c.num_val_clips),
        }

    def _episodes(self, maps: tuple[str, ...], first_seed: int, num_clips: int) -> list[Input]:
        size = self.config.clips_per_episode
        return [
            {"map": maps[i % len(maps)], "seed": first_seed + i, "clips": min(size, num_clips - i * size)}
            for i in range(-(-num_clips // size))
        ]

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        for number, clip in record_episode(self.config, item["map"], item["seed"], item["clips"]):
            name = f"{self.name(item)}/{number}"
            if clip is None:
                yield Rejection(name, "left the map", "the player reached an exit in every attempt")
            else:
                yield self._record(name, clip, item)

    def _record(self, name: str, clip: RecordedClip, item: Input) -> PixelRecord:
        video = torch.from_numpy(clip.video_THWC).permute(0, 3, 1, 2).contiguous()
        source = {"map": item["map"], "seed": item["seed"], "audio": True, "license": LICENSE}
        return PixelRecord(
            id=name,
            video_TCHW=video,
            fps=self.config.fps,
            captions=tuple(video_captions(clip.facts)),
            audio_captions=(audio_caption(clip.facts),),
            facts=clip.facts,
            source=source | {"audio_levels": measure_levels(clip.audio_CS)},
            content_sha256=content_sha256(video),
            audio_1N=encode_audio(to_int16(clip.audio_CS)),
        )

    def version(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        for name in ("maps", "val_maps", "num_clips", "num_val_clips"):
            del settings[name]  # they are in the inputs
        return {"world": WORLD, "engine": engine_version(), "config": settings}

    def notes(self) -> list[str]:
        """Return a line for each map that shows blood or flesh: none of the usual maps does."""
        notes = []
        for name in dict.fromkeys((*self.config.maps, *self.config.val_maps)):
            gory = gory_textures(map_lumps(name), name)
            if gory:
                notes.append(f"{name} is not fit for a classroom: it has {', '.join(sorted(gory))}")
        return notes

    def name(self, item: Input) -> str:
        return f"{item['map']}/{item['seed']}"

    def unit_size(self, item: Input) -> int:
        return 4
