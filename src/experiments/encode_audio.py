"""Encode the audio of a prepared data set, with the frames that it belongs to or their features.

Legend: B batch, C channels, S samples, L latent frames, N captions, D features.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.models.codec.model import Codec
from src.models.text.frozen_encoder import FrozenEncoder
from src.models.vision.frozen_tower import FrozenTower
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.clip_audio import RATE
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import ClipRecord, LatentRecord
from src.training import precision
from src.training.config import Precision


class AudioEncoder:
    """A codec, the frozen image tower of its videos (None: frames are stored), and frozen text encoders.

    Args:
        flags_captions: store one more caption of each clip, without descriptions.
    """

    def __init__(
        self,
        codec: Codec,
        vision: FrozenTower | None,
        texts: dict[str, FrozenEncoder],
        flags_captions: bool = False,
    ) -> None:
        self.codec, self.vision, self.texts, self.flags_captions = codec, vision, texts, flags_captions

    @torch.inference_mode()
    def encode(
        self, dataset: Dataset, bucket: str, indices: range, precision_name: Precision
    ) -> Iterator[LatentRecord | Rejection]:
        """Yield a latent record for each record of one bucket; a rejection for those without audio.

        Raises:
            UserError: audio of another rate or other channels than the codec's.
        """
        records = [dataset.readers[bucket][i] for i in indices]
        with_audio: list[tuple[AudioRecord | ClipRecord, Tensor]] = []
        for record in records:
            if isinstance(record, LatentRecord):
                raise UserError(
                    f"data={dataset.root}: holds latents, expected prepared audio or videos with audio"
                )
            audio_CS = record.audio_CS
            if audio_CS is None:
                yield Rejection(record.id, "no audio")
            else:
                self._check(record, audio_CS)
                with_audio.append((record, audio_CS))
        if not with_audio:
            return
        device = next(self.codec.parameters()).device
        audio_BCS = torch.stack([audio for _, audio in with_audio]).to(device).float() / 32768
        with precision.autocast(precision.resolve(precision_name, device.type), device.type):
            posterior = self.codec.encode(audio_BCS)
        moments_BCL = torch.cat([posterior.mean_BCL, posterior.std_BCL], 1).half().cpu()
        for (record, _), moments_CL in zip(with_audio, moments_BCL, strict=True):
            yield self._record(record, moments_CL[..., None, None].clone(), bucket)

    def _record(self, record: AudioRecord | ClipRecord, moments_2CTHW: Tensor, bucket: str) -> LatentRecord:
        rate, captions = self.codec.config.latent_rate, record.captions
        frames, features, fps = None, None, rate
        if not isinstance(record, AudioRecord):
            frames_TCHW, fps, captions = (
                record.video_TCHW,
                record.fps,
                record.audio_captions or record.captions,
            )
            if self.vision is None:
                frames = frames_TCHW
            else:
                features = self.vision.encode(frames_TCHW).half().cpu()
        if self.flags_captions:
            captions = (*captions, *without_description(captions))
        return LatentRecord(
            id=record.id,
            moments_2CTHW=moments_2CTHW,
            bucket=Bucket.parse(bucket),
            fps=fps,
            captions=captions,
            facts=record.facts,
            source=record.source,
            content_sha256=record.content_sha256,
            text={name: embeddings(each, record.id, list(captions)) for name, each in self.texts.items()},
            latent_rate=rate,
            frames_TCHW=frames,
            features_TD=features,
        )

    def _check(self, record: AudioRecord | ClipRecord, audio_CS: Tensor) -> None:
        config, rate = self.codec.config, record.sample_rate if isinstance(record, AudioRecord) else RATE
        if rate != config.sample_rate:
            raise UserError(
                f"{record.id}: audio at {rate} Hz, the codec at {config.sample_rate} Hz; prepare it at the "
                f"codec's rate"
            )
        if audio_CS.shape[0] != config.num_channels:
            raise UserError(
                f"{record.id}: audio with {audio_CS.shape[0]} channels, the codec has "
                f"{config.num_channels}; prepare it "
                "with those"
            )


def without_description(captions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first of some captions without its descriptions; nothing if none has the form of audio
    captions.
    """
    parsed = [found for caption in captions if (found := AudioCaption.parse(caption))]
    return tuple(replace(found, description="", music_description="").text() for found in parsed[:1])


def embeddings(encoder: FrozenEncoder, name: str, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return tokens float16 [N, L, D] and mask uint8 [N, L] of a record's texts as the model reads them.

    Args:
        name: the record's id, for messages.

    Raises:
        UserError: there is no text, or an embedding is beyond the range of float16.
    """
    if not texts:
        raise UserError(f"encoders.{encoder.name}: {name} has no caption to encode")
    tokens_NLD, mask_NL = encoder.encode(texts)
    half_NLD = tokens_NLD.half().cpu()
    if not bool(torch.isfinite(half_NLD).all()):
        raise UserError(f"encoders.{encoder.name}: embeddings of {name} do not fit float16")
    return half_NLD, mask_NL.byte().cpu()
