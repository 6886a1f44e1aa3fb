"""Collation: crops, clip lengths, captions and masks of the samples of a batch."""

from src.streaming.collate import with_fps


def test_fps_prefix_is_rounded_to_a_tenth() -> None:
    assert with_fps("Static shot. A red star moves up.", 16.0) == "FPS-16 Static shot. A red star moves up."
    assert with_fps("x", 29.97) == "FPS-30 x"
    assert with_fps("x", 12.5) == "FPS-12.5 x"
