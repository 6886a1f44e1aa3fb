"""Audio without video: of Bounce videos, and of files, cut into clips of one length.

Legend: C channels, S samples.
"""

import dataclasses
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.audio_classes import voice_fraction
from data.audio_config import AudioSetConfig
from data.bounce.audio import render_audio, render_stems
from data.bounce.audio_captions import audio_captions
from data.bounce.audio_scene import sample_audio_scene
from data.bounce.world import WORLD_VERSION
from data.clip_audio import measure_levels, to_int16
from data.config import VAL_SEEDS
from data.work_units import Input
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import AUDIO_TYPES, VIDEO_TYPES
from src.core.rng import key
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import DataError
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import content_sha256

VERSION = 2  # raise when the same input would give other records
FPS, SIDE = 16.0, 32  # of the videos whose audio it is; they are not rendered
SILENCE = 10 ** (-80 / 20)  # peak below which a clip is silence


@dataclass(frozen=True)
class AudioSource:
    """Sets of Bounce audio and a folder of files. An input is a seed or a file."""

    config: AudioSetConfig

    def splits(self) -> dict[str, list[Input]]:
        out: dict[str, list[Input]] = {"train": [], "val": []}
        for name, one in self.config.bounce.items():
            out["train"] += [{"set": name, "seed": one.first_seed + i} for i in range(one.num_clips)]
            first = one.first_seed + VAL_SEEDS
            out["val"] += [{"set": name, "seed": first + i} for i in range(one.num_val_clips)]
        root = audio_folder(self.config.folder)
        for path in sorted(p for p in root.rglob("*") if p.is_file()) if self.config.folder else ():
            if self.config.names and not any(path.match(name) for name in self.config.names):
                continue
            status, name = path.stat(), path.relative_to(root).as_posix()
            item = {"path": name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            is_val = key(0, "data/val:" + name) / 2.0**63 < self.config.val_fraction
            out["val" if is_val else "train"].append(item)
        return out

    def notes(self) -> list[str]:
        root = audio_folder(self.config.folder)
        return [f"audio.folder={root}: no such folder"] if self.config.folder and not root.is_dir() else []

    def records(self, item: Input) -> Iterator[AudioRecord | Rejection]:
        yield from self._rendered(item) if "seed" in item else self._read(item)

    def _rendered(self, item: Input) -> Iterator[AudioRecord | Rejection]:
        c, one, seed = self.config, self.config.bounce[item["set"]], item["seed"]
        size = (round(c.seconds * FPS), SIDE, SIDE, FPS)
        try:
            facts = sample_audio_scene(seed, WORLD_VERSION, one.world, one.audio, *size).facts
        except ValueError as error:  # no legible video for this seed
            yield Rejection(self.name(item), "no video", str(error))
            return
        samples_CS = render_audio(facts, c.sample_rate)[:, : c.num_samples]
        stems = render_stems(facts, c.sample_rate) if one.audio.stems else {}
        record = self._record(
            self.name(item), samples_CS, {"world": WORLD_VERSION, "seed": seed}, facts.to_dict()
        )
        yield replace(
            record,
            captions=tuple(audio_captions(facts, one.wordings, with_looks=False)),
            stems={name: pcm_of(stem_CS[:, : c.num_samples]) for name, stem_CS in stems.items()},
        )

    def _read(self, item: Input) -> Iterator[AudioRecord | Rejection]:
        """Yield the clips of a file; the rest at its end, silence and faults are rejected."""
        c, name = self.config, self.name(item)
        path = audio_folder(c.folder) / item["path"]
        if path.suffix.lower() not in AUDIO_TYPES | VIDEO_TYPES:
            yield Rejection(name, "unknown type", path.suffix or "no suffix")
            return
        count = 0
        try:
            form, pieces, _ = audio_pieces(path, rate=c.sample_rate)
            if len(form.channels) < c.num_channels:
                raise MediaError("fewer channels", f"{len(form.channels)} of num_channels={c.num_channels}")
            if len(form.channels) > c.num_channels:
                form, pieces, _ = audio_pieces(path, rate=c.sample_rate, channels=c.num_channels)
            rest = np.zeros((c.num_channels, 0), np.float32)
            for piece in pieces:
                rest = np.concatenate([rest, piece], axis=1)
                while rest.shape[1] >= c.num_samples:
                    yield self._clip(f"{name}#{count}", item, rest[:, : c.num_samples], count)
                    rest, count = rest[:, c.num_samples :], count + 1
            if rest.shape[1] and not count and c.pad_short:
                padded = np.pad(rest, ((0, 0), (0, c.num_samples - rest.shape[1])))
                yield self._clip(f"{name}#0", item, padded, 0)
            elif rest.shape[1]:
                reason = "rest at the end" if count else "too short"
                detail = f"{rest.shape[1] / c.sample_rate:.2f} s, a clip has {c.seconds:g} s"
                yield Rejection(f"{name}#{count}", reason, detail)
            elif not count:
                raise MediaError("no audio", "no audio samples")
        except MediaError as error:
            yield Rejection(name, error.reason, error.detail)

    def _clip(self, name: str, item: Input, samples_CS: np.ndarray, number: int) -> AudioRecord | Rejection:
        peak = float(np.abs(samples_CS).max())
        if peak < SILENCE:
            return Rejection(name, "silence", f"peak {peak:.1e}")
        allowed = self.config.max_voice_fraction
        voice = voice_fraction(samples_CS, self.config.sample_rate) if allowed < 1 else 0.0
        if voice > allowed:
            return Rejection(
                name, "speech or singing", f"{voice:.2f} of the time, max_voice_fraction={allowed:g}"
            )
        source: dict[str, Any] = {"path": item["path"], "start_s": number * self.config.seconds}
        if self.config.license:
            source["license"] = self.config.license
        return self._record(name, samples_CS, source, {})

    def _record(
        self, name: str, samples_CS: np.ndarray, source: dict[str, Any], facts: dict[str, Any]
    ) -> AudioRecord:
        audio_CS = pcm_of(samples_CS)
        return AudioRecord(
            id=name,
            audio_CS=audio_CS,
            sample_rate=self.config.sample_rate,
            facts=facts,
            source=source | {"audio_levels": measure_levels(samples_CS, self.config.sample_rate)},
            content_sha256=content_sha256(audio_CS),
        )

    def version(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        for name in ("folder", "val_fraction", "names"):
            del settings[name]  # paths change nothing, and files and splits are in the inputs
        return {"audio": VERSION, "world": WORLD_VERSION, "config": settings}

    def name(self, item: Input) -> str:
        return f"{item['set']}/{item['seed']}" if "seed" in item else str(item["path"])

    def unit_size(self, item: Input) -> int:
        return 64 if "seed" in item else 4


def audio_folder(name: str) -> Path:
    """Return the folder of a path, or of PACKAGE:FOLDER inside an installed Python package.

    Raises:
        DataError: the package is not installed.
    """
    package, colon, inside = name.partition(":")
    if not colon or not package.isidentifier():
        return Path(name)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"audio.folder={name}: the Python package {package} is not installed")
    return Path(spec.submodule_search_locations[0]) / inside


def pcm_of(samples_CS: np.ndarray) -> Tensor:
    """Return samples as 16-bit PCM; those beyond full scale are clipped."""
    return torch.from_numpy(np.ascontiguousarray(to_int16(samples_CS)))
