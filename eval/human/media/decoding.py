"""Decode clips into the common format of their prompt."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from eval.human.degradations import Frame, Samples
from eval.human.media.formats import Format, fitted_size
from eval.human.planning.stimuli import Stimulus
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.errors import MediaError
from src.core.media_io.video_reader import open_video

RATE = 48_000
MAX_HELD_S = 0.25  # a last frame is held at most this long where a clip ends earlier


def read_frames(source: Path, form: Format, stimulus: Stimulus) -> Iterator[Frame]:
    """Yield exactly the frames of the common format; the last one is held where a clip ends earlier.

    Raises:
        MediaError: a compared clip is too short for that; clips of other prompts and sources may be.
    """
    count, last = 0, None
    with open_video(source) as video:
        height, width = video.size
        width = max(1, round(width * video.pixel_aspect))
        for frame in video.frames(fps=form.fps):
            if count == form.num_frames:
                return
            last = fit_frame(frame.rgb_HWC, form, height, width)
            yield last
            count += 1
    if last is None:
        raise MediaError("no frames")
    is_compared = stimulus.role == "clip" and stimulus.degradation not in ("other_prompt", "unedited")
    if is_compared and form.num_frames - count > max(2, round(MAX_HELD_S * form.fps)):
        raise MediaError("too short", f"{count / form.fps:.2f} s where {form.seconds:.2f} s are needed")
    for _ in range(form.num_frames - count):
        yield last


def fit_frame(frame: Frame, form: Format, height: int = 0, width: int = 0) -> Frame:
    """Return a frame scaled into the common size (bicubic, antialiased) on black."""
    size = fitted_size(height or frame.shape[0], width or frame.shape[1], form)
    if frame.shape[:2] != size:
        frame = np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    if size == (form.height, form.width):
        return frame
    canvas = np.zeros((form.height, form.width, 3), np.uint8)
    top, left = (form.height - size[0]) // 2, (form.width - size[1]) // 2
    canvas[top : top + size[0], left : left + size[1]] = frame
    return canvas


def read_stereo(source: Path, seconds: float) -> Samples:
    """Return the first seconds of a file's audio as stereo; silence if it has none."""
    try:
        audio = read_audio(source, rate=RATE, channels=2, end_s=seconds)
    except MediaError as error:
        if error.reason != "no audio":
            raise
        return np.zeros((2, round(seconds * RATE)), np.float32)
    return audio.samples_CS
