"""Images through Pillow as RGB of 8 bits: EXIF turns, color profiles, CMYK, palettes, 16 bits, floats, alpha.

Legend: H, W; C = 3 (RGB, uint8).
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from src.core.media_io.container import Source, check_is_file, printable
from src.core.media_io.errors import MediaError, one_line
from src.core.media_io.pixels import compose

_FAULTS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def read_image(source: Source) -> np.ndarray:
    """Read an image as uint8 [H, W, 3] in sRGB, upright, transparency on white.

    16-bit values are scaled by 255 / 65535. Floats (and 32-bit integers) are taken as 0 to 1, 0 to 255 or
    0 to 65535, the smallest of these ranges that holds them. Of an animated image, the first frame.

    Raises:
        MediaError: "missing file", "not a media file", "unreadable", or "unsupported color" for floats
            outside those ranges.
    """
    check_is_file(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_rgb(image)
    except MediaError:
        raise
    except _FAULTS as error:
        raise MediaError("unreadable", one_line(error).replace(*_names(source))) from None


def _names(source: Source) -> tuple[str, str]:
    """Return the path of a file as messages state it, and its name."""
    return (str(source), Path(printable(source)).name) if isinstance(source, str | Path) else ("\0", "")


def to_rgb(image: Image.Image) -> np.ndarray:
    """Return an open image (its current frame) as uint8 [H, W, 3]; see `read_image`."""
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}:
        gray_HW = _scale_to_8_bits(np.asarray(upright), is_16_bit=upright.mode.startswith("I;16"))
        return np.repeat(gray_HW[..., None], 3, -1)
    if upright.has_transparency_data:
        rgba_HWC = np.array(upright.convert("RGBA"))
        return _to_srgb(Image.fromarray(compose(rgba_HWC)), profile)
    if upright.mode not in {"RGB", "CMYK", "LAB"}:
        upright = upright.convert("RGB")
    return _to_srgb(upright, profile)


def _to_srgb(image: Image.Image, profile: bytes | None) -> np.ndarray:
    """Return sRGB by the embedded color profile; without one that fits the mode, by Pillow's conversion."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == image.mode and "sRGB" not in (source.profile.profile_description or ""):
                image = ImageCms.profileToProfile(
                    image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile: shown without it, as browsers do
    return np.array(image.convert("RGB"))


def _scale_to_8_bits(values_HW: np.ndarray, *, is_16_bit: bool) -> np.ndarray:
    values = values_HW.astype(np.float64)
    if not np.isfinite(values).all():
        raise MediaError("unsupported color", "values that are not finite")
    low, high = float(values.min()), float(values.max())
    is_float = values_HW.dtype.kind == "f"
    scale = 65535.0 if is_16_bit else next((s for s in (1.0, 255.0, 65535.0) if high <= s), None)
    if not is_float and scale == 1.0:
        scale = 255.0
    if low < 0 or scale is None:
        raise MediaError("unsupported color", f"values from {low:g} to {high:g}")
    return np.rint(values * (255 / scale)).astype(np.uint8)
