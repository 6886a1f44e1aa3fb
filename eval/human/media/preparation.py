"""Prepare the files of a study: every clip is decoded, brought to its prompt's format, and encoded again.

All clips pass the same encoder, also those that a browser could play as they are: a copy next to a
re-encoded clip would be no fair comparison, and its container could name the system.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.human.config import MediaConfig
from eval.human.degradations import AUDIO_DEGRADATIONS, FRAME_DEGRADATIONS, Frame, Samples
from eval.human.media.decoding import RATE, fit_frame, read_frames, read_stereo
from eval.human.media.formats import Format, common_format
from eval.human.media.padding import connected_files, pad_file, padded_size
from eval.human.planning.samples import Clips
from eval.human.planning.stimuli import Stimulus
from eval.human.schema import Item, MediaFile
from src.core.hashing import file_sha256
from src.core.media_io.audio import Audio
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.loudness import integrated_lufs
from src.core.media_io.video_writer import video_writer
from src.core.rng import key

SUFFIX = {"video": ".mp4", "audio": ".wav", "image": ".png"}
SILENT_LUFS = -69.0


@dataclass
class MediaPreparation:
    """Writes the files of a study's stimuli into `folder`; `audible` keeps the audio of videos."""

    clips: Clips
    config: MediaConfig
    folder: Path
    audible: bool
    seed: int

    def __post_init__(self) -> None:
        self._formats: dict[tuple[str, str], Format] = {}
        self._targets: dict[str, float] = {}
        self._published: dict[str, set[str]] = {}
        self.notes: list[str] = []

    def prepare(
        self,
        stimuli: Mapping[str, Stimulus],
        items: list[Item],
        *,
        done: Mapping[str, MediaFile] | None = None,
        progress: Callable[[int], object] = lambda num: None,
    ) -> dict[str, MediaFile]:
        """Write all files that are not `done` yet, pad those of one item to one size, and return all records.

        Raises:
            ValueError: a clip cannot be decoded, or does not suit the others of its prompt.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        records = dict(done or {})
        self._keep_formats(records)
        for name, stimulus in stimuli.items():
            if name not in records:
                records[name] = self._write(name, stimulus)
            progress(1)
        new = [name for name in stimuli if name not in (done or {})]
        self._pad(records, items, new)
        return records

    def _keep_formats(self, done: Mapping[str, MediaFile]) -> None:
        """Take the formats of prompts from files that exist: raters have seen them, so they stay."""
        for each in done.values():
            if each.role == "clip":
                num_frames = max(1, round(each.seconds * each.fps))
                form = Format(each.height, each.width, each.fps, num_frames, each.seconds, each.has_audio)
                self._formats[each.sample, each.kind] = form
                self._published.setdefault(each.sample, set()).add(each.system)

    def format_of(self, sample: str, medium: str) -> Format:
        """Return the common format of a prompt's clips."""
        if (sample, medium) not in self._formats:
            self._formats[sample, medium] = form = common_format(
                sample, self.clips[sample], medium, self.config, audible=self.audible and medium != "image"
            )
            self.notes += form.notes
        return self._formats[sample, medium]

    def _write(self, name: str, stimulus: Stimulus) -> MediaFile:
        medium = stimulus.medium if stimulus.role != "reference" else "image"
        path = self.folder / f"{name}{SUFFIX[medium]}"
        source = self._source_path(stimulus)
        try:
            if stimulus.role == "reference":
                image = read_image(source)
                form = Format(image.shape[0], image.shape[1], 0.0, 1, 0.0, False)
                write_image(path, image)
                gain = 0.0
            else:
                form = self.format_of(stimulus.sample, stimulus.medium)
                gain = self._encode(path, source, stimulus, form)
        except (MediaError, OSError) as error:
            raise ValueError(f"media: {stimulus.sample!r} of {stimulus.system}: {error}") from None
        clip = self.clips[stimulus.sample][stimulus.system]
        degradation = stimulus.degradation + f" {stimulus.other}" * bool(stimulus.other)
        return MediaFile(
            id=name,
            file=path.name,
            sha256="",
            num_bytes=0,
            kind=medium,  # type: ignore[arg-type]
            role=stimulus.role,  # type: ignore[arg-type]
            seconds=form.seconds,
            fps=form.fps,
            width=form.width,
            height=form.height,
            has_audio=form.has_audio,
            gain_db=gain,
            system=stimulus.system,
            sample=clip.sample.id,
            degradation=degradation,
            source_sha256=file_sha256(source),
            changes=form.notes,
        )

    def _source_path(self, stimulus: Stimulus) -> Path:
        sample = stimulus.other if stimulus.degradation == "other_prompt" else stimulus.sample
        clip = self.clips[sample][stimulus.system]
        if stimulus.degradation == "unedited" or stimulus.role == "source":
            return clip.path("source")
        return clip.path("reference" if stimulus.role == "reference" else stimulus.medium)

    def _encode(self, path: Path, source: Path, stimulus: Stimulus, form: Format) -> float:
        if stimulus.medium == "image":
            frames = iter([fit_frame(read_image(source), form)])
            (frame,) = self._degraded(frames, stimulus)
            write_image(path, frame)
            return 0.0
        audio, gain = self._audio(source, stimulus, form) if form.has_audio else (None, 0.0)
        if stimulus.medium == "audio":
            assert audio is not None
            write_audio(path, audio.samples_CS, audio.rate)
            return gain
        with video_writer(path, form.height, form.width, form.fps, self.config.crf, audio=audio) as write:
            for frame in self._degraded(read_frames(source, form, stimulus), stimulus):
                write(frame)
        return gain

    def _degraded(self, frames: Iterator[Frame], stimulus: Stimulus) -> Iterator[Frame]:
        degrade = FRAME_DEGRADATIONS.get(stimulus.degradation)
        return frames if degrade is None else degrade(frames, key(self.seed, f"human/{stimulus.sample}"))

    def _audio(self, source: Path, stimulus: Stimulus, form: Format) -> tuple[Audio, float]:
        if stimulus.degradation == "other_audio":
            source = self.clips[stimulus.other][stimulus.system].path(stimulus.medium)
        samples_CS = read_stereo(source, form.seconds)
        gain = 0.0
        if self.config.match_loudness and stimulus.role == "clip":
            gain = _gain_to(samples_CS, self._target(stimulus, form), self.config.max_peak_dbfs)
            samples_CS = samples_CS * np.float32(10 ** (gain / 20))
        degrade = AUDIO_DEGRADATIONS.get(stimulus.degradation)
        if degrade is not None:
            samples_CS = degrade(samples_CS, RATE, key(self.seed, f"human/{stimulus.sample}"))
        return Audio(np.clip(samples_CS, -1, 1), RATE), gain

    def _target(self, stimulus: Stimulus, form: Format) -> float:
        """Return the loudness that every clip of the prompt can reach without too high a peak."""
        if stimulus.sample not in self._targets:
            reachable = [self.config.loudness_lufs]
            for name, clip in self.clips[stimulus.sample].items():
                if name not in self._published.get(stimulus.sample, {name}):
                    continue
                samples_CS = read_stereo(clip.path(stimulus.medium), form.seconds)
                loudness = integrated_lufs(samples_CS, RATE)
                if loudness > SILENT_LUFS:
                    reachable.append(loudness + self.config.max_peak_dbfs - _peak_db(samples_CS))
            self._targets[stimulus.sample] = min(reachable)
        return self._targets[stimulus.sample]

    def _pad(self, records: dict[str, MediaFile], items: list[Item], new: list[str]) -> None:
        """Give files that share an item, directly or through others, one size; fill in sizes, hashes."""
        for group in connected_files(items, set(new)):
            paths = [self.folder / records[name].file for name in group]
            fixed = {records[name].num_bytes for name in group} - {0}
            unpadded = [path for name, path in zip(group, paths, strict=True) if not records[name].num_bytes]
            size = padded_size([path.stat().st_size for path in unpadded], paths[0].suffix)
            size = max([size, *fixed])  # files that were published keep their size if the new ones fit
            for path in paths:
                if path.stat().st_size != size:
                    pad_file(path, size, seed=self.seed)
        for record in list(records.values()):
            path = self.folder / record.file
            if record.num_bytes != path.stat().st_size:
                records[record.id] = replace(record, num_bytes=path.stat().st_size, sha256=file_sha256(path))


def _gain_to(samples_CS: Samples, target: float, max_peak: float) -> float:
    """Return the gain in dB to a loudness, less where a peak would exceed `max_peak`; 0 for silence."""
    loudness = integrated_lufs(samples_CS, RATE)
    return 0.0 if loudness <= SILENT_LUFS else min(target - loudness, max_peak - _peak_db(samples_CS))


def _peak_db(samples_CS: Samples) -> float:
    return float(20 * np.log10(max(1e-9, np.abs(samples_CS).max())))
