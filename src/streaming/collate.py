"""Turn records into a batch. Choices (crop, clip length, caption) are keyed by seed, step, global index.

Legend: B batch, C channels, T frames, H height, W width, L text tokens, D text features,
S samples.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from src.core.rng import key, numpy_generator
from src.streaming.batch import AudioBatch, AudioLatentBatch, ClipBatch, LatentBatch
from src.streaming.batch_sampler import BatchIndices
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import DataError
from src.streaming.schema.clip_audio import RATE
from src.streaming.schema.records import ClipRecord, LatentRecord


def with_fps(caption: str, fps: float) -> str:
    """Return the caption as the video model reads it: "FPS-16 ..." (Movie Gen, sec. 3.1.4)."""
    return f"FPS-{round(fps, 1):g} {caption}"


def choose_caption(captions: tuple[str, ...], seed: int, step: int, index: int) -> int:
    """Return the index of a sample's caption at a step; -1 if it has none."""
    return key(seed, "data/caption", step, index) % len(captions) if captions else -1


def caption_text(record: ClipRecord | LatentRecord, chosen: int) -> str:
    """Return the chosen caption, for videos with the frame rate; empty if there is none."""
    if chosen < 0:
        return ""
    text = record.captions[chosen]
    return text if record.bucket.is_image else with_fps(text, record.fps)


def clip_length(lengths: tuple[int, ...], num_frames: int, seed: int, step: int) -> int:
    """Return the length of a step's clips: one of `lengths` up to `num_frames`, or `num_frames` if empty."""
    fitting = [n for n in lengths if n <= num_frames] or [num_frames]
    return fitting[key(seed, "data/length", step) % len(fitting)]


def collate_clips(
    records: list[ClipRecord],
    batch: BatchIndices,
    global_indices: list[int],
    seed: int,
    *,
    crop: int | None = None,
    lengths: tuple[int, ...] = (),
    num_frames: int,
) -> ClipBatch:
    """Cut each clip at a keyed position and stack.

    Args:
        crop: side of a random square in pixels, the same size for all; None keeps the frame.
        lengths: clip lengths to draw from, one for the full batch; empty keeps all frames.
        num_frames: frames that every record of the global batch has.
    """
    frames = clip_length(lengths, num_frames, seed, batch.step)
    full = records[0].bucket
    height, width = min(crop or full.height, full.height), min(crop or full.width, full.width)
    out = torch.empty(len(records), 3, frames, height, width, dtype=torch.uint8)
    for i, (record, index) in enumerate(zip(records, global_indices, strict=True)):
        random = numpy_generator(seed, "data/crop", batch.step, index)
        t, y, x = (
            int(random.integers(have - want + 1))
            for have, want in (
                (record.bucket.num_frames, frames),
                (record.bucket.height, height),
                (record.bucket.width, width),
            )
        )
        cut = record.frames(t, t + frames)[:, :, y : y + height, x : x + width]
        out[i].copy_(cut.transpose(0, 1))
    chosen = _choose_captions(records, batch, global_indices, seed)
    return ClipBatch(
        video_BCTHW=out,
        fps=[r.fps for r in records],
        captions=[caption_text(r, c) for r, c in zip(records, chosen, strict=True)],
        **_common(records, batch, global_indices),
    )


def collate_audio(
    records: list[AudioRecord | ClipRecord],
    batch: BatchIndices,
    global_indices: list[int],
    seed: int,
    *,
    lengths: tuple[int, ...] = (),
) -> AudioBatch:
    """Cut the audio of each record at a keyed position and stack.

    Args:
        lengths: lengths in samples to draw from, one for the full batch; empty keeps everything.

    Raises:
        DataError: a record has no audio, or less than the length.
    """
    signals = [record.audio_CS for record in records]
    num_samples = max(0 if each is None else each.shape[1] for each in signals)
    length = clip_length(lengths, max(lengths, default=num_samples), seed, batch.step)
    out = None
    for i, (record, audio_CS, index) in enumerate(zip(records, signals, global_indices, strict=True)):
        found = 0 if audio_CS is None else audio_CS.shape[1]
        if audio_CS is None or found < length:
            raise DataError(f"record {record.id!r} has {found} samples of audio, {length} are needed")
        if out is None:
            out = torch.empty(len(records), audio_CS.shape[0], length, dtype=torch.int16)
        start = int(numpy_generator(seed, "data/crop", batch.step, index).integers(found - length + 1))
        out[i].copy_(audio_CS[:, start : start + length])
    assert out is not None
    chosen = _choose_captions(records, batch, global_indices, seed)
    return AudioBatch(
        audio_BCS=out,
        sample_rate=records[0].sample_rate if isinstance(records[0], AudioRecord) else RATE,
        captions=[r.captions[c] if c >= 0 else "" for r, c in zip(records, chosen, strict=True)],
        **_common(records, batch, global_indices),
    )


