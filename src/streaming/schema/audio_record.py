"""Records of audio without video, and their LitData items.

Legend: C channels, S samples.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from src.streaming.schema.bucket import Bucket, DataError

SAMPLES = "samples"  # the item's key, which records of video do not have


@dataclass(frozen=True, kw_only=True)
class AudioRecord:
    """A stretch of audio, 16-bit PCM: full scale is 32768. Its bucket is samples x channels x 1."""

    id: str
    audio_CS: Tensor  # int16
    sample_rate: int
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    content_sha256: str = ""

    @property
    def bucket(self) -> Bucket:
        channels, samples = self.audio_CS.shape
        return Bucket(samples, channels, 1)

    def validate(self) -> None:
        """Raise DataError unless LitData would read this record back unchanged."""
        audio = self.audio_CS
        if not self.id or not self.content_sha256:
            raise DataError(f"record {self.id!r}: id or content_sha256 is missing")
        if audio.dtype != torch.int16 or audio.ndim != 2 or audio.numel() == 0:
            raise DataError(
                f"record {self.id!r}: audio must be int16 [C, S] with no empty axis, "
                f"got {str(audio.dtype).removeprefix('torch.')} {list(audio.shape)}"
            )
        if self.sample_rate < 1:
            raise DataError(f"record {self.id!r}: sample_rate must be above 0, got {self.sample_rate}")

    def item(self) -> dict[str, Any]:
        """Return the record as LitData stores it."""
        meta = {
            "id": self.id,
            "sample_rate": self.sample_rate,
            "captions": list(self.captions),
            "facts": self.facts,
            "source": self.source,
            "content_sha256": self.content_sha256,
        }
        text = json.dumps(meta, ensure_ascii=False, sort_keys=True, allow_nan=False)
        return {"meta": text, SAMPLES: self.audio_CS.contiguous()}

    @staticmethod
    def of_item(item: dict[str, Any]) -> "AudioRecord":
        """Return the record of an item; its samples may be a read-only view of the chunk."""
        meta = json.loads(item["meta"])
        return AudioRecord(audio_CS=item[SAMPLES], **meta | {"captions": tuple(meta["captions"])})
