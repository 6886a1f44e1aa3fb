"""Clips of two made-up systems, for a demonstration without trained models."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import UserError
from src.core.media_io.audio import Audio
from src.core.media_io.video_writer import write_video
from src.core.rng import numpy_generator

FPS, SIZE, RATE = 24, (144, 256), 48_000
COLORS = (
    ("red", (220, 60, 50)),
    ("green", (60, 190, 80)),
    ("blue", (70, 110, 230)),
    ("yellow", (230, 200, 60)),
    ("purple", (150, 70, 190)),
    ("white", (240, 240, 240)),
)


def write_clips(folder: Path, *, num_prompts: int, seconds: float = 2.0, seed: int = 0) -> dict[str, str]:
    """Write the clips of `smooth` and `jerky`, which drops frames and has noise; return system -> folder.

    Raises:
        UserError: more prompts than there are.
    """
    if num_prompts > len(COLORS):
        raise UserError(f"num_prompts: there are {len(COLORS)} drawn clips, got {num_prompts}")
    folders = {}
    for system in ("smooth", "jerky"):
        folders[system] = str(folder / system)
        Path(folders[system]).mkdir(parents=True, exist_ok=True)
        for number, (color, rgb) in enumerate(COLORS[:num_prompts]):
            rng = numpy_generator(seed, "human/demo", number)
            video, audio = _bounce(seconds, np.array(rgb, np.float32), rng, system == "jerky")
            path = Path(folders[system], f"{number:03d}.mp4")
            write_video(path, video, FPS, audio=Audio(audio, RATE))
            path.with_suffix(".txt").write_text(f"A {color} ball bounces on a floor\n", encoding="utf-8")
    return folders


def _bounce(
    seconds: float, color: NDArray[np.float32], rng: np.random.Generator, jerky: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return frames [T, H, W, 3] and stereo samples [2, S] in -1..1; a click sounds at each impact."""
    num_frames, (height, width) = round(seconds * FPS), SIZE
    period = 0.8
    video = np.empty((num_frames, height, width, 3), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for frame in range(num_frames):
        shown = frame - frame % 4 if jerky else frame
        phase = (shown / FPS) % period / period
        y = height - 20 - 4 * (height - 50) * phase * (1 - phase)
        x = 30 + (width - 60) * shown / num_frames
        ball = np.clip(15 - np.hypot(rows - y, columns - x), 0, 1)[..., None]
        ground = np.where(rows > height - 8, 70, 200 - rows * 0.5)[..., None]
        image = ball * color + (1 - ball) * ground
        video[frame] = np.clip(image + (rng.normal(0, 14, image.shape) if jerky else 0), 0, 255)
    time = np.arange(round(seconds * RATE)) / RATE
    since = time % period
    audio = 0.4 * np.exp(-since * 30) * np.sin(2 * np.pi * 330 * since)
    if jerky:
        audio = audio + rng.normal(0, 0.03, audio.shape)
    return video, np.stack([audio, audio]).astype(np.float32)