def collate_latents(
    records: list[LatentRecord],
    batch: BatchIndices,
    global_indices: list[int],
    seed: int,
) -> LatentBatch:
    """Return the moments as float32, stacked unless packed, and a caption with its embeddings per sample."""
    packed = bool(batch.tokens)
    mean, std = _list_moments(records) if packed else _stack_moments(records)
    chosen = _choose_captions(records, batch, global_indices, seed)
    return LatentBatch(
        mean_BCTHW=mean,
        std_BCTHW=std,
        fps=[r.fps for r in records],
        captions=[caption_text(r, c) for r, c in zip(records, chosen, strict=True)],
        text=_stack_text(records, chosen),
        first_BC1HW=None if packed else _stack_first(records),
        **_common(records, batch, global_indices),
    )


def collate_audio_latents(
    records: list[LatentRecord],
    batch: BatchIndices,
    global_indices: list[int],
    seed: int,
    *,
    lengths: tuple[int, ...] = (),
) -> AudioLatentBatch:
    """Cut each record's latents at a keyed position, with the frames shown meanwhile, and stack.

    Args:
        lengths: lengths in latent frames to draw from, one for the full batch, of those that the bucket's
            records have; shorter records are kept complete.
    """
    length = clip_length(lengths, records[0].moments_2CTHW.shape[1], seed, batch.step)
    rate, cuts, frames, features, times = records[0].latent_rate, [], [], [], []
    for record, index in zip(records, global_indices, strict=True):
        num_latents = record.moments_2CTHW.shape[1]
        start = int(numpy_generator(seed, "data/crop", batch.step, index).integers(num_latents - length + 1))
        cuts.append(replace(record, moments_2CTHW=record.moments_2CTHW[:, start : start + length]))
        shown = _frames_shown(record, start / rate, length / rate)
        times.append(torch.tensor([i / record.fps - start / rate for i in shown]))
        frames.append(None if record.frames_TCHW is None else record.frames_TCHW[shown.start : shown.stop])
        features.append(
            None if record.features_TD is None else record.features_TD[shown.start : shown.stop].float()
        )
    latents = collate_latents(cuts, batch, global_indices, seed)
    chosen = _choose_captions(records, batch, global_indices, seed)
    has_video = any(each[0] is not None for each in (frames, features))
    return AudioLatentBatch(
        **vars(latents)
        | {"captions": [r.captions[c] if c >= 0 else "" for r, c in zip(records, chosen, strict=True)]},
        latent_rate=rate,
        frames_BTCHW=_stack(frames),
        features_BTD=_stack(features),
        times_BT=torch.stack(times) if has_video else None,
    )


def _frames_shown(record: LatentRecord, start_s: float, seconds: float) -> range:
    """Return the frames of a video from the one shown at a time on; as many for each record of its rate."""
    total = record.num_frames
    count = min(int(seconds * record.fps + 1e-6) + 2, total)
    first = min(max(int(start_s * record.fps + 1e-6), 0), total - count)
    return range(first, first + count)


def _stack(tensors: list[Tensor | None]) -> Tensor | None:
    found = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(found) if found else None


def _choose_captions(records: list[Any], batch: BatchIndices, indices: list[int], seed: int) -> list[int]:
    return [choose_caption(r.captions, seed, batch.step, i) for r, i in zip(records, indices, strict=True)]


def _common(records: list[Any], batch: BatchIndices, global_indices: list[int]) -> dict[str, Any]:
    return {
        "ids": [r.id for r in records],
        "global_indices": global_indices,
        "stream": batch.stream,
        "bucket": batch.bucket,
        "step": batch.step,
        "real_B": torch.tensor([batch.num_real is None or i < batch.num_real for i in global_indices]),
    }


def _stack_moments(records: list[LatentRecord]) -> tuple[Tensor, Tensor]:
    channels, *shape = records[0].moments_2CTHW.shape
    mean, std = torch.empty(2, len(records), channels // 2, *shape)
    for i, record in enumerate(records):
        mean[i], std[i] = record.moments_2CTHW.chunk(2)  # one pass: cast and copy at once
    return mean, std


def _list_moments(records: list[LatentRecord]) -> tuple[list[Tensor], list[Tensor]]:
    moments = [record.moments_2CTHW.float().chunk(2) for record in records]
    return [mean for mean, _ in moments], [std for _, std in moments]


def _stack_first(records: list[LatentRecord]) -> Tensor | None:
    found = [record.first_C1HW for record in records if record.first_C1HW is not None]
    return torch.stack(found).float() if len(found) == len(records) else None


def _stack_text(records: list[LatentRecord], chosen: list[int]) -> dict[str, tuple[Tensor, Tensor]] | None:
    """Return the cached embeddings of the chosen captions, padded with zeros to the longest."""
    if not records[0].text:
        return None
    out = {}
    for name in records[0].text:
        rows = [(r.text[name][0][c], r.text[name][1][c]) for r, c in zip(records, chosen, strict=True)]
        longest = max(emb.shape[0] for emb, _ in rows)
        emb_BLD = torch.zeros(len(rows), longest, rows[0][0].shape[1])
        mask_BL = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, (emb, mask) in enumerate(rows):
            emb_BLD[i, : emb.shape[0]] = emb.float()
            mask_BL[i, : mask.shape[0]] = mask.bool()
        out[name] = (emb_BLD, mask_BL)
    return out
