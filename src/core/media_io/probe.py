"""Facts of a media file: what its header says, and the first frame for what only that shows."""

from dataclasses import dataclass
from typing import Any

import av

from src.core.media_io import animation
from src.core.media_io.audio_decoder import channel_names
from src.core.media_io.container import Source, is_cover, load_source, open_container, select_stream
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import Kind, media_kind
from src.core.media_io.image_reader import read_image
from src.core.media_io.pixels import PixelFormat, display_matrix, is_hdr, swaps_axes
from src.core.media_io.timeline import clock_zero
from src.core.media_io.video_decoder import decoder_of
from src.core.media_io.video_reader import open_video


@dataclass(frozen=True)
class MediaInfo:
    """Facts of a file. Zeros and empty strings stand for what its kind does not have, None for unknown.

    `height` and `width` are of the image as displayed, in pixels whose width over height is `pixel_aspect`.
    `audio_start_s` is the time of the first audio on the video's clock.
    """

    kind: Kind
    container: str
    duration_s: float | None = None
    fps: float = 0.0
    num_frames: int | None = None
    height: int = 0
    width: int = 0
    pixel_aspect: float = 1.0
    video_codec: str = ""
    pixel_format: str = ""
    bits: int = 0
    has_alpha: bool = False
    is_hdr: bool = False
    is_interlaced: bool = False
    is_turned: bool = False
    has_audio: bool = False
    audio_codec: str = ""
    audio_rate: int = 0
    audio_channels: tuple[str, ...] = ()
    audio_start_s: float = 0.0
    streams: tuple[str, ...] = ()


def probe(source: Source) -> MediaInfo:
    """Return the facts of a media file; of a video the first frame is decoded, of an image all of it.

    Raises:
        MediaError: as `open_video`, `read_audio` and `read_image`.
    """
    source = load_source(source)
    if media_kind(source) == "image":
        height, width = read_image(source).shape[:2]
        return MediaInfo("image", "image", None, 0.0, 1, height, width, bits=8)
    if animation.handles(source):
        with open_video(source) as video:
            height, width = video.size
            frames = video.num_frames
            kind: Kind = "video" if frames > 1 else "image"
            return MediaInfo(kind, "image", video.duration_s, video.fps, frames, height, width, bits=8)
    with open_container(source) as container:
        streams = tuple(
            f"{s.index} {s.type} {_codec(s)}{' cover' if is_cover(s) else ''}" for s in container.streams
        )
        audio = _audio_facts(container)
        if all(is_cover(s) for s in container.streams.video):
            if not audio:
                select_stream(container, "video", None)
            duration = container.duration
            duration_s = None if duration is None else duration / av.time_base
            return MediaInfo("audio", container.format.name, duration_s, streams=streams, **audio)
        stream = select_stream(container, "video", None)
        zero_s = clock_zero(stream)
        if audio:
            audio["audio_start_s"] = round(audio["audio_start_s"] - zero_s, 6)
        frame = next(_first_frames(container, stream), None)
        if frame is None:
            raise MediaError("no frames")
        codec, num_frames, muxer = _codec(stream), stream.frames or None, container.format.name
    with open_video(source) as video:
        turned = swaps_axes(display_matrix(frame))
        return MediaInfo(
            kind="video",
            container=muxer,
            duration_s=video.duration_s,
            fps=video.fps,
            num_frames=num_frames,
            height=frame.width if turned else frame.height,
            width=frame.height if turned else frame.width,
            pixel_aspect=video.pixel_aspect,
            video_codec=codec,
            pixel_format=frame.format.name,
            bits=PixelFormat.of(frame.format.name).bits,
            has_alpha=PixelFormat.of(frame.format.name).has_alpha,
            is_hdr=is_hdr(frame),
            is_interlaced=frame.interlaced_frame,
            is_turned=display_matrix(frame) != (1, 0, 0, 1),
            streams=streams,
            **audio,
        )


def _first_frames(container: Any, stream: Any) -> Any:
    decoder = decoder_of(stream)
    try:
        for packet in container.demux(stream):
            yield from decoder.decode(packet)
    except (av.FFmpegError, ValueError, OSError):
        return


def _audio_facts(container: Any) -> dict[str, Any]:
    if not container.streams.audio:
        return {}
    try:
        stream = select_stream(container, "audio", None)
    except MediaError:  # without a decoder: the file has audio that is not read
        return {"has_audio": True, "audio_start_s": 0.0}
    return {
        "has_audio": True,
        "audio_codec": _codec(stream),
        "audio_rate": stream.rate,
        "audio_channels": channel_names(stream),
        "audio_start_s": float((stream.start_time or 0) * stream.time_base),
    }


def _codec(stream: Any) -> str:
    return "unknown" if stream.codec_context is None else stream.codec_context.name
