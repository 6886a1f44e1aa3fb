"""Fidelity to a reference as measured by ffmpeg: VMAF, and SSIM and PSNR of Y, U and V.

The program comes with the package imageio-ffmpeg and contains the VMAF models; nothing is downloaded.
"""

import importlib.util
import json
import re
import subprocess
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.core.checksums import verified_sha256
from eval.core.results import Item, Measurement, Score
from eval.quality.fidelity import CAP, paired_videos

MODELS = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
# pairs frames by index and ignores the time stamps of the files
_PAIR_BY_INDEX = "format=yuv420p,settb=AVTB,setpts=N/25/TB,split=3"


class Vmaf:
    """Needs `reference`: a video of the same size, length and frame rate; 16 pixels or more."""

    name = "vmaf"
    scores = {
        "vmaf": Score(1, "", "VMAF v0.6.1 (libvmaf), 0..100, mean of frames"),
        "vmaf_neg": Score(1, "", "the same without gain from enhancement: sharpening does not raise it"),
        "ssim_yuv": Score(1, "", "ffmpeg's ssim, All: 8x8 windows, Y, U and V weighted by their pixels"),
        "psnr_yuv": Score(1, "dB", f"ffmpeg's psnr, average: error of all Y, U, V; {CAP:.0f} if none"),
    }

    def __init__(self) -> None:
        if importlib.util.find_spec("imageio_ffmpeg") is None:
            raise ValueError("vmaf: needs pip install imageio-ffmpeg")

    @cached_property
    def program(self) -> Path:
        from imageio_ffmpeg import get_ffmpeg_exe

        return Path(get_ffmpeg_exe())

    @cached_property
    def description(self) -> dict[str, Any]:
        command = [self.program, "-version"]
        version_text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {
            "backbone": ", ".join(MODELS.values()),
            "weights_sha256": verified_sha256(self.program),  # the models are compiled into it
            "program": " ".join(version_text.split()[:3]),
            "preprocessing": "as decoded by ffmpeg, yuv420p, no resizing; frames paired by index",
            "reference": "the sample's own",
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    def measure(self, item: Item) -> Measurement:
        video, _ = paired_videos(item)
        if min(video.frames_THWC.shape[1:3]) < 16:
            raise ValueError("vmaf: expected videos of 16 pixels or more")
        return Measurement(compare_files(self.program, item.path("video"), item.path("reference")))


def compare_files(program: Path, generated: Path, reference: Path) -> dict[str, float]:
    """Return all values for two videos of equal size and length.

    Raises:
        ValueError: ffmpeg failed; the message is its last line.
    """
    models = "|".join(f"version={version}\\\\:name={name}" for name, version in MODELS.items())
    graph = (
        f"[0:v]{_PAIR_BY_INDEX}[a][b][c];[1:v]{_PAIR_BY_INDEX}[d][e][f];[b][e]ssim[y];[c][f]psnr[z];"
        f"[a][d]libvmaf=n_threads=1:model={models}:log_fmt=json:log_path=log.json[x]"
    )
    command = [program, "-nostdin", "-hide_banner", "-nostats"]
    for path in (generated, reference):  # a playlist may refer to files only, never to network addresses
        command += ["-protocol_whitelist", "file", "-threads", "1", "-i", f"file:{path.resolve()}"]
    command += ["-filter_complex_threads", "1", "-filter_complex", graph]
    for pad in "xyz":
        command += ["-map", f"[{pad}]", "-f", "null", "-"]
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise ValueError(f"ffmpeg: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
        pooled = json.loads((Path(folder) / "log.json").read_text(encoding="utf-8"))["pooled_metrics"]
    values = {name: float(pooled[name]["mean"]) for name in MODELS}
    values["ssim_yuv"] = float(_parse_number(done.stderr, r"SSIM .*All:(\S+)"))
    values["psnr_yuv"] = min(CAP, float(_parse_number(done.stderr, r"PSNR .*average:(\S+)")))
    return values


def _parse_number(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"ffmpeg printed no {pattern.split()[0]}")
    return found[1]
