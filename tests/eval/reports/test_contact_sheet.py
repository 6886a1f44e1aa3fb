import numpy as np
from PIL import ImageFont

from eval.reports.contact_sheet import GOOD, NUM_FRAMES, SheetRow, _font, _wrap, draw_sheet


def colors_of(sheet):
    return {tuple(pixel) for pixel in np.asarray(sheet).reshape(-1, 3)}


def row(**changes):
    frames = np.full((12, 16, 16, 3), (10, 200, 30), np.uint8)
    return SheetRow(**{"id": "a", "prompt": "A red star.", "frames_THWC": frames, **changes})


def test_frames_are_not_blended():
    sheet = draw_sheet([row()], "Title")
    count = (np.asarray(sheet) == (10, 200, 30)).all(-1).sum()
    assert count == NUM_FRAMES * 112 * 112


def test_colors_of_verdicts():
    good = tuple(int(GOOD[1][i : i + 2], 16) for i in (1, 3, 5))
    assert good in colors_of(draw_sheet([row(badges=(("subject", True),))], "t"))
    assert good not in colors_of(draw_sheet([row(badges=(("subject", False), ("motion", None)))], "t"))


def test_long_texts_and_missing_videos():
    long = draw_sheet([row(prompt="word " * 400, checks=((False, "x" * 300, "y"),))], "t")
    short = draw_sheet([row()], "t")
    assert long.width == short.width
    assert short.height < long.height < 700
    assert draw_sheet([row(frames_THWC=None, note="no such file")], "t").height == short.height
    assert draw_sheet([], "nothing").height > 0


def test_any_size_of_frame():
    for shape in ((1, 9, 200, 3), (3, 300, 20, 3), (40, 1, 1, 3)):
        draw_sheet([row(frames_THWC=np.zeros(shape, np.uint8))], "t")


def test_wrapping_loses_no_word():
    font = _font(13)
    assert isinstance(font, ImageFont.FreeTypeFont)
    text = "a sentence of several words and a" + "very" * 30 + "long one"
    lines = _wrap(text, font, 120, max_lines=99)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(font.getlength(line) <= 120 for line in lines)
