"""The common format of the clips of one prompt, by the rules of `MediaConfig`."""

from collections.abc import Mapping
from dataclasses import dataclass

from eval.human.config import MediaConfig
from eval.human.planning.samples import Clip
from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.probe import MediaInfo, probe


@dataclass(frozen=True)
class Format:
    """Size in square pixels, frames per second, number of frames, seconds, and whether there is audio."""

    height: int
    width: int
    fps: float
    num_frames: int
    seconds: float
    has_audio: bool
    notes: tuple[str, ...] = ()


def common_format(
    sample: str, clips: Mapping[str, Clip], medium: str, config: MediaConfig, *, audible: bool
) -> Format:
    """Return the format that all clips of a prompt are brought to.

    Raises:
        ValueError: a clip cannot be decoded, lengths differ by more than the settings allow, or `audible` and
            a clip has no audio; one line with the sample and the system.
    """
    if medium == "image":
        sizes = {name: _image_size(sample, name, clip) for name, clip in clips.items()}
        height, width = _common_size(list(sizes.values()), config)
        return Format(height, width, 0.0, 1, 0.0, False)
    found = {name: _probe(sample, name, clip, medium) for name, clip in clips.items()}
    for name, info in found.items():
        if audible and not info.has_audio:
            raise ValueError(f"media: {sample!r} of {name} has no audio, which an axis of the study plays")
        if medium == "video" and info.kind == "image":
            raise ValueError(f"media: {sample!r} of {name} is a still image where a video is expected")
    lengths = {name: info.duration_s or 0.0 for name, info in found.items()}
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    seconds, difference = lengths[shortest], lengths[longest] - lengths[shortest]
    if seconds <= 0:
        raise ValueError(f"media: {sample!r} of {shortest} has no known length")
    if config.length == "refuse" and difference > config.max_length_difference_s:
        raise ValueError(
            f"media: {sample!r} has unequal lengths: {lengths[shortest]:.2f} s in {shortest}, "
            f"{lengths[longest]:.2f} s in {longest}; set media.length=trim to cut all to the shortest"
        )
    has_audio = audible and any(info.has_audio for info in found.values())
    if medium == "audio":
        return Format(0, 0, 0.0, 0, seconds, True)
    pick = max if config.fps == "largest" else min
    fps = pick(info.fps for info in found.values())
    height, width = _common_size([_display_size(info) for info in found.values()], config)
    num_frames = max(1, int(seconds * fps + 1e-6))
    notes = [f"{sample}: cut by {difference:.2f} s"] if difference > config.max_length_difference_s else []
    rates = sorted({round(info.fps, 3) for info in found.values()})
    if len(rates) > 1:
        notes.append(f"{sample}: {', '.join(f'{rate:g}' for rate in rates)} frames/s brought to {fps:g}")
    return Format(height, width, fps, num_frames, num_frames / fps, has_audio, tuple(notes))


def fitted_size(height: int, width: int, form: Format) -> tuple[int, int]:
    """Return the size of a clip inside the common one, with its shape kept."""
    scale = min(form.height / height, form.width / width)
    return min(form.height, max(1, round(height * scale))), min(form.width, max(1, round(width * scale)))


def _common_size(sizes: list[tuple[int, int]], config: MediaConfig) -> tuple[int, int]:
    pick = max if config.size == "largest" else min
    height, width = pick(h for h, _ in sizes), pick(w for _, w in sizes)
    if height > config.max_height:
        width = round(width * config.max_height / height)
        height = config.max_height
    return height + height % 2, width + width % 2


def _display_size(info: MediaInfo) -> tuple[int, int]:
    return info.height, max(1, round(info.width * (info.pixel_aspect or 1.0)))


def _probe(sample: str, name: str, clip: Clip, medium: str) -> MediaInfo:
    try:
        return probe(clip.path(medium))
    except (MediaError, OSError) as error:
        raise ValueError(f"media: {sample!r} of {name} cannot be read: {error}") from None


def _image_size(sample: str, name: str, clip: Clip) -> tuple[int, int]:
    try:
        height, width = read_image(clip.path("image")).shape[:2]
    except (MediaError, OSError) as error:
        raise ValueError(f"media: {sample!r} of {name} cannot be read: {error}") from None
    return height, width
