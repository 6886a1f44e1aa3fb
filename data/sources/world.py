"""Videos and images of the Bounce world, each a pure function of its seed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from data.bounce.audio import render_audio, render_stems
from data.bounce.audio_captions import audio_captions
from data.bounce.audio_scene import sample_audio_scene
from data.bounce.captions import captions_by_wording
from data.bounce.facts import VideoFacts
from data.bounce.world import WORLD_VERSION, BounceVideo, make_video, render_scene
from data.clip_audio import measure_levels, to_int16
from data.config import VAL_SEEDS, WorldSetConfig
from data.work_units import Input
from src.streaming.schema.clip_audio import encode_audio
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
        size = (settings.num_frames, settings.height, settings.width, settings.fps)
        try:
            rendered = _render(seed, settings, size)
        except ValueError as error:  # no legible video for this seed
            yield Rejection(self.name(item), "no video", str(error))
            return
        facts = rendered.facts
        video = torch.from_numpy(rendered.video_THWC).permute(0, 3, 1, 2).contiguous()
        record = PixelRecord(
            id=self.name(item),
            video_TCHW=video,
            fps=settings.fps,
            captions=tuple(captions_by_wording(facts, settings.wordings)),
            facts=facts.to_dict(),
            source={"world": WORLD_VERSION, "seed": seed, "audio": settings.num_frames > 1},
            content_sha256=content_sha256(video),
        )
        yield _with_audio(record, facts, settings) if settings.with_audio else record

    def version(self) -> dict[str, Any]:
        return {"world": WORLD_VERSION, "sets": {n: _version(s) for n, s in self.sets.items()}}

    def notes(self) -> list[str]:
        return []

    def name(self, item: Input) -> str:
        return f"{item['set']}/{item['seed']}"

    def unit_size(self, item: Input) -> int:
        return 128


def _version(settings: WorldSetConfig) -> dict[str, Any]:
    """Return the settings that records depend on: those of audio only where there is audio."""
    values = asdict(settings)
    if not settings.with_audio:
        del values["with_audio"], values["audio"]
    return values


def _render(seed: int, settings: WorldSetConfig, size: tuple[int, int, int, float]) -> BounceVideo:
    num_frames, height, width, fps = size
    if settings.with_audio:
        return render_scene(sample_audio_scene(seed, WORLD_VERSION, settings.world, settings.audio, *size))
    return make_video(seed, settings.world, num_frames=num_frames, height=height, width=width, fps=fps)


def _with_audio(record: PixelRecord, facts: VideoFacts, settings: WorldSetConfig) -> PixelRecord:
    """Return a record with its audio, as long as its frames are shown, levels, captions and stems."""
    samples_CS = render_audio(facts)
    stems = render_stems(facts) if settings.audio.stems else {}
    return replace(
        record,
        audio_1N=encode_audio(to_int16(samples_CS)),
        audio_captions=tuple(audio_captions(facts, settings.wordings)),
        stems={name: encode_audio(to_int16(stem_CS)) for name, stem_CS in stems.items()},
        source=record.source | {"audio_levels": measure_levels(samples_CS)},
    )
