"""One PNG that shows many films at a glance: prompt, frames over time, what was read, the verdict."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eval.core.manifest import iter_manifest, resolve_media
from eval.core.video import read_video

PAPER, CARD, INK, FAINT, RULE = "#f3f2ee", "#ffffff", "#22262b", "#7b828a", "#dedcd5"
GOOD, BAD, UNKNOWN = ("#1d7a46", "#e3f3e9"), ("#b3372c", "#fbe7e4"), ("#5c646d", "#eceef0")
MARGIN, PADDING, GAP = 28, 18, 5
FRAME, NUM_FRAMES = 112, 8
TEXT_WIDTH, VERDICT_WIDTH = 300, 316


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """A film on the sheet.

    `chips`: short verdicts, True, False or None (not judged). `checks`: right or not, what was asked,
    what was read; both texts are shown only where they differ.
    """

    id: str
    prompt: str
    frames_THWC: np.ndarray | None
    note: str = ""
    chips: tuple[tuple[str, bool | None], ...] = ()
    checks: tuple[tuple[bool, str, str], ...] = ()
    why: str = ""
    tags: tuple[str, ...] = field(default=())


def draw(rows: list[SheetRow], title: str, subtitle: str = "") -> Image.Image:
    """The sheet as an RGB picture; one card for each row, frames from first to last."""
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


_Line = tuple[str, ImageFont.FreeTypeFont, str]  # text, font, colour


class _Card:
    """Measures its text once, so that the sheet's height is known before anything is painted."""

    def __init__(self, row: SheetRow) -> None:
        self.row = row
        head = " · ".join((row.id, *row.tags))
        self.left = _lines(head, _font(12), FAINT, TEXT_WIDTH) + _lines(
            row.prompt, _font(16), INK, TEXT_WIDTH
        )
        if row.note and row.frames_THWC is not None:
            self.left += _lines(row.note, _font(12), FAINT, TEXT_WIDTH)
        self.right: list[_Line] = []
        for right, asked, read in row.checks:
            texts = (f"✓ {asked}",) if right else (f"✗ asked: {asked}", f"✗ read: {read}")
            for text in texts:
                self.right += _lines(text, _font(13), INK if right else BAD[0], VERDICT_WIDTH)
        if not row.checks and row.why:
            self.right += _lines(row.why, _font(13), BAD[0], VERDICT_WIDTH)
        left_height = sum(_line(font) for _, font, _ in self.left)
        right_height = 34 * bool(row.chips) + sum(_line(font) for _, font, _ in self.right)
        self.height = max(left_height, right_height, FRAME + 18) + 2 * PADDING

    def paint(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, x: int, y: int, frames_width: int) -> None:
        _paint_lines(pen, self.left, x, y)
        _paint_frames(sheet, pen, self.row, x + TEXT_WIDTH + PADDING, y)
        right = x + TEXT_WIDTH + frames_width + 2 * PADDING
        if self.row.chips:
            _paint_chips(pen, self.row.chips, right, y)
        _paint_lines(pen, self.right, right, y + 34 * bool(self.row.chips))


