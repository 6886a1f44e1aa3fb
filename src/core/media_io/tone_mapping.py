"""HDR to SDR as ffmpeg's filters `zscale` and `tonemap=hable:desat=0` do it, and wide gamuts to BT.709.

The chain that this equals, for BT.2020 PQ or HLG:

    zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv

Legend: H, W; C = 3 (RGB).
"""

from functools import cache

import numpy as np

REFERENCE_NITS = 100.0  # light that becomes 1 before the curve
# Linear RGB to linear BT.709 RGB (ITU-R BT.2087; SMPTE EG 432-1).
PRIMARIES_TO_BT709 = {
    "bt2020": np.float32(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
    ),
    "p3": np.float32(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]]
    ),
}
_KR, _KB = 0.2627, 0.0593  # of BT.2020's luma
_ROWS = 64  # rows at a time, so that float copies stay small


def tone_map(
    yuv16_CHW: np.ndarray, full_range: bool, transfer: str, primaries: str, peak_nits: float
) -> np.ndarray:
    """Return uint8 [H, W, C]: SDR RGB in BT.709 primaries of an image in PQ ("pq") or HLG ("hlg").

    Args:
        yuv16_CHW: uint16, BT.2020 non-constant luminance.
        peak_nits: light that becomes white.
    """
    _, height, width = yuv16_CHW.shape
    out = np.empty((height, width, 3), np.uint8)
    matrix = PRIMARIES_TO_BT709.get(primaries)
    peak = np.float32(peak_nits / REFERENCE_NITS)
    for top in range(0, height, _ROWS):
        rgb_HWC = _to_rgb(yuv16_CHW[:, top : top + _ROWS], full_range)
        table = _to_linear(transfer)
        linear_HWC = table[np.clip(np.rint(rgb_HWC * 65535), 0, len(table) - 1).astype(np.int32)]
        if matrix is not None:
            linear_HWC = linear_HWC @ matrix.T
        brightest = np.maximum(linear_HWC.max(-1, keepdims=True), 1e-6)
        linear_HWC = linear_HWC * (_hable(brightest) / _hable(peak) / brightest)
        out[top : top + _ROWS] = _from_linear(linear_HWC)
    return out


def convert_primaries(rgb_HWC: np.ndarray, primaries: str) -> np.ndarray:
    """Return SDR RGB of other primaries ("bt2020", "p3") in those of BT.709, colors outside clipped."""
    matrix, out = PRIMARIES_TO_BT709[primaries], np.empty_like(rgb_HWC)
    light = (np.arange(256, dtype=np.float32) / 255) ** np.float32(2.4)
    for top in range(0, len(rgb_HWC), _ROWS):
        out[top : top + _ROWS] = _from_linear(light[rgb_HWC[top : top + _ROWS]] @ matrix.T)
    return out


def _to_rgb(yuv16_CHW: np.ndarray, full_range: bool) -> np.ndarray:
    """Return non-linear RGB, float32; 0 to 1 within the gamut and beyond it outside."""
    low, luma_range, chroma_range = (0, 65535, 65535) if full_range else (4096, 56064, 57344)
    y = (yuv16_CHW[0].astype(np.float32) - low) / luma_range
    u, v = ((plane.astype(np.float32) - 32768) / chroma_range for plane in yuv16_CHW[1:])
    red, blue = y + 1.4746 * v, y + 1.8814 * u
    return np.stack((red, (y - _KR * red - _KB * blue) / (1 - _KR - _KB), blue), -1)


def _hable(x: np.ndarray | np.float32) -> np.ndarray:
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return (x * (x * a + b * c) + d * e) / (x * (x * a + b) + d * f) - e / f


def _from_linear(linear_HWC: np.ndarray) -> np.ndarray:
    """Return 8-bit codes of linear light by the inverse of BT.1886."""
    return np.rint(255 * np.clip(linear_HWC, 0, 1) ** np.float32(1 / 2.4)).astype(np.uint8)


@cache
def _to_linear(transfer: str) -> np.ndarray:
    """Return display light over 100 nits of each 16-bit code, and of codes up to 10 % above white.

    PQ as in SMPTE ST 2084; HLG as in BT.2100 for a display of 1,000 nits, its gamma of 1.2 on each channel.
    """
    code = np.arange(round(1.1 * 65536)) / 65535
    if transfer == "pq":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        light = 10_000 / REFERENCE_NITS * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = 1000 / REFERENCE_NITS * scene**1.2
    return light.astype(np.float32)
