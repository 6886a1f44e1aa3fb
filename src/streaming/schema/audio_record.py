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
STEM = "stem_"  # begins the keys of stems


@dataclass(frozen=True, kw_only=True)
class AudioRecord:
    """A stretch of audio, 16-bit PCM: full scale is 32768. Its bucket is samples x channels x 1.

    `stems` are parts of the audio, such as "impacts", that add up to it, of the same shape.
    """

    id: str
    audio_CS: Tensor  # int16
    sample_rate: int
    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    content_sha256: str = ""
    stems: dict[str, Tensor] = field(default_factory=dict)  # int16 [C, S]

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
        for name, stem_CS in self.stems.items():
            if stem_CS.dtype != torch.int16 or stem_CS.shape != audio.shape:
                raise DataError(
                    f"record {self.id!r}: stem {name!r} must be int16 {list(audio.shape)}, got "
                    f"{str(stem_CS.dtype).removeprefix('torch.')} {list(stem_CS.shape)}"
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
        return {"meta": text, SAMPLES: self.audio_CS.contiguous(), **stem_tensors(self.stems)}

    @staticmethod
    def of_item(item: dict[str, Any]) -> "AudioRecord":
        """Return the record of an item; its samples may be a read-only view of the chunk."""
        meta = json.loads(item["meta"])
        captions = tuple(meta["captions"])
        return AudioRecord(audio_CS=item[SAMPLES], stems=stems_of(item), **meta | {"captions": captions})


def stem_tensors(stems: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return stems under the keys of an item."""
    return {STEM + name: stem.contiguous() for name, stem in sorted(stems.items())}


def stems_of(item: dict[str, Any]) -> dict[str, Tensor]:
    """Return the stems of an item by name."""
    return {name.removeprefix(STEM): item[name] for name in item if name.startswith(STEM)}