def _paint_frames(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: SheetRow, x: int, y: int) -> None:
    if row.frames_THWC is None:
        pen.rectangle((x, y, x + NUM_FRAMES * (FRAME + GAP) - GAP, y + FRAME), fill=BAD[1])
        pen.text((x + 14, y + FRAME // 2 - 9), row.note or "no film", fill=BAD[0], font=_font(14))
        return
    num = len(row.frames_THWC)
    picks = np.unique(np.linspace(0, num - 1, min(NUM_FRAMES, num)).round().astype(int))
    for place, index in enumerate(picks):
        left = x + place * (FRAME + GAP)
        sheet.paste(_fit(row.frames_THWC[index]), (left, y))
        pen.text((left + 1, y + FRAME + 3), str(index), fill=FAINT, font=_font(11))


def _fit(frame_HWC: np.ndarray) -> Image.Image:
    """A frame on a FRAME x FRAME tile: small ones enlarged pixel by pixel, large ones reduced."""
    height, width, _ = frame_HWC.shape
    scale = FRAME / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (FRAME, FRAME), PAPER)
    picture = Image.fromarray(np.ascontiguousarray(frame_HWC)).resize(size, method)
    tile.paste(picture, ((FRAME - size[0]) // 2, (FRAME - size[1]) // 2))
    return tile


def _paint_chips(pen: ImageDraw.ImageDraw, chips: Iterable[tuple[str, bool | None]], x: int, y: int) -> None:
    font = _font(13, bold=True)
    for label, verdict in chips:
        ink, fill = UNKNOWN if verdict is None else GOOD if verdict else BAD
        text = f"{'–' if verdict is None else '✓' if verdict else '✗'} {label}"
        width = round(font.getlength(text)) + 18
        pen.rounded_rectangle((x, y - 2, x + width, y + 22), radius=12, fill=fill)
        pen.text((x + 9, y + 10), text, fill=ink, font=font, anchor="lm")
        x += width + 6


def _lines(text: str, font: ImageFont.FreeTypeFont, colour: str, width: int) -> list[_Line]:
    return [(line, font, colour) for line in _wrap(text, font, width)]


def _paint_lines(pen: ImageDraw.ImageDraw, lines: list[_Line], x: int, y: int) -> None:
    for text, font, colour in lines:
        pen.text((x, y), text, fill=colour, font=font)
        y += _line(font)


def _line(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.36)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int = 9) -> list[str]:
    """Break at spaces, and within words too long for a line; what is over `max_lines` becomes an ellipsis."""
    lines, line = [], ""
    for word in text.split():
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
    """DejaVu Sans out of the matplotlib package: the same sheet on every machine."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name, size)


def from_results(results: Path, manifest: str | Path, out: Path, num_rows: int) -> None:
    """Draw samples spread evenly over results.jsonl, with their verdicts, into a PNG."""
    count, sums = 0, dict[str, list[float]]()
    with results.open(encoding="utf-8") as lines:
        for line in lines:
            count += 1
            for name, value in (json.loads(line)["values"] or {}).items():
                entry = sums.setdefault(name, [0.0, 0])
                entry[0], entry[1] = entry[0] + value, entry[1] + 1
    picks = set(np.linspace(0, count - 1, min(num_rows, count)).round().astype(int).tolist())
    with results.open(encoding="utf-8") as lines:
        records = [json.loads(line) for n, line in enumerate(lines) if n in picks]
    chosen = {(record["system"], record["id"]): record for record in records}
    root = Path(manifest).resolve().parent
    rows = []
    for sample in iter_manifest(manifest, check_files=False):
        record = chosen.get((sample.system, sample.id))
        if record is not None:
            rows.append(_row(record, *_film(root, sample.video)))
    means = (f"{name} {100 * total / number:.1f} %" for name, (total, number) in sums.items())
    subtitle = "  ·  ".join((f"{len(rows)} of {count} films", *means))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, "Films: what was asked, what is seen", subtitle).save(out)


def _film(root: Path, relative: str | None) -> tuple[np.ndarray | None, str]:
    """Frames and their format; None where there are none, the record holds the reason."""
    try:
        if relative is None:
            return None, ""
        video = read_video(resolve_media(root, relative, "video"))
    except ValueError:
        return None, ""
    return video.frames_THWC, _format(video.frames_THWC, video.fps)


def _format(frames_THWC: np.ndarray, fps: float) -> str:
    num, height, width, _ = frames_THWC.shape
    return f"{num} frames of {width}×{height}, {fps:g} fps"


def _row(record: dict[str, Any], frames_THWC: np.ndarray | None, note: str) -> SheetRow:
    values, detail = record["values"] or {}, record["detail"]
    return SheetRow(
        id=record["id"],
        prompt=record["prompt"],
        tags=tuple(record["tags"]),
        frames_THWC=frames_THWC,
        note=record["dropped"] or note,
        chips=tuple((name, value >= 0.5) for name, value in values.items()),
        checks=tuple((each["right"], each["asked"], each["read"]) for each in detail.get("checks", ())),
        why=detail.get("why", ""),
    )
