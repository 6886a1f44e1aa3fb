"""Images: bit depths, floats, palettes, CMYK, color profiles, EXIF, transparency, broken files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from src.core.media_io.errors import MediaError
from src.core.media_io.formats import media_kind
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.video import read_video
from src.core.media_io.video_reader import open_video
from tests.fixtures.odd_media import flat

RED = (200, 30, 30)
RAMP = np.tile(np.linspace(0, 255, 64), (48, 1))


def save(path: Path, values: np.ndarray | Image.Image, **options: object) -> Path:
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path, **options)
    return path


def gray_error(path: Path) -> float:
    found = read_image(path)
    assert found.shape == (48, 64, 3)
    assert found.dtype == np.uint8
    return float(np.abs(found.astype(float) - RAMP[..., None]).max())


def test_deep_and_float_images_are_scaled_to_8_bits(tmp_path: Path) -> None:
    sixteen = np.rint(RAMP * 257).astype(np.uint16)
    assert gray_error(save(tmp_path / "a.png", sixteen)) <= 1
    assert gray_error(save(tmp_path / "a.tif", sixteen)) <= 1
    assert gray_error(save(tmp_path / "b.tif", (RAMP / 255).astype(np.float32))) <= 1
    assert gray_error(save(tmp_path / "c.tif", RAMP.astype(np.float32))) <= 1
    assert gray_error(save(tmp_path / "d.tif", np.rint(RAMP * 257).astype(np.int32))) <= 1
    assert gray_error(save(tmp_path / "e.png", np.rint(RAMP).astype(np.uint8))) <= 1
    dark = np.full((48, 64), 40, np.uint16)  # a dark 16-bit image stays dark
    assert read_image(save(tmp_path / "f.png", dark)).max() == 0
    save(
        tmp_path / "g.png",
        Image.fromarray(np.rint(RAMP).astype(np.uint8)).convert("1", dither=Image.Dither.NONE),
    )
    assert set(np.unique(read_image(tmp_path / "g.png"))) == {0, 255}


@pytest.mark.parametrize("values", [-1.0, 70_000.0, np.nan])
def test_floats_without_a_scale_are_refused(tmp_path: Path, values: float) -> None:
    path = save(tmp_path / "a.tif", np.full((8, 8), values, np.float32))
    with pytest.raises(MediaError, match="unsupported color: values"):
        read_image(path)


def test_cmyk_palette_and_transparency(tmp_path: Path) -> None:
    save(tmp_path / "cmyk.jpg", Image.fromarray(flat(RED)).convert("CMYK"), quality=95)
    assert np.abs(read_image(tmp_path / "cmyk.jpg").astype(int) - RED).max() <= 3
    halves = np.hstack([flat((0, 0, 0), 48, 32), flat(RED, 48, 32)])
    palette = Image.fromarray(halves).quantize(4)
    save(tmp_path / "palette.png", palette, transparency=int(np.array(palette)[0, 0]))
    found = read_image(tmp_path / "palette.png")
    assert (found[:, :31] == 255).all()
    assert np.abs(found[:, 33:].astype(int) - RED).max() <= 1
    rgba = np.dstack([flat(RED), np.full((48, 64), 64, np.uint8)])
    expected = np.rint(255 + (np.array(RED) - 255) * 64 / 255)
    assert np.abs(read_image(save(tmp_path / "rgba.png", rgba)) - expected).max() <= 1
    gray_alpha = np.dstack([np.zeros((48, 64), np.uint8), np.full((48, 64), 128, np.uint8)])
    assert np.abs(read_image(save(tmp_path / "la.png", gray_alpha)).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".JPEG", ".png", ".webp", ".tif"])
def test_exif_turns_and_mirrors(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    views = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.transpose(1, 0, 2), 6: np.rot90(stored, -1), 7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored, 1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {"quality": 98} if suffix == ".JPEG" else {}
    found = read_image(save(tmp_path / f"a{suffix}", stored, exif=exif, **options))
    assert found.shape == views[orientation].shape
    assert np.abs(found.astype(int) - views[orientation]).mean() < 3


def test_embedded_color_profiles_are_applied(tmp_path: Path) -> None:
    """A profile with swapped primaries would show red as green, were it ignored."""
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    in_lab = ImageCms.profileToProfile(Image.fromarray(flat(RED)), srgb, lab, outputMode="LAB")
    profile = ImageCms.ImageCmsProfile(lab).tobytes()
    path = save(tmp_path / "lab.tif", in_lab, icc_profile=profile)
    assert np.abs(read_image(path).astype(int) - RED).max() <= 4
    path = save(tmp_path / "broken.png", flat(RED), icc_profile=b"no profile")
    assert np.array_equal(read_image(path), flat(RED))


def test_a_still_is_an_image_and_an_animation_a_video(tmp_path: Path) -> None:
    frames = [Image.fromarray(flat((60 * n, 0, 0))) for n in range(3)]
    for suffix in (".gif", ".png", ".webp"):
        still = save(tmp_path / f"still{suffix}", frames[0])
        moving = save(
            tmp_path / f"moving{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=50
        )
        assert (media_kind(still), media_kind(moving)) == ("image", "video")
        assert (media_kind(still.read_bytes()), media_kind(moving.read_bytes())) == ("image", "video")
        assert read_video(still).fps == 0
        assert len(read_video(moving).frames_THWC) == 3
        with open_video(moving) as video:
            assert (video.has_audio, video.pixel_aspect, video.stream_index) == (False, 1.0, 0)
            tick_s = 0.01 if suffix == ".gif" else 0.001
            assert (video.tick_s, video.fps, video.num_frames) == (tick_s, pytest.approx(20), 3)
        assert len(read_video(moving.read_bytes()).frames_THWC) == 3
    pages = save(tmp_path / "pages.tif", frames[0], save_all=True, append_images=frames[1:])
    assert media_kind(pages) == "image"
    assert media_kind(tmp_path / "none.txt") is None
    assert media_kind("a.OPUS") == "audio"


def test_broken_images_say_so_without_their_folder(tmp_path: Path) -> None:
    good = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(good, "PNG")
    for name, content in (("a.png", good.getvalue()[:2000]), ("b.jpg", b"\xff\xd8\xff\xe0" + bytes(50))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MediaError, match="unreadable") as error:
            read_image(tmp_path / name)
        assert str(tmp_path) not in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(MediaError, match="missing file"):
        read_image(tmp_path / "c.png")
    assert read_image(good.getvalue()).shape == (64, 64, 3)
    write_image(tmp_path / "d.png", flat(RED))
    assert np.array_equal(read_image(tmp_path / "d.png"), flat(RED))
