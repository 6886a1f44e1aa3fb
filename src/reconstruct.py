"""Reconstruct videos or audio: `python -m src.reconstruct run=RUN video=FILE.mp4 [key=value ...]`.

With the run of a TAE `video=` may be given several times, and takes images too; `data=DATASET/val` takes
prepared clips. Long videos are streamed in tiles. Writes, for each video, the reconstruction, a video of the
original (left) and the reconstruction, and an image of a few frames (originals above); for all of them PSNR
and SSIM of every frame in `scores.csv`. Scores are those of the model's pixels, before they are compressed.

With the run of an audio codec `audio=FILE.wav` may be given several times, for audio files and for the audio
of videos. It is resampled to the codec's rate and streamed; channels stay as they are. Writes, for each, the
reconstruction and an image of the spectrograms of both; for all of them SI-SDR, mel and STFT distance and
loudness in `scores.csv`.
"""

import sys
from pathlib import Path

from src.core import cli, config
from src.core.errors import UserError
from src.inference.config import ReconstructConfig


def main(argv: list[str]) -> None:
    """Parse the command line and reconstruct."""
    videos, audio_files = (
        [Path(arg.removeprefix(key)) for arg in argv if arg.startswith(key)] for key in ("video=", "audio=")
    )
    args = [arg for arg in argv if not arg.startswith(("video=", "audio="))]
    settings = config.from_command_line(ReconstructConfig, args, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.runs.loading import read_kind

    kind = read_kind(Path(settings.run))
    if kind == "codec":
        from src.inference import reconstruct_audio

        if videos:
            raise UserError(f"run={settings.run} is an audio codec: audio={videos[0]} takes a video's audio")
        reconstruct_audio.reconstruct(settings, audio_files)
        return
    from src.inference import reconstruct_videos

    if audio_files:
        raise UserError(f"audio={audio_files[0]}: run={settings.run} is a {kind} run, expected a codec run")
    reconstruct_videos.reconstruct(settings, videos)


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted="interrupted; videos that are finished are in the output directory"))
