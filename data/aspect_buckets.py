"""Frame sizes of the aspect-ratio buckets; needs no torch."""

import math


def bucket_sizes(size: int, ratios: tuple[str, ...], multiple: int) -> list[tuple[int, int]]:
    """Return the (height, width) of each aspect ratio "width:height", without duplicates.

    Args:
        size: each bucket has about size * size pixels.
        multiple: both sides are divisible by it.

    Raises:
        ValueError: a ratio is not of the form width:height.
    """
    out = []
    for ratio in ratios:
        try:
            w, h = (float(x) for x in ratio.split(":"))
            aspect = w / h
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"aspect_ratios: {ratio!r} is not of the form width:height, such as 16:9"
            ) from None
        height = max(multiple, round(size / math.sqrt(aspect) / multiple) * multiple)
        width = max(multiple, round(size * math.sqrt(aspect) / multiple) * multiple)
        if (height, width) not in out:
            out.append((height, width))
    return out
