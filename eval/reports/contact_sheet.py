"""One PNG of many videos: prompt, frames over time, recognized content, verdicts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eval.core.frame_pass import run_pass
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_frames
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.loaders.sample_sets import SampleSet
from eval.reports.plain_text import one_line
from eval.reports.samples import SampleResults, load_samples, read_results
from eval.reports.tables import Scores

PAPER, CARD, INK, FAINT, RULE = "#f3f2ee", "#ffffff", "#22262b", "#7b828a", "#dedcd5"
GOOD, BAD, UNKNOWN = ("#1d7a46", "#e3f3e9"), ("#b3372c", "#fbe7e4"), ("#5c646d", "#eceef0")
MARGIN, PADDING, GAP = 28, 18, 5
FRAME, NUM_FRAMES = 112, 8
TEXT_WIDTH, VERDICT_WIDTH = 300, 316


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """A video on the sheet. `numbers`: of the frames, if they are not all of the video's.

    `badges`: short verdicts, True, False or None (not evaluated). `checks`: correct or not, expected and
    recognized content; both texts are drawn only if they differ.
    """

    id: str
    prompt: str
    frames_THWC: np.ndarray | None
    numbers: tuple[int, ...] = ()
    note: str = ""
    badges: tuple[tuple[str, bool | None], ...] = ()
    checks: tuple[tuple[bool, str, str], ...] = ()
    why: str = ""
    tags: tuple[str, ...] = field(default=())


def draw_sheet(rows: list[SheetRow], title: str, subtitle: str = "") -> Image.Image:
    """Return the sheet as an RGB image; one card for each row, frames from first to last."""
    frames_width = NUM_FRAMES * FRAME + (NUM_FRAMES - 1) * GAP
    inner = TEXT_WIDTH + frames_width + VERDICT_WIDTH + 2 * PADDING
    width = inner + 2 * (MARGIN + PADDING)
    cards = [_Card(row) for row in rows]
    top = MARGIN + 46 + (22 if subtitle else 0)
    height = top + sum(card.height + 12 for card in cards) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, fill=INK, font=_font(26, bold=True))
    if subtitle:
        pen.text((MARGIN, MARGIN + 32), subtitle, fill=FAINT, font=_font(14))
    y = top
    for card in cards:
        pen.rounded_rectangle(
            (MARGIN, y, width - MARGIN, y + card.height), radius=10, fill=CARD, outline=RULE
        )
        card.paint(sheet, pen, MARGIN + PADDING, y + PADDING, frames_width)
        y += card.height + 12
    return sheet


_Line = tuple[str, ImageFont.FreeTypeFont, str]  # text, font, color


class _Card:
    """One row, with its text wrapped in advance, so that the sheet's height is known before drawing."""

    def __init__(self, row: SheetRow) -> None:
        self.row = row
        head = one_line(" · ".join((row.id, *row.tags)))
        self.left = _lines(head, _font(12), FAINT, TEXT_WIDTH) + _lines(
            row.prompt, _font(16), INK, TEXT_WIDTH
        )
        if row.note and row.frames_THWC is not None:
            self.left += _lines(row.note, _font(12), FAINT, TEXT_WIDTH)
        self.right: list[_Line] = []
        for correct, expected, found in row.checks:
            texts = (f"✓ {expected}",) if correct else (f"✗ expected: {expected}", f"✗ found: {found}")
            for text in texts:
                self.right += _lines(text, _font(13), INK if correct else BAD[0], VERDICT_WIDTH)
        if not row.checks and row.why:
            self.right += _lines(row.why, _font(13), BAD[0], VERDICT_WIDTH)
        left_height = sum(_line_height(font) for _, font, _ in self.left)
        right_height = 34 * bool(row.badges) + sum(_line_height(font) for _, font, _ in self.right)
        self.height = max(left_height, right_height, FRAME + 18) + 2 * PADDING

    def paint(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, x: int, y: int, frames_width: int) -> None:
        _paint_lines(pen, self.left, x, y)
        _paint_frames(sheet, pen, self.row, x + TEXT_WIDTH + PADDING, y)
        right = x + TEXT_WIDTH + frames_width + 2 * PADDING
        if self.row.badges:
            _paint_badges(pen, self.row.badges, right, y)
        _paint_lines(pen, self.right, right, y + 34 * bool(self.row.badges))


