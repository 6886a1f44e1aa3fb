"""Choice of the aspect-ratio bucket of a clip, and of the resize that fits its frames into it."""

import math
from typing import Literal

from src.core.media_io.errors import MediaError
from src.streaming.schema.framing import Framing


def choose_framing(
    height: int,
    width: int,
    pixel_aspect: float,
    sizes: list[tuple[int, int]],
    fit: Literal["crop", "pad"],
    upscale: bool,
) -> Framing:
    """Return the bucket with the nearest aspect ratio, and the resize that fills (crop) or fits (pad) it.

    Raises:
        MediaError: "too small" if frames would have to be enlarged and `upscale` is off.
    """
    square_width = width * pixel_aspect  # in square pixels
    aspect = math.log(square_width / height)
    best_h, best_w = min(sizes, key=lambda s: (abs(math.log(s[1] / s[0]) - aspect), s))
    scales = (best_h / height, best_w / square_width)
    scale = max(scales) if fit == "crop" else min(scales)
    if scale > 1 + 1e-6 and not upscale:
        raise MediaError("too small", f"{width}x{height} for a bucket of {best_w}x{best_h}")
    limit = max if fit == "crop" else min
    resized = limit(best_h, round(height * scale)), limit(best_w, round(square_width * scale))
    return Framing(best_h, best_w, *resized, fit)
