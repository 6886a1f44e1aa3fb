"""Preview the Bounce world as a contact sheet or a video with sound.

    python -m data.bounce.preview bounce.png             # a contact sheet: one row of frames per video
    python -m data.bounce.preview bounce.mp4 size=192    # the videos one after another, with sound
    python -m data.bounce.preview bounce.png seed=100 num_videos=12 world.min_objects=2

Each video has its caption below.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.bounce.audio import SAMPLE_RATE, render_audio
from data.bounce.captions import caption_variants
from data.bounce.config import PreviewConfig
from data.bounce.world import BounceVideo, make_video
from src.core import cli, config
from src.core.errors import UserError
from src.core.media_io.audio import Audio
from src.core.media_io.video_writer import video_writer

_INK, _PAPER = (30, 30, 34), (250, 249, 246)


def make_videos(settings: PreviewConfig) -> list[BounceVideo]:
    """Render the videos to show."""
    seconds = settings.seconds or (1.0 if settings.out.endswith(".png") else 3.0)
    frames, width = max(2, round(seconds * settings.fps)), settings.width or settings.size
    return [
        make_video(s, settings.world, num_frames=frames, height=settings.size, width=width, fps=settings.fps)
        for s in range(settings.seed, settings.seed + settings.num_videos)
    ]


def contact_sheet(videos: list[BounceVideo], columns: int = 8) -> np.ndarray:
    """Return a contact sheet, uint8 [H, W, 3]: one row per video, with its caption below."""
    rows = []
    for one in videos:
        frames = one.video_THWC
        zoom = max(1, -(-96 // frames.shape[1]))
        picked = frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)]
        picked = picked.repeat(zoom, 1).repeat(zoom, 2)
        row = np.full((picked.shape[1], columns * (picked.shape[2] + 4) + 4, 3), _PAPER, np.uint8)
        for k, frame in enumerate(picked):
            left = 4 + k * (frame.shape[1] + 4)
            row[:, left : left + frame.shape[1]] = frame
        rows.append(np.concatenate([row, _caption(caption_variants(one.facts)[0], row.shape[1], lines=2)]))
    return np.concatenate([np.full((4, rows[0].shape[1], 3), _PAPER, np.uint8), *rows])


def write_preview(path: Path, videos: list[BounceVideo]) -> None:
    """Write all videos one after another as mp4 (H.264 and AAC), each with its caption and its sound."""
    height, width = videos[0].video_THWC.shape[1:3]
    zoom = max(1, -(-384 // min(height, width)))
    strip = {id(one): _caption(caption_variants(one.facts)[1], width * zoom, lines=3) for one in videos}
    tall = height * zoom + next(iter(strip.values())).shape[0]
    width, tall = width * zoom // 2 * 2, tall // 2 * 2
    samples_CS = np.concatenate([render_audio(one.facts) for one in videos], axis=1)
    audio = Audio(samples_CS, SAMPLE_RATE)
    with video_writer(path, tall, width, videos[0].facts.fps, 16, audio=audio) as write:
        for one in videos:
            for frame in one.video_THWC:
                image = np.concatenate([frame.repeat(zoom, 0).repeat(zoom, 1), strip[id(one)]])
                write(image[:tall, :width])


def _caption(text: str, width: int, lines: int) -> np.ndarray:
    """Return wrapped text as an image, uint8 [H, width, 3], cut after `lines` lines."""
    font, row = ImageFont.load_default(15), ""
    rows: list[str] = []
    for word in text.split():
        if row and font.getlength(f"{row} {word}") > width - 12:
            rows, row = [*rows, row], word
        else:
            row = f"{row} {word}".strip()
    image = Image.new("RGB", (width, 20 * lines + 6), _PAPER)
    ImageDraw.Draw(image).text((6, 2), "\n".join([*rows, row][:lines]), _INK, font)
    return np.asarray(image)


def main(argv: list[str]) -> None:
    """Parse the command line and write the file."""
    argv = [f"out={word}" if word.endswith((".png", ".mp4")) and "=" not in word else word for word in argv]
    arguments = config.parse_arguments(argv)
    if arguments.help:
        print((__doc__ or "").strip() + "\n\n" + config.help_text(PreviewConfig))
        return
    try:
        settings = config.build(PreviewConfig, config.read(arguments.configs, arguments.overrides))
        videos = make_videos(settings)
    except ValueError as error:
        raise UserError(str(error)) from error
    path = Path(settings.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        write_preview(path, videos)
    else:
        Image.fromarray(contact_sheet(videos, settings.columns)).save(path)
    print(
        f"{path}: {len(videos)} videos of seeds {settings.seed} to {settings.seed + settings.num_videos - 1}"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
