"""Write generated audio, alone and with its video, at flat memory: loudness, channels, the original's audio.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import UserError
from src.core.media_io.audio import Audio
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.errors import MediaError
from src.core.media_io.loudness import GATE_LUFS, LoudnessMeter, integrated_lufs
from src.core.media_io.probe import probe
from src.core.media_io.video_writer import video_writer
from src.inference.audio_requests import Video
from src.inference.generate_audio_config import GenerateAudioConfig

PEAK = 10 ** (-1 / 20)  # -1 dB: where a target of loudness stops, and peaks above full scale come to
BLOCK = 1 << 16
MIN_SECONDS = 0.5  # shorter audio is repeated to be measured

Pieces = Iterable[NDArray[np.float32]]


@dataclass
class SpooledAudio:
    """Audio on disk, mapped into memory: `samples_CS` is read as it is needed."""

    samples_CS: NDArray[np.float32]
    rate: int
    lufs: float
    peak: float

    def facts(self) -> dict[str, float | int]:
        """Return what the manifest states of it."""
        return {
            "channels": len(self.samples_CS),
            "loudness_lufs": round(self.lufs, 1),
            "peak_db": round(20 * float(np.log10(max(self.peak, 1e-5))), 1),
        }


def spool(pieces: Pieces, num_channels: int, rate: int, folder: Path) -> SpooledAudio:
    """Write pieces [C, S] to a file without a name in `folder` and measure them.

    Raises:
        UserError: there are no samples.
    """
    meter, peak, count = LoudnessMeter(num_channels, rate), 0.0, 0
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece_CS in pieces:
            if piece_CS.shape[0] != num_channels:
                raise ValueError(f"pieces: expected {num_channels} channels, got {piece_CS.shape[0]}")
            file.write(np.ascontiguousarray(piece_CS.T, np.float32).tobytes())
            meter.add(piece_CS)
            peak = max(peak, float(np.abs(piece_CS).max(initial=0.0)))
            count += piece_CS.shape[1]
        if not count:
            raise UserError("no audio samples")
        file.flush()
        mapped = np.memmap(file, np.float32, "r+", shape=(count, num_channels)).T
    lufs = meter.finish()
    if count < MIN_SECONDS * rate:
        lufs = integrated_lufs(np.asarray(mapped), rate)
    return SpooledAudio(mapped, rate, lufs, peak)


def set_loudness(audio: SpooledAudio, target_lufs: float) -> bool:
    """Change the level in place; return whether the target was reached: silence stays, and peaks limit."""
    if audio.lufs <= GATE_LUFS:
        return False
    target_gain = 10 ** ((target_lufs - audio.lufs) / 20)
    gain = (
        min(target_gain, max(PEAK / audio.peak, 1.0) if audio.peak > 0 else 1.0)
        if target_gain > 1
        else target_gain
    )
    _scale(audio, gain)
    return gain == target_gain


def lower_peaks(audio: SpooledAudio) -> bool:
    """Lower peaks above full scale to -1 dB, in place, with the level; return whether there were any.

    Files clip what exceeds full scale, which is heard as crackling.
    """
    if audio.peak <= 1:
        return False
    _scale(audio, PEAK / audio.peak)
    return True


def _scale(audio: SpooledAudio, gain: float) -> None:
    for start in range(0, audio.samples_CS.shape[1], BLOCK):
        audio.samples_CS[:, start : start + BLOCK] *= np.float32(gain)
    audio.lufs += 20 * float(np.log10(gain))
    audio.peak *= gain


def with_channels(pieces: Pieces, rate: int, num_channels: int) -> Iterator[NDArray[np.float32]]:
    """Yield pieces with as many channels as are asked for: a mono piece is repeated, a stereo one mixed."""
    for piece_CS in pieces:
        yield Audio(piece_CS, rate).mixdown(num_channels).samples_CS


@dataclass(frozen=True)
class Original:
    """Audio of a video's file, with as many channels as are written."""

    pieces: Pieces
    num_channels: int


def original_of(
    video: Video, settings: GenerateAudioConfig, rate: int, seconds: float, num_channels: int
) -> Original | None:
    """Return the audio that is kept or mixed, from the first frame on, exactly `seconds` long; None if there
    is none, or it is replaced.

    Raises:
        UserError: mixing would change the number of channels, which no setting asks for.
    """
    if settings.original == "replace" or video.path is None:
        return None
    info = probe(video.path)
    if not info.has_audio:
        return None
    found = len(info.audio_channels) or 1
    if settings.original == "mix" and found != num_channels and not settings.channels:
        raise UserError(
            f"{video.path}: its audio has {found} channels, the generated {num_channels}; give channels=1 or "
            "channels=2 to mix them to as many"
        )
    if settings.original == "keep":
        num_channels = settings.channels or min(found, 2)
    try:
        _, pieces, _ = audio_pieces(video.path, rate=rate, channels=num_channels, end_s=seconds)
    except MediaError as error:
        if error.reason == "no audio":
            return None
        raise UserError(f"{video.path}: its audio: {error}") from error
    return Original(_readable(pieces, video.path), num_channels)


def _readable(pieces: Pieces, path: Path) -> Iterator[NDArray[np.float32]]:
    try:
        yield from pieces
    except MediaError as error:
        raise UserError(f"{path}: its audio: {error}") from error


def mix(generated: Pieces, original: Pieces, original_gain: float) -> Iterator[NDArray[np.float32]]:
    """Yield the sum of two streams of equal length and channels."""
    rest = iter(original)
    held = np.zeros((0, 0), np.float32)
    for piece_CS in generated:
        size = piece_CS.shape[1]
        while held.shape[1] < size:
            more = next(rest, None)
            if more is None:
                more = np.zeros((len(piece_CS), size - held.shape[1]), np.float32)
            held = more if not held.size else np.concatenate([held, more], 1)
        yield piece_CS + original_gain * held[:, :size]
        held = held[:, size:]


def write_with_video(
    path: Path, video: Video, audio: SpooledAudio, crf: int, *, lossless_audio: bool
) -> None:
    """Write the frames of a video at a constant rate, and audio from the first frame on.

    A frame stays as long as in the video, also where its rate varies or its clock has gaps.
    """
    frames = video.shown_at(video.fps)
    first, _ = next(frames)
    track = Audio(audio.samples_CS, audio.rate)
    height, width = first.shape[:2]
    with video_writer(
        path, height, width, video.fps, crf, audio=track, lossless_audio=lossless_audio
    ) as write:
        write(first)
        held, count = first, 1
        for frame_HWC, time_s in frames:
            while count < round(time_s * video.fps):
                write(held)
                count += 1
            write(frame_HWC)
            held, count = frame_HWC, count + 1


def write_spooled(path: Path, audio: SpooledAudio) -> None:
    """Write an audio file."""
    write_audio(path, audio.samples_CS, audio.rate)
