"""Small media files, good and broken, made on the spot."""

from pathlib import Path

import av
import numpy as np
from PIL import Image


def picture(number: int, height: int, width: int, shade: int = 0) -> np.ndarray:
    """A smooth gradient that moves with `number`; `shade` makes another scene."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * 2 + number + shade) % 256, (y * 2 + shade) % 256, np.full_like(x, shade)]
    return np.stack(planes, -1).astype(np.uint8)


def write_video(
    path: Path,
    frames: int = 20,
    height: int = 48,
    width: int = 64,
    fps: int = 10,
    *,
    cuts: tuple[int, ...] = (),
    sound: bool = False,
    pictures: bool = True,
) -> Path:
    """An MPEG-4 film; at each of `cuts` another scene begins."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps) if pictures else None
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 4_000_000
            for i in range(frames):
                shade = 90 * sum(c <= i for c in cuts) % 256
                frame = av.VideoFrame.from_ndarray(picture(i, height, width, shade), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if audio is not None:
            for i in range(4):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts = 16000, 1024 * i
                container.mux(audio.encode(silence))
            container.mux(audio.encode())
    return path


def write_image(path: Path, height: int = 48, width: int = 64) -> Path:
    Image.fromarray(picture(0, height, width)).save(path)
    return path


def write_folder(root: Path) -> Path:
    """Good media of three kinds, and one file of every kind of bad."""
    root.mkdir()
    write_video(root / "a.mp4", 40, sound=True)
    (root / "a.txt").write_text("A gradient slides.\n\nEin Verlauf für alle Fälle.\n", encoding="utf-8")
    (root / "sub").mkdir()
    write_video(root / "sub" / "a.mkv", 18, height=64, width=48)
    write_image(root / "b.png")
    (root / "b.txt").write_text("A still gradient.", encoding="utf-8")
    write_video(root / "bad-audio.mp4", sound=True, pictures=False)
    (root / "bad-bytes.mp4").write_bytes(bytes(range(256)) * 20)
    (root / "bad-empty.mp4").write_bytes(b"")
    (root / "bad-image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    write_video(root / "bad-caption.mp4")
    (root / "bad-caption.txt").write_bytes("Größe".encode("latin-1"))
    write_video(root / "bad-short.mp4", 7)
    write_video(root / "bad-small.mp4", height=16, width=16)
    write_zero_frames(root / "bad-zero.avi")
    whole = write_video(root / "bad-tail.avi", 60).read_bytes()
    (root / "bad-tail.avi").write_bytes(whole[: len(whole) // 2])
    (root / "song.mp3").write_bytes(b"ID3")
    (root / ".hidden.mp4").write_bytes(b"")
    return root


def write_zero_frames(path: Path) -> Path:
    """A film whose header promises a picture track that has no pictures."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path
