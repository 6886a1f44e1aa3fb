"""Memory of reading and writing does not grow with the length of a video."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.odd_media import X264, ffmpeg

# Reads frames at another rate, and the audio at another rate in pieces; prints the peak memory in megabytes.
READ = """
import re, sys
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.video_reader import open_video
with open_video(sys.argv[1]) as video:
    num_frames = sum(1 for _ in video.frames(fps=8))
_, pieces, _ = audio_pieces(sys.argv[1], rate=16_000, channels=1)
num_samples = sum(piece.shape[1] for piece in pieces)
# Not getrusage: its maximum starts at the size of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(num_frames, num_samples, int(peak[1]) / 1024)
"""


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read on Linux only"
)


def write_long(path: Path, seconds: int) -> Path:
    """Write 1080p at 10 fps with audio: a still image, so that it is encoded quickly."""
    video = ("-f", "lavfi", "-i", f"color=gray:s=1920x1080:r=10:d={seconds}")
    audio = ("-f", "lavfi", "-i", f"sine=440:sample_rate=48000:d={seconds}")
    ffmpeg(*video, *audio, *X264, "-c:a", "aac", "-shortest", path)
    return path


def measure(path: Path) -> tuple[int, int, float]:
    command = [sys.executable, "-c", READ, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frames, samples, megabytes = done.stdout.split()
    return int(frames), int(samples), float(megabytes)


@needs_proc
def test_memory_of_reading_is_constant(tmp_path: Path) -> None:
    longest = write_long(tmp_path / "40.mp4", 40)
    peaks = {}
    for seconds in (10, 20, 40):
        path = tmp_path / f"{seconds}.mp4"
        if path != longest:
            ffmpeg("-i", longest, "-t", seconds, "-c", "copy", path)
        frames, samples, peaks[seconds] = measure(path)
        assert frames == 8 * seconds
        assert samples == pytest.approx(16_000 * seconds, abs=2_000)
    slope = (peaks[40] - peaks[10]) / 30
    assert slope < 1, peaks  # a second of these frames is 59 MB
    assert max(peaks.values()) < 1000, peaks


@needs_proc
@pytest.mark.long
def test_ten_minutes_stay_below_a_gigabyte(tmp_path: Path) -> None:
    frames, samples, peak = measure(write_long(tmp_path / "long.mp4", 600))
    assert (frames, samples) == (4_800, pytest.approx(9_600_000, abs=2_000))
    assert peak < 1000
