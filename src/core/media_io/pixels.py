"""Decoded frames as upright RGB of 8 bits: matrix, range, bit depth, HDR, alpha, rotation.

Legend: H, W; C = 3 (RGB, uint8).
"""

import re
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import av
import numpy as np
from av.sidedata.sidedata import Type

from src.core.media_io.errors import MediaError
from src.core.media_io.tone_mapping import PRIMARIES_TO_BT709, convert_primaries, tone_map

BACKGROUND = 255  # white, under everything transparent: images and videos
_BT709, _UNSPECIFIED, _BT2020_CL = 1, 2, 10
_UNSUPPORTED_MATRICES = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp", 15: "IPT-C2"}
_TRANSFERS = {16: "pq", 18: "hlg"}
_PRIMARIES = {9: "bt2020", 12: "p3"}
_PLANAR = re.compile(r"yuv(420|422|444|440)p(9|10|12|14|16)le")


@dataclass(frozen=True)
class StreamView:
    """Display of the frames of a stream, from the side data of its first frame.

    Read once: PyAV keeps a frame whose side data was read in a reference cycle, which only the garbage
    collector frees, hundreds of megabytes later.
    """

    matrix: tuple[int, int, int, int]
    peak_nits: float
    is_dolby_vision: bool

    @classmethod
    def of(cls, frame: Any) -> Self:
        """Return the view of a frame.

        Raises:
            MediaError: "unsupported rotation".
        """
        return cls(display_matrix(frame), _peak_nits(frame), "DOVI_METADATA" in _side_data(frame))


@dataclass(frozen=True)
class PixelFormat:
    """Facts of a pixel format. Palettes count as alpha: their entries may be transparent.

    `planes_8_bits` is the planar YUV format of 8 bits that one of more bits is rounded to.
    """

    is_rgb: bool
    has_alpha: bool
    bits: int
    planes_8_bits: str

    @staticmethod
    @cache
    def of(name: str) -> "PixelFormat":
        """Return the facts of the format that libav calls `name`."""
        found = av.VideoFormat(name)
        planar, has_palette = _PLANAR.fullmatch(name), found.has_palette
        return PixelFormat(
            is_rgb=found.is_rgb or has_palette,
            has_alpha=has_palette or any(c.is_alpha for c in found.components),
            bits=max(c.bits for c in found.components),
            planes_8_bits=f"yuv{planar[1]}p" if planar else "",
        )


def to_rgb(frame: Any, view: StreamView | None = None) -> np.ndarray:
    """Return a decoded frame as uint8 [H, W, 3], as a viewer sees it; `view` is that of its stream.

    The matrix and range are the frame's; without a matrix, BT.709 from 720 lines on and else BT.601. PQ and
    HLG are tone-mapped, BT.2020 and P3 primaries converted, and alpha is composed on white.

    Raises:
        MediaError: "unsupported color" or "unsupported rotation".
    """
    view = view or StreamView.of(frame)
    return turn_upright(_to_stored_rgb(frame, view), view.matrix)


def is_hdr(frame: Any) -> bool:
    """True for the transfer functions PQ and HLG."""
    return frame.color_trc in _TRANSFERS


def is_stored_as_displayed(frame: Any, view: StreamView) -> bool:
    """True if a frame's planes are what is shown but for the conversion to RGB."""
    plain = not is_hdr(frame) and frame.color_primaries not in _PRIMARIES
    return plain and not PixelFormat.of(frame.format.name).has_alpha and view.matrix == (1, 0, 0, 1)


