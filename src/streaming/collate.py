"""From records to a batch. Every choice (crop, clip length, caption) is keyed by (seed, step, slot)."""

import torch

from src.core.rng import key, numpy_generator
from src.streaming.batch import ClipBatch, LatentBatch
from src.streaming.batch_sampler import Draw
from src.streaming.schema import LatentRecord, PixelRecord


def with_fps(caption: str, fps: float) -> str:
    """The caption as the video model reads it: "FPS-16 ..." (the paper's prefix); 29.97 reads 30."""
    return f"FPS-{round(fps, 1):g} {caption}"


def choose_caption(captions: tuple[str, ...], seed: int, step: int, slot: int) -> int:
    """Number of the caption that a sample shows at a step; -1 where it has none."""
    return key(seed, "data/caption", step, slot) % len(captions) if captions else -1


def caption_text(record: PixelRecord | LatentRecord, chosen: int) -> str:
    """The chosen caption, with its frame rate unless it is a picture; empty where there is none."""
    if chosen < 0:
        return ""
    text = record.captions[chosen]
    return text if record.bucket.is_image else with_fps(text, record.fps)


def clip_length(lengths: tuple[int, ...], num_frames: int, seed: int, step: int) -> int:
    """Frames of a step's clips: one of `lengths` that `num_frames` allows; all where none is named."""
    fitting = [n for n in lengths if n <= num_frames] or [num_frames]
    return fitting[key(seed, "data/length", step) % len(fitting)]


def collate_clips(
    records: list[PixelRecord],
    draw: Draw,
    slots: list[int],
    seed: int,
    *,
    crop: int | None = None,
    lengths: tuple[int, ...] = (),
    num_frames: int,
) -> ClipBatch:
    """Cut each clip at a keyed place and stack.

    Args:
        crop: side of a random square in pixels, the same size for all; None keeps the frame.
        lengths: clip lengths to draw from, one for the whole batch; empty keeps all frames.
        num_frames: frames that every record of the global batch has.
    """
    frames = clip_length(lengths, num_frames, seed, draw.step)
    full = records[0].bucket
    height, width = min(crop or full.height, full.height), min(crop or full.width, full.width)
    out = torch.empty(len(records), 3, frames, height, width, dtype=torch.uint8)
    for i, (record, slot) in enumerate(zip(records, slots, strict=True)):
        dice = numpy_generator(seed, "data/crop", draw.step, slot)
        t, y, x = (
            int(dice.integers(have - want + 1))
            for have, want in (
                (record.bucket.num_frames, frames),
                (record.bucket.height, height),
                (record.bucket.width, width),
            )
        )
        cut = record.video_TCHW[t : t + frames, :, y : y + height, x : x + width]
        out[i].copy_(cut.transpose(0, 1))
    chosen = [choose_caption(r.captions, seed, draw.step, s) for r, s in zip(records, slots, strict=True)]
    return ClipBatch(
        video_BCTHW=out,
        fps=[r.fps for r in records],
        captions=[caption_text(r, c) for r, c in zip(records, chosen, strict=True)],
        **_common(records, draw, slots),
    )


def collate_latents(
    records: list[LatentRecord], draw: Draw, slots: list[int], seed: int, share: float = 1.0
) -> LatentBatch:
    """The moments as float32, stacked unless the batch is packed, and one caption, with its cached
    embeddings, for each sample.

    Args:
        share: as `Batch.share`.
    """
    packed = bool(draw.tokens)
    mean, std = _films(records) if packed else _stack_films(records)
    chosen = [choose_caption(r.captions, seed, draw.step, s) for r, s in zip(records, slots, strict=True)]
    return LatentBatch(
        mean_BCTHW=mean,
        std_BCTHW=std,
        fps=[r.fps for r in records],
        captions=[caption_text(r, c) for r, c in zip(records, chosen, strict=True)],
        text=_stack_text(records, chosen),
        first_BC1HW=None if packed else _stack_first(records),
        share=share,
        **_common(records, draw, slots),
    )


def _common(records: list, draw: Draw, slots: list[int]) -> dict:
    return {
        "ids": [r.id for r in records],
        "slots": slots,
        "stream": draw.stream,
        "bucket": draw.bucket,
        "step": draw.step,
        "real_B": torch.tensor([draw.num_real is None or slot < draw.num_real for slot in slots]),
    }


def _stack_films(records: list[LatentRecord]) -> tuple[torch.Tensor, torch.Tensor]:
    channels, *shape = records[0].moments_2CTHW.shape
    mean, std = torch.empty(2, len(records), channels // 2, *shape)
    for i, record in enumerate(records):
        mean[i], std[i] = record.moments_2CTHW.chunk(2)  # one pass: cast and copy at once
    return mean, std


def _films(records: list[LatentRecord]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    moments = [record.moments_2CTHW.float().chunk(2) for record in records]
    return [mean for mean, _ in moments], [std for _, std in moments]


def _stack_first(records: list[LatentRecord]) -> torch.Tensor | None:
    found = [record.first_C1HW for record in records if record.first_C1HW is not None]
    return torch.stack(found).float() if len(found) == len(records) else None


def _stack_text(records: list[LatentRecord], chosen: list[int]) -> dict | None:
    """Cached embeddings of the chosen captions, padded with zeros to the longest."""
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
