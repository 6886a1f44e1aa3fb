"""Reconstruct videos with an autoencoder: `python -m src.reconstruct run=RUN video=FILE.mp4 [key=value ...]`.

`video=` may be given several times, and takes images too; `data=DATASET/val` takes prepared clips. Long
videos are streamed in tiles. Writes, for each video, the reconstruction, a video of the original (left) and
the reconstruction, and an image of a few frames (originals above); for all of them PSNR and SSIM of every
frame in `scores.csv`. Scores are those of the model's pixels, before the output file compresses them.
"""

import sys
from pathlib import Path

from src.core import cli, config
from src.inference.config import ReconstructConfig


def main(argv: list[str]) -> None:
    """Parse the command line and reconstruct."""
    videos = [Path(arg.removeprefix("video=")) for arg in argv if arg.startswith("video=")]
    args = [arg for arg in argv if not arg.startswith("video=")]
    settings = config.from_command_line(ReconstructConfig, args, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.inference.reconstruct_videos import reconstruct

    reconstruct(settings, videos)


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted="interrupted; videos that are finished are in the output directory"))
