"""Colors of the Bounce world in the perceptual space Oklab: foreground pixels, nearest named color.

Legend: L lightness in [0, 1]; a, b Oklab's color axes; [...] any leading shape.
"""

import numpy as np

from data.bounce.vocabulary import COLORS
from eval.bounce_checker.config import CheckerConfig

# Björn Ottosson, "A perceptual color space for image processing" (2020).
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_SRGB = np.arange(256) / 255
_LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4).astype(np.float32)

DEFAULTS = CheckerConfig()
LIGHTNESS_WEIGHT = 0.5  # shadows and exposure change lightness more than hue

COLOR_NAMES = tuple(COLORS)


def rgb_to_oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert uint8 sRGB to Oklab, float32 [..., 3] = L, a, b."""
    return np.cbrt(_LINEAR[rgb] @ _TO_LMS.T) @ _TO_LAB.T


PALETTE = rgb_to_oklab(np.array(list(COLORS.values()), np.uint8))


def foreground_mask(lab: np.ndarray, settings: CheckerConfig = DEFAULTS) -> np.ndarray:
    """Return the pixels that stand out from the muted background, saturated or white; bool [...]."""
    offset = lab[..., 1:] - floor_chroma(lab)
    saturated = np.hypot(offset[..., 0], offset[..., 1]) > settings.min_chroma
    # baseboards are at 0.81, white objects at 0.97, both less when blurred
    return saturated | (lab[..., 0] > settings.min_lightness)


def floor_chroma(lab: np.ndarray) -> np.ndarray:
    """Return the (a, b) of the floor: the median of the less saturated half of all pixels."""
    ab = lab[..., 1:].reshape(-1, 2)[:: max(1, lab.size // 60_000)]
    chroma = np.hypot(ab[:, 0], ab[:, 1])
    return np.median(ab[chroma <= np.median(chroma)], axis=0)


def nearest_color(lab: np.ndarray) -> np.ndarray:
    """Return the index into COLOR_NAMES of the nearest vocabulary color of each pixel."""
    scale = np.array([LIGHTNESS_WEIGHT, 1.0, 1.0], np.float32)
    gaps = ((lab[..., None, :] - PALETTE) * scale) ** 2
    return gaps.sum(-1).argmin(-1)
