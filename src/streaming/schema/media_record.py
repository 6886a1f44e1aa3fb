"""Records that keep a media file instead of pixels, decoded when they are read.

Legend: T frames, C = 3 channels, H height, W width, N bytes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.video_reader import open_video
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.clip_audio import decode_audio
from src.streaming.schema.framing import Framing


@dataclass(frozen=True)
class Playback:
    """Instructions to get a record's frames from a media file.

    `fps` 0 takes the file's frames as they are, else the frame on the screen at start_s + n / fps. Without a
    `framing` the frames have the bucket's size.
    """

    kind: Literal["video", "image"] = "video"
    start_s: float = 0.0
    fps: float = 0.0
    framing: Framing | None = None

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Playback":
        framing = values["framing"]
        return Playback(**values | {"framing": Framing(**framing) if framing else None})


@dataclass(frozen=True, kw_only=True)
class MediaRecord:
    """A clip or an image kept as the bytes of a media file; all else as in PixelRecord.

    `media_1N` are the bytes of a video or an image, uint8.
    """

    id: str
    media_1N: Tensor
    playback: Playback
    bucket: Bucket
    fps: float
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    content_sha256: str = ""
    audio_1N: Tensor | None = None
    audio_captions: tuple[str, ...] = ()

    @property
    def video_TCHW(self) -> Tensor:
        """All frames, decoded at each access: uint8 [T, 3, H, W]."""
        return self.frames(0, self.bucket.num_frames)

    @property
    def audio_CS(self) -> Tensor | None:
        """Samples int16 [C, S] at 48 kHz, from the first frame on; None where there are none."""
        return None if self.audio_1N is None else decode_audio(self.audio_1N)

    def frames(self, start: int, stop: int) -> Tensor:
        """Decode frames [start, stop): uint8 [stop - start, 3, H, W].

        Raises:
            DataError: the bytes do not give these frames.
        """
        data = self.media_1N.numpy().tobytes()
        shape = (stop - start, 3, self.bucket.height, self.bucket.width)
        try:
            if self.playback.kind == "image":
                frames_TCHW = self._framed(read_image(data)[None])[start:stop]
            else:
                frames_TCHW = self._decode_video(data, start, torch.empty(shape, dtype=torch.uint8))
        except MediaError as error:
            raise DataError(f"record {self.id!r}: {error}") from None
        if frames_TCHW.shape != shape:
            raise DataError(f"record {self.id!r}: decoded {list(frames_TCHW.shape)}, expected {list(shape)}")
        return frames_TCHW

    def _decode_video(self, data: bytes, start: int, out_TCHW: Tensor) -> Tensor:
        """Fill the frames from `start` on; return those that there were."""
        play = self.playback
        count = 0
        # half a frame early: times in files are rounded, and a time between two frames finds the later one
        begin_s = play.start_s + start / play.fps if play.fps else max(start - 0.5, 0.0) / self.fps
        with open_video(data) as video:
            for frame in video.frames(begin_s, fps=play.fps or None):
                out_TCHW[count] = self._framed(frame.rgb_HWC[None])[0]
                count += 1
                if count == len(out_TCHW):
                    break
        return out_TCHW[:count]

    def _framed(self, frames_THWC: Any) -> Tensor:
        if self.playback.framing is not None:
            return self.playback.framing.apply(frames_THWC)
        return torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)

    def validate(self) -> None:
        """Raise DataError unless LitData would read this record back unchanged."""
        media = self.media_1N
        if media.dtype != torch.uint8 or media.ndim != 2 or len(media) != 1 or not media.numel():
            raise DataError(f"record {self.id!r}: media must be uint8 [1, N], got {list(media.shape)}")


def media_sha256(media_1N: Tensor, playback: Playback) -> str:
    """Return the hash of a media file's bytes and of how they are played."""
    digest = hashlib.sha256(json.dumps(asdict(playback), sort_keys=True).encode())
    digest.update(media_1N.numpy().tobytes())
    return digest.hexdigest()
