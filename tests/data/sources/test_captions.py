"""Caption files as editors save them."""

import pytest

from data.sources.captions import captions_of_json, captions_of_text
from src.core.media_io.errors import MediaError


@pytest.mark.parametrize(
    ("data", "captions"),
    [
        (b"\xef\xbb\xbfFirst caption.\r\nSecond caption.\r\n", ["First caption.", "Second caption."]),
        ("A sign reads\u2028open all day.".encode(), ["A sign reads\u2028open all day."]),
        ("Two words\u0085and more\x0cand a page.".encode(), ["Two words\u0085and more\x0cand a page."]),
        ("Saved by an old editor.\n".encode("utf-16"), ["Saved by an old editor."]),
        ("Saved with its mark.".encode("utf-32"), ["Saved with its mark."]),
        (b" \r\n\t\n", []),
        (b"Old Mac\rtwo lines", ["Old Mac", "two lines"]),
        ("A cat 🐈‍⬛ says “hello”, nai\u0308vely\n".encode(), ["A cat 🐈‍⬛ says “hello”, naïvely"]),
    ],
)
def test_one_caption_per_line_ending(data: bytes, captions: list[str]) -> None:
    assert captions_of_text(data, "a.txt") == captions


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        ("Größe".encode("latin-1"), "caption is not UTF-8", "a.txt, byte 2"),
        (b"A caption\x00with a zero byte.", "caption has a zero byte", "a.txt, character 9"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(MediaError) as error:
        captions_of_text(data, "a.txt")
    assert (error.value.reason, error.value.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ('"One."', ["One."]),
        ('["One.", " Two. "]', ["One.", "Two."]),
        ('{"caption": "One.", "license": "CC0"}', ["One."]),
        ('{"captions": ["One.", "Two."]}', ["One.", "Two."]),
        ('{"caption": null, "width": 3}', []),
        ('{"width": 3}', []),
    ],
)
def test_captions_of_json(text: str, captions: list[str]) -> None:
    assert captions_of_json(text.encode(), "a.json", "caption")[0] == captions


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"caption": 3}', "bad caption"), ("3", "bad caption"), ("{", "caption is not JSON")],
)
def test_json_that_is_no_caption(text: str, reason: str) -> None:
    with pytest.raises(MediaError) as error:
        captions_of_json(text.encode(), "a.json", "caption")
    assert error.value.reason == reason
