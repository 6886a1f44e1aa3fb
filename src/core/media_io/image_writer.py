"""Write images."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.core.atomic import atomic_write


def write_image(path: Path | str, frame_HWC: NDArray[np.uint8]) -> None:
    """Write one RGB image as PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(frame_HWC).save(temporary, format="PNG", optimize=False)
