"""Collation: crops, clip lengths, captions and masks of the samples of a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.streaming.batch_sampler import BatchIndices
from src.streaming.collate import collate_audio, with_fps
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import DataError
from src.streaming.schema.clip_audio import encode_audio
from src.streaming.schema.records import content_sha256, item_of, record_of
from tests.fixtures.toy_data import clip


def test_fps_prefix_is_rounded_to_a_tenth() -> None:
    assert with_fps("Static shot. A red star moves up.", 16.0) == "FPS-16 Static shot. A red star moves up."
    assert with_fps("x", 29.97) == "FPS-30 x"
    assert with_fps("x", 12.5) == "FPS-12.5 x"


def audio_record(num_samples: int = 3000) -> AudioRecord:
    samples_CS = torch.arange(num_samples, dtype=torch.int16)[None].repeat(2, 1)
    return AudioRecord(
        id="a", audio_CS=samples_CS, sample_rate=8000, content_sha256=content_sha256(samples_CS)
    )


def batch_of(step: int) -> BatchIndices:
    return BatchIndices(step, "audio", "3000x2x1", (0, 0))


def test_audio_is_cut_at_keyed_positions() -> None:
    found = [collate_audio([audio_record()] * 2, batch_of(s), [0, 1], 0, lengths=(500,)) for s in (0, 0, 1)]
    assert found[0].audio_BCS.shape == (2, 2, 500)
    assert found[0].sample_rate == 8000
    assert torch.equal(found[0].audio_BCS, found[1].audio_BCS)
    starts = {int(each.audio_BCS[i, 0, 0]) for each in found for i in range(2)}
    assert len(starts) == 4
    assert bool((found[0].audio_BCS.diff(dim=2) == 1).all())
    assert float(found[0].audio().abs().max()) == float(found[0].audio_BCS.max()) / 32768
    kept = collate_audio([audio_record()] * 2, batch_of(0), [0, 1], 0)
    assert kept.audio_BCS.shape[-1] == 3000


def test_audio_of_prepared_videos() -> None:
    pcm = np.arange(12_000, dtype=np.int16)[None]
    video = replace(clip("v"), audio_1N=encode_audio(pcm))
    found = collate_audio([video], batch_of(0), [0], 0, lengths=(9_600,))
    assert found.sample_rate == 48_000
    assert bool((found.audio_BCS.diff(dim=2) == 1).all())
    with pytest.raises(DataError, match="record 'v' has 12000 samples of audio, 14400 are needed"):
        collate_audio([video], batch_of(0), [0], 0, lengths=(14_400,))
    with pytest.raises(DataError, match="record 'w' has 0 samples of audio"):
        collate_audio([clip("w")], batch_of(0), [0], 0, lengths=(9_600,))


def test_a_record_of_audio_survives_its_item() -> None:
    record = audio_record()
    item = item_of(record)
    found = record_of(item)
    assert isinstance(found, AudioRecord)
    assert torch.equal(found.audio_CS, record.audio_CS)
    assert (found.id, found.sample_rate, found.bucket.name) == ("a", 8000, "3000x2x1")
    with pytest.raises(DataError, match=r"audio must be int16 \[C, S\] with no empty axis"):
        item_of(replace(record, audio_CS=torch.zeros(1, 0, dtype=torch.int16)))
