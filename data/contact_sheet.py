"""Contact sheets of prepared data sets: frames of videos and images, waveforms of audio."""

from collections.abc import Iterator
from typing import cast

import numpy as np
from PIL import Image, ImageDraw

from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.records import ClipRecord

_SIDE, _LABEL, _COLUMNS, _ROWS = 128, 14, 8, 4


def contact_sheet(datasets: list[Dataset]) -> np.ndarray:
    """Return up to 32 records at equal distances in all buckets with their ids, uint8 [H, W, 3].

    Of a video the middle frame; of audio the peaks of its channels over time.
    """
    tiles = [(record.id, _tile(record)) for record in _spread(datasets, _COLUMNS * _ROWS)]
    height = -(-len(tiles) // _COLUMNS) * (_SIDE + _LABEL)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, tile) in enumerate(tiles):
        x, y = number % _COLUMNS * _SIDE, number // _COLUMNS * (_SIDE + _LABEL)
        sheet.paste(tile, (x + (_SIDE - tile.width) // 2, y + (_SIDE - tile.height) // 2))
        draw.text((x + 2, y + _SIDE), name[-20:].encode("ascii", "replace").decode(), fill="black")
    return np.asarray(sheet)


def _spread(datasets: list[Dataset], count: int) -> Iterator[ClipRecord | AudioRecord]:
    positions = [
        (reader, i) for each in datasets for reader in each.readers.values() for i in range(len(reader))
    ]
    for position in np.linspace(0, len(positions) - 1, min(len(positions), count)).astype(int):
        reader, index = positions[position]
        yield cast(ClipRecord | AudioRecord, reader[index])


def _tile(record: ClipRecord | AudioRecord) -> Image.Image:
    if isinstance(record, AudioRecord):
        return _waveform(record.audio_CS.numpy())
    frame = Image.fromarray(record.video_TCHW[record.bucket.num_frames // 2].permute(1, 2, 0).numpy())
    frame.thumbnail((_SIDE - 2, _SIDE - 2))
    if max(frame.size) < _SIDE - 2:  # small worlds, enlarged without smoothing
        scale = (_SIDE - 2) // max(frame.size)
        frame = frame.resize((frame.width * scale, frame.height * scale), Image.Resampling.NEAREST)
    return frame


def _waveform(audio_CS: np.ndarray) -> Image.Image:
    """Draw each channel's largest and smallest sample in each column; full scale fills its height."""
    size = _SIDE - 2
    tile = Image.new("RGB", (size, size), (240, 240, 240))
    draw = ImageDraw.Draw(tile)
    height = size / len(audio_CS)
    for channel, samples_S in enumerate(audio_CS):
        middle = (channel + 0.5) * height
        for x, part in enumerate(np.array_split(samples_S, size)):
            if len(part):
                top, bottom = (middle - height / 2 * int(v) / 32768 for v in (part.max(), part.min()))
                draw.line((x, top, x, bottom), fill=(40, 80, 160))
    return tile