def _to_stored_rgb(frame: Any, view: StreamView) -> np.ndarray:
    form = PixelFormat.of(frame.format.name)
    if not form.is_rgb and frame.colorspace in _UNSUPPORTED_MATRICES:
        raise MediaError("unsupported color", f"matrix {_UNSUPPORTED_MATRICES[frame.colorspace]}")
    if view.is_dolby_vision and frame.color_trc not in _TRANSFERS and frame.colorspace != _BT709:
        raise MediaError("unsupported color", "Dolby Vision without a compatible base layer")
    matrix = None if form.is_rgb or frame.colorspace != _UNSPECIFIED else guess_matrix(frame.height)
    primaries, transfer = _PRIMARIES.get(frame.color_primaries), _TRANSFERS.get(frame.color_trc)
    if form.has_alpha:
        return compose(_reformat(frame, "rgba", matrix))
    if transfer:
        return tone_map(*_to_yuv444(frame), transfer, primaries or "bt2020", view.peak_nits)
    if form.planes_8_bits:
        frame = _to_8_bits(frame, form.planes_8_bits, form.bits - 8)
    elif form.is_rgb and form.bits > 8:
        rgb16_HWC = _reformat(frame, "rgb48le", None)
        return ((rgb16_HWC.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    rgb_HWC = _reformat(frame, "rgb24", matrix)
    return convert_primaries(rgb_HWC, primaries) if primaries in PRIMARIES_TO_BT709 else rgb_HWC


def guess_matrix(height: int) -> str | None:
    """Return the matrix of video without a tag, as players guess it: BT.709 for HD, BT.601 below."""
    return "itu709" if height >= 720 else None


def compose(rgba_HWC: np.ndarray) -> np.ndarray:
    """Return straight RGBA of 8 bits over the background, rounded."""
    if (rgba_HWC[..., 3] == 255).all():
        return np.ascontiguousarray(rgba_HWC[..., :3])
    alpha = rgba_HWC[..., 3:].astype(np.uint32)
    over = rgba_HWC[..., :3] * alpha + BACKGROUND * (255 - alpha)
    return ((over + 127) // 255).astype(np.uint8)


def _reformat(frame: Any, name: str, matrix: str | None) -> np.ndarray:
    # bicubic as in the ffmpeg program: where swscale has no direct path, it enlarges chroma by this
    converted = frame.reformat(format=name, src_colorspace=matrix, interpolation="BICUBIC", threads=1)
    return converted.to_ndarray()


def _to_yuv444(frame: Any) -> tuple[np.ndarray, bool]:
    """Return a frame's planes as uint16 [3, H, W] at full resolution, and whether they use the full range."""
    full = frame.reformat(format="yuv444p16le", threads=1)
    planes = [np.frombuffer(p, np.uint16).reshape(p.height, -1)[:, : p.width] for p in full.planes]
    return np.stack(planes), frame.color_range == 2


def _to_8_bits(frame: Any, name: str, shift: int) -> Any:
    """Return planar YUV rounded to 8 bits, without the dither that swscale adds.

    The inverse of a lossless copy to more bits: such copies give equal frames.
    """
    out = av.VideoFrame(frame.width, frame.height, name)
    for source, target in zip(frame.planes, out.planes, strict=True):
        values = np.frombuffer(source, np.uint16).reshape(source.height, -1)[:, : source.width]
        rows = np.zeros((target.height, target.line_size), np.uint8)
        rows[:, : target.width] = np.minimum((values.astype(np.uint32) + (1 << shift >> 1)) >> shift, 255)
        target.update(rows)
    out.colorspace, out.color_range = frame.colorspace, frame.color_range
    return out


def _side_data(frame: Any) -> dict[str, Any]:
    return {each.type.name: each for each in frame.side_data} if len(frame.side_data) else {}


def _peak_nits(frame: Any) -> float:
    """Return the brightest light that the file's metadata states, 1,000 nits if there is none."""
    data = _side_data(frame)
    if light := data.get("CONTENT_LIGHT_LEVEL"):
        max_content = struct.unpack_from("<I", bytes(light))[0]
        if max_content:
            return float(max_content)
    if mastering := data.get("MASTERING_DISPLAY_METADATA"):
        # AVRational primaries[3][2], white[2], min_luminance, max_luminance; int has_primaries, has_luminance
        numbers = struct.unpack_from("<22i", bytes(mastering))
        if numbers[21] and numbers[19]:
            return numbers[18] / numbers[19]
    return 1000.0


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Return the signs (a, b, c, d) of a frame's display matrix: x' = a x + c y, y' = b x + d y.

    Raises:
        MediaError: "unsupported rotation" for angles that are no multiple of 90 degrees.
    """
    if not len(frame.side_data):
        return 1, 0, 0, 1
    found = frame.side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return 1, 0, 0, 1
    a, b, _, c, d = struct.unpack_from("<5i", bytes(found))
    largest = max(map(abs, (a, b, c, d)), default=0)
    signs = tuple(0 if abs(v) < 0.01 * largest else (1 if v > 0 else -1) for v in (a, b, c, d))
    if largest == 0 or sorted(map(abs, signs)) != [0, 0, 1, 1] or abs(signs[0]) != abs(signs[3]):
        raise MediaError("unsupported rotation", f"display matrix {a, b, c, d}")
    return signs


def turn_upright(rgb_HWC: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Return a stored image as its display matrix shows it: turned by right angles, perhaps mirrored."""
    if matrix == (1, 0, 0, 1):
        return rgb_HWC
    a, b, c, d = matrix
    if b:  # x and y are exchanged: the stored x becomes y'
        rgb_HWC = rgb_HWC.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return np.ascontiguousarray(rgb_HWC[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def swaps_axes(matrix: tuple[int, int, int, int]) -> bool:
    """True for quarter turns, which swap height and width."""
    return bool(matrix[1])
