"""Size, aspect ratio, crops and pads."""

import numpy as np
import pytest
import torch

from data.aspect_buckets import bucket_sizes
from data.framing import choose_framing
from src.core.media_io.errors import MediaError
from tests.fixtures.video_files import image

RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16")


def test_buckets_of_the_paper_at_768() -> None:
    """576x1024 and 1024x576 are the paper's own; all have about 768 x 768 pixels."""
    sizes = bucket_sizes(768, RATIOS, 16)
    assert sizes == [(576, 1024), (672, 880), (768, 768), (880, 672), (1024, 576)]
    assert all(h % 16 == w % 16 == 0 and abs(h * w / 768**2 - 1) < 0.03 for h, w in sizes)


def test_equal_buckets_are_one() -> None:
    assert bucket_sizes(32, RATIOS, 8) == [(24, 40), (32, 32), (40, 24)]
    with pytest.raises(ValueError, match="aspect_ratios: '16x9'"):
        bucket_sizes(32, ("16x9",), 8)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (50, 50), (40, 200), (37, 53)])
def test_every_shape_fits_its_bucket_undistorted(height: int, width: int, fit) -> None:
    framing = choose_framing(height, width, 1.0, bucket_sizes(32, RATIOS, 8), fit, False)
    out = framing.apply(image(0, height, width)[None])
    assert out.shape == (1, 3, framing.height, framing.width)
    assert out.dtype == torch.uint8
    stretch = (framing.resized_width / width) / (framing.resized_height / height)
    assert abs(stretch - 1) < 0.06  # full pixels
    facts = framing.facts
    if fit == "crop":
        assert facts["pad_top"] == facts["pad_left"] == 0
        assert framing.resized_height >= framing.height
        assert framing.resized_width >= framing.width
    else:
        assert facts["cut_top"] == facts["cut_left"] == 0
        assert (out[0, :, : facts["pad_top"]] == 0).all()
        assert out[0, :, facts["pad_top"] : facts["pad_top"] + framing.resized_height].float().mean() > 0


def test_cropping_keeps_the_center() -> None:
    frame = np.zeros((32, 96, 3), np.uint8)
    frame[:, 47:49] = 255
    framing = choose_framing(32, 96, 1.0, [(32, 32)], "crop", False)
    assert framing.facts["cut_left"] == 32
    assert framing.apply(frame[None])[0, 0, 5].nonzero().flatten().tolist() == [15, 16]


def test_uint8_resize_is_antialiased_and_as_good_as_float() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    out = choose_framing(96, 128, 1.0, [(24, 32)], "crop", False).apply(noise).float()
    x = torch.from_numpy(noise).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(x, (24, 32), mode="bicubic", antialias=True).clamp(0, 255)
    assert (out - expected).abs().max() <= 1.5
    assert out.std() < 35  # point sampling would keep the noise's 74


def test_stored_pixels_need_not_be_square() -> None:
    wide = choose_framing(144, 176, 128 / 117, bucket_sizes(128, RATIOS, 16), "crop", False)
    assert (wide.height, wide.width) == (112, 144)  # shown as 193x144, which is 4:3
    anamorphic = choose_framing(64, 64, 16 / 9, [(36, 64), (64, 64)], "crop", False)
    assert (anamorphic.height, anamorphic.width) == (36, 64)


def test_too_small_is_refused_or_enlarged() -> None:
    with pytest.raises(MediaError, match="too small: 16x16 for a bucket of 32x32"):
        choose_framing(16, 16, 1.0, [(32, 32)], "crop", False)
    assert choose_framing(16, 16, 1.0, [(32, 32)], "crop", True).resized_height == 32
