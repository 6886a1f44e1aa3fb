"""Records of pixels, latents and audio, and their LitData items.

Legend: T frames, C channels, H height, W width, N captions, L text tokens, D text features.

LitData fixes an item's structure by its first sample, stores 1-D tensors without their dtype, cuts
lists to the first sample's length and takes a string for a file when one of that name exists. So an
item is always: one JSON text `meta`, which begins with a brace, and tensors of two or more dimensions.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from src.streaming.schema.audio_record import SAMPLES, AudioRecord, stem_tensors, stems_of
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.clip_audio import decode_audio
from src.streaming.schema.media_record import MediaRecord, Playback


@dataclass(frozen=True, kw_only=True)
class PixelRecord:
    """A clip or an image (one frame) for training.

    `source` is its origin (path, start, whether an audio track exists); `facts` the ground truth of a
    rendered video, or empty. `audio_1N` are the bytes of a FLAC file as long as the clip, uint8, [1, 0] for a
    clip without audio; None in data sets that hold no audio. `audio_captions` describe what is heard
    (`src.core.audio_caption`), `captions` what is seen. `stems` are parts of the audio, such as "impacts",
    that add up to it, as FLAC too.
    """

    id: str
    video_TCHW: Tensor  # uint8
    fps: float
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    content_sha256: str = ""
    audio_1N: Tensor | None = None  # uint8
    audio_captions: tuple[str, ...] = ()
    stems: dict[str, Tensor] = field(default_factory=dict)

    @property
    def audio_CS(self) -> Tensor | None:
        """Samples int16 [C, S] at 48 kHz, from the first frame on; None where there are none."""
        return None if self.audio_1N is None else decode_audio(self.audio_1N)

    def frames(self, start: int, stop: int) -> Tensor:
        """Return frames [start, stop): a view."""
        return self.video_TCHW[start:stop]

    @property
    def bucket(self) -> Bucket:
        frames, _, height, width = self.video_TCHW.shape
        return Bucket(frames, height, width)

    def validate(self) -> None:
        """Raise DataError unless LitData would read this record back unchanged."""
        _validate_common(self)
        video = self.video_TCHW
        if video.dtype != torch.uint8 or video.ndim != 4 or video.shape[1] != 3 or video.numel() == 0:
            raise DataError(
                f"record {self.id!r}: video must be uint8 [T, 3, H, W] with no empty axis, "
                f"got {str(video.dtype).removeprefix('torch.')} {list(video.shape)}"
            )


@dataclass(frozen=True, kw_only=True)
class LatentRecord:
    """The posterior's moments of one clip, of the TAE or of an audio codec: sampled in training, not when
    encoding.

    `moments_2CTHW` holds the mean in its first C channels and the standard deviation in the others,
    float16. `bucket` is the pixel bucket that it was encoded from. `text` maps an encoder's name to
    (embeddings float16 [N, L, D], mask uint8 [N, L]), one row for each caption. `first_C1HW` is the mean
    of the first frame's posterior, encoded as an image, float16; None where it is not stored.

    Audio: [2C, L, 1, 1] at `latent_rate` latent frames per second, `captions` of the audio, and of its video,
        if there is one, the frames uint8 or features of each frame float16. Without a video the bucket is
        samples x channels x 1.
    """

    id: str
    moments_2CTHW: Tensor  # float16
    bucket: Bucket
    fps: float
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    content_sha256: str = ""
    text: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    first_C1HW: Tensor | None = None
    latent_rate: float = 0.0
    frames_TCHW: Tensor | None = None
    features_TD: Tensor | None = None

    @property
    def num_frames(self) -> int:
        return self.bucket.num_frames

    def validate(self) -> None:
        """Raise DataError unless LitData would read this record back unchanged."""
        _validate_common(self)
        m = self.moments_2CTHW
        if m.dtype != torch.float16 or m.ndim != 4 or m.shape[0] % 2 or m.numel() == 0:
            raise DataError(
                f"record {self.id!r}: moments must be float16 [2C, T, H, W] (bfloat16 cannot be stored), "
                f"got {str(m.dtype).removeprefix('torch.')} {list(m.shape)}"
            )
        if not bool(torch.isfinite(m).all()):
            raise DataError(f"record {self.id!r}: moments are not finite (beyond 65504 does not fit float16)")
        if bool((m[m.shape[0] // 2 :] < 0).any()):
            raise DataError(
                f"record {self.id!r}: negative standard deviation; the second half must be std, not logvar"
            )
        self._validate_frames()
        first = self.first_C1HW
        shape = (m.shape[0] // 2, 1, *m.shape[2:])
        if first is not None and (
            first.dtype != torch.float16 or first.shape != shape or not first.isfinite().all()
        ):
            raise DataError(
                f"record {self.id!r}: first must be finite float16 {list(shape)}, got {list(first.shape)}"
            )
        for name, (emb, mask) in self.text.items():
            good = emb.dtype == torch.float16 and emb.ndim == 3 and mask.dtype == torch.uint8
            if not good or mask.shape != emb.shape[:2] or emb.shape[0] != len(self.captions):
                raise DataError(
                    f"record {self.id!r}: text {name!r} must be float16 [N, L, D] with a uint8 mask [N, L], "
                    f"N = {len(self.captions)} captions; got {list(emb.shape)}, {list(mask.shape)}"
                )

    def _validate_frames(self) -> None:
        frames, features = self.frames_TCHW, self.features_TD
        if frames is not None and (frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3):
            raise DataError(
                f"record {self.id!r}: frames must be uint8 [T, 3, H, W], got {list(frames.shape)}"
            )
        if features is not None and (
            features.dtype != torch.float16 or features.ndim != 2 or not bool(features.isfinite().all())
        ):
            raise DataError(
                f"record {self.id!r}: features must be finite float16 [T, D], got {list(features.shape)}"
            )


ClipRecord = PixelRecord | MediaRecord
Record = ClipRecord | LatentRecord | AudioRecord


def content_sha256(media: Tensor) -> str:
    """Return the hash of pixels or samples and their shape: a clip under another name is the same content."""
    digest = hashlib.sha256(str(tuple(media.shape)).encode())
    digest.update(media.contiguous().numpy().data)
    return digest.hexdigest()


def item_of(record: Record) -> dict[str, Any]:
    """Validate a record and return it as LitData stores it."""
    record.validate()
    if isinstance(record, AudioRecord):
        return record.item()
    meta = {
        "id": record.id,
        "fps": record.fps,
        "captions": list(record.captions),
        "facts": record.facts,
        "source": record.source,
        "content_sha256": record.content_sha256,
    }
    if not isinstance(record, LatentRecord) and record.audio_captions:
        meta["audio_captions"] = list(record.audio_captions)
    if isinstance(record, MediaRecord):
        _validate_common(record)
        meta |= {"bucket": record.bucket.name, "playback": asdict(record.playback)}
        tensors = {"media": record.media_1N.contiguous()}
    elif isinstance(record, PixelRecord):
        tensors = {"video": record.video_TCHW.contiguous(), **stem_tensors(record.stems)}
    else:
        meta["bucket"] = record.bucket.name
        tensors = {"moments": record.moments_2CTHW.contiguous()}
        if record.first_C1HW is not None:
            tensors["first"] = record.first_C1HW.contiguous()
        if record.latent_rate:
            meta["latent_rate"] = record.latent_rate
        for name, value in (("frames", record.frames_TCHW), ("features", record.features_TD)):
            if value is not None:
                tensors[name] = value.contiguous()
        for name, (emb, mask) in sorted(record.text.items()):
            tensors |= {f"text_{name}": emb.contiguous(), f"mask_{name}": mask.contiguous()}
    if not isinstance(record, LatentRecord) and record.audio_1N is not None:
        tensors["audio"] = record.audio_1N.contiguous()
    return {"meta": json.dumps(meta, ensure_ascii=False, sort_keys=True, allow_nan=False), **tensors}


def record_of(item: dict[str, Any]) -> Record:
    """Return the record of an item; tensors may be read-only views of the chunk."""
    if SAMPLES in item:
        return AudioRecord.of_item(item)
    meta = json.loads(item["meta"])
    for name in {"captions", "audio_captions"} & meta.keys():
        meta[name] = tuple(meta[name])
    if "video" in item:
        stems = stems_of(item)
        return PixelRecord(video_TCHW=item["video"], audio_1N=item.get("audio"), stems=stems, **meta)
    meta["bucket"] = Bucket.parse(meta["bucket"])
    if "media" in item:
        meta["playback"] = Playback.from_dict(meta["playback"])
        return MediaRecord(media_1N=item["media"], audio_1N=item.get("audio"), **meta)
    text = {key[5:]: (item[key], item["mask_" + key[5:]]) for key in item if key.startswith("text_")}
    return LatentRecord(
        moments_2CTHW=item["moments"],
        text=text,
        first_C1HW=item.get("first"),
        frames_TCHW=item.get("frames"),
        features_TD=item.get("features"),
        **meta,
    )


def _validate_common(record: ClipRecord | LatentRecord) -> None:
    if not record.id:
        raise DataError("record without an id")
    if not (0 < record.fps < 1e4):
        raise DataError(f"record {record.id!r}: fps must be above 0, got {record.fps}")
    captions = record.captions + getattr(record, "audio_captions", ())
    if not all(isinstance(c, str) for c in captions):
        raise DataError(f"record {record.id!r}: captions must be texts, got {captions!r}")
    if not record.content_sha256:
        raise DataError(f"record {record.id!r}: content_sha256 is missing")