def _paint_frames(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: SheetRow, x: int, y: int) -> None:
    if row.frames_THWC is None:
        pen.rectangle((x, y, x + NUM_FRAMES * (FRAME + GAP) - GAP, y + FRAME), fill=BAD[1])
        pen.text((x + 14, y + FRAME // 2 - 9), row.note or "no video", fill=BAD[0], font=_font(14))
        return
    num = len(row.frames_THWC)
    picks = np.unique(np.linspace(0, num - 1, min(NUM_FRAMES, num)).round().astype(int))
    for column, index in enumerate(picks):
        left = x + column * (FRAME + GAP)
        sheet.paste(_fit(row.frames_THWC[index]), (left, y))
        number = row.numbers[index] if row.numbers else index
        pen.text((left + 1, y + FRAME + 3), str(number), fill=FAINT, font=_font(11))


def _fit(frame_HWC: np.ndarray) -> Image.Image:
    """Return a frame on a FRAME x FRAME tile: small ones enlarged to visible pixels, large ones reduced."""
    height, width, _ = frame_HWC.shape
    scale = FRAME / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (FRAME, FRAME), PAPER)
    image = Image.fromarray(np.ascontiguousarray(frame_HWC)).resize(size, method)
    tile.paste(image, ((FRAME - size[0]) // 2, (FRAME - size[1]) // 2))
    return tile


def _paint_badges(
    pen: ImageDraw.ImageDraw, badges: Iterable[tuple[str, bool | None]], x: int, y: int
) -> None:
    font = _font(13, bold=True)
    for label, verdict in badges:
        ink, fill = UNKNOWN if verdict is None else GOOD if verdict else BAD
        text = f"{'–' if verdict is None else '✓' if verdict else '✗'} {label}"
        width = round(font.getlength(text)) + 18
        pen.rounded_rectangle((x, y - 2, x + width, y + 22), radius=12, fill=fill)
        pen.text((x + 9, y + 10), text, fill=ink, font=font, anchor="lm")
        x += width + 6


def _lines(text: str, font: ImageFont.FreeTypeFont, color: str, width: int) -> list[_Line]:
    return [(line, font, color) for line in _wrap(text, font, width)]


def _paint_lines(pen: ImageDraw.ImageDraw, lines: list[_Line], x: int, y: int) -> None:
    for text, font, color in lines:
        pen.text((x, y), text, fill=color, font=font)
        y += _line_height(font)


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.36)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int = 9) -> list[str]:
    """Break at spaces, and within words longer than a line; lines beyond `max_lines` become an ellipsis."""
    lines, line = [], ""
    for word in map(one_line, text.split()):
        while font.getlength(word) > width:
            cut = next(n for n in range(len(word), 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            lines += [line] * bool(line) + [word[:cut]]
            line, word = "", word[cut:]
        joined = f"{line} {word}".strip()
        if font.getlength(joined) > width:
            lines.append(line)
            joined = word
        line = joined
    lines += [line] * bool(line)
    return lines if len(lines) <= max_lines else [*lines[: max_lines - 1], lines[max_lines - 1] + " …"]


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans from the matplotlib package, so that the sheet is the same on every machine."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name, size)


def write_contact_sheet(
    results: Path, sample_set: SampleSet, out: Path, num_rows: int, scores: dict[str, Scores]
) -> None:
    """Write a PNG of samples spread evenly over results.jsonl, with their verdicts."""
    count, sums = 0, dict[str, list[float]]()
    for each in read_results(results, scores):
        count += 1
        for name, correct in each.verdicts.items():
            entry = sums.setdefault(name, [0.0, 0])
            entry[0], entry[1] = entry[0] + correct, entry[1] + 1
    picks = set(np.linspace(0, count - 1, min(num_rows, count)).round().astype(int).tolist())
    picked = [each for n, each in enumerate(read_results(results, scores)) if n in picks]
    samples = load_samples(sample_set, {each.key for each in picked})
    rows = [_row(samples[each.key], each, sample_set.root) for each in picked]
    means = (f"{name} {100 * total / number:.1f} %" for name, (total, number) in sums.items())
    subtitle = "  ·  ".join((f"{len(rows)} of {count} samples", *means))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(rows, "Videos: expected and recognized content", subtitle).save(out)


def sample_row(sample: Sample, root: Path, label: str, why: str = "") -> SheetRow:
    """Return a sample without verdicts: `label` stands after its id, `why` in red at the right."""
    frames_THWC, numbers, note = _read_frames(Item(sample, root))
    return SheetRow(
        id=sample.id,
        prompt=sample.prompt,
        frames_THWC=frames_THWC,
        numbers=numbers,
        note=note,
        why=why,
        tags=(label,),
    )


def _row(sample: Sample, results: SampleResults, root: Path) -> SheetRow:
    frames_THWC, numbers, note = _read_frames(Item(sample, root))
    checks = tuple((each["correct"], each["expected"], each["found"]) for each in results.checks)
    return SheetRow(
        id=sample.id,
        prompt=sample.prompt,
        tags=sample.tags,
        frames_THWC=frames_THWC,
        numbers=numbers,
        note="; ".join(results.dropped) or note,
        badges=tuple(results.verdicts.items()),
        checks=checks,
        why=results.why,
    )


def _read_frames(item: Item) -> tuple[np.ndarray | None, tuple[int, ...], str]:
    """Return frames to draw, their numbers and their format; None for a reason that the results state."""

    def pick(info: StreamInfo) -> FrameTask:
        numbers = np.unique(np.linspace(0, info.num_frames - 1, NUM_FRAMES).round().astype(int))
        frames_THWC = yield from take_frames(numbers)
        size = f"{info.num_frames} frames of {info.width}×{info.height}"
        return frames_THWC, tuple(numbers.tolist()), size + (f", {info.fps:.4g} fps" if info.fps else "")

    try:
        found = run_pass(item.frames_path, {"sheet": pick})["sheet"]
    except (ValueError, OSError):
        return None, (), ""
    return (None, (), "") if isinstance(found, Exception) else found
