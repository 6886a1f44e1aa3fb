"""Text and bars drawn onto constructed clips.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = [
    "THE",
    "LAST",
    "SUMMER",
    "begins",
    "here",
    "subscribe",
    "now",
    "Chapter",
    "One",
    "breaking",
    "news",
    "weather",
    "2026",
    "www.example.org",
    "directed",
    "by",
]
WORDS += [
    "where",
    "are",
    "you",
    "going?",
    "I",
    "told",
    "you",
    "so",
    "welcome",
    "back",
    "Part",
    "3",
    "of",
    "7",
    "hello",
    "my",
    "friend",
    "SALE",
    "50%",
    "today",
    "LIVE",
    "channel",
]
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ValueError("fonts: needs pip install matplotlib")
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data/fonts/ttf" / name), size)


def add_text(frames_THWC: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the frames with a subtitle, title or watermark; letters are about `size` pixels high."""
    height, width = frames_THWC.shape[1:3]
    font = _font(str(rng.choice(FONTS)), size)
    first = int(rng.integers(len(WORDS) - 6))
    line = " ".join(WORDS[first : first + int(rng.integers(2, 6))])
    while font.getlength(line) > 0.92 * width and " " in line:
        line = line.rsplit(" ", 1)[0]
    room = max(width - font.getlength(line), 2)
    place = rng.integers(3)  # subtitle, title, corner
    x = room / 2 if place < 2 else rng.uniform(2, room)
    y = (height - 1.8 * size, (height - size) / 2, rng.uniform(2, height - 1.8 * size))[place]
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    light = rng.random() < 0.75
    fill = (255, 255, int(rng.choice([255, 120])), 255) if light else (10, 10, 10, 255)
    outline = (0, 0, 0, 255) if light else (255, 255, 255, 255)
    ImageDraw.Draw(layer).text(
        (x, y), line, font=font, fill=fill, stroke_width=max(1, size // 12), stroke_fill=outline
    )
    drawn = np.asarray(layer).astype(np.float32)
    alpha = drawn[None, ..., 3:] / 255 * rng.uniform(0.85, 1.0)
    return (frames_THWC * (1 - alpha) + drawn[None, ..., :3] * alpha + 0.5).astype(np.uint8)


def add_border(frames_THWC: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Return the frames scaled between bars: top and bottom, left and right, all sides, or the top."""
    height, width = frames_THWC.shape[1:3]
    kind = rng.integers(4)
    y, x = round(height * fraction), round(width * fraction)
    top, bottom, left, right = ((y, y, 0, 0), (0, 0, x, x), (y, y, x, x), (y, 0, 0, 0))[kind]
    color = rng.choice([0, 0, 255, -1])
    fill = rng.integers(0, 256, 3) if color < 0 else np.full(3, color)
    inner = (width - left - right, height - top - bottom)
    if min(inner) < 8:
        raise ValueError(f"border of {fraction:.2f} leaves nothing of {width}x{height}")
    out = np.empty_like(frames_THWC)
    out[:] = fill
    for frame, target in zip(frames_THWC, out, strict=True):
        target[top : height - bottom, left : width - right] = cv2.resize(
            frame, inner, interpolation=cv2.INTER_AREA
        )
    return out
