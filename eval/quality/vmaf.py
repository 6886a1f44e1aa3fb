"""Fidelity to a reference as measured by ffmpeg: VMAF, and SSIM and PSNR of Y, U and V.

The program comes with the package imageio-ffmpeg and contains the VMAF models; nothing is downloaded. It
receives the frames of the pass that all metrics share, the reference below the video in one image, so that
it neither decodes files again nor pairs frames by rules of its own.

Legend: H height, W width.
"""

import importlib.util
import re
import subprocess
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from eval.core.checksums import verified_sha256
from eval.core.frame_metric import PairMetric
from eval.core.frame_pairs import describe_conversion
from eval.core.frame_source import Frame, StreamInfo
from eval.core.frame_tasks import PairTask
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item, Measurement, Score
from eval.quality.config import FidelityConfig

MODELS = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
MIN_SIDE = 16
LOG_END = 4096  # bytes at the end of the log, which hold the pooled values
_SCALE = "scale=flags=bicubic+accurate_rnd+full_chroma_inp,format=yuv420p"


class Vmaf(PairMetric):
    """Needs `reference`: a video of the same length and shape, 16 pixels or more."""

    name = "vmaf"

    def __init__(self, settings: FidelityConfig | None = None, pairs: PairsConfig | None = None) -> None:
        super().__init__(pairs)
        if importlib.util.find_spec("imageio_ffmpeg") is None:
            raise ValueError("vmaf: needs pip install imageio-ffmpeg")
        self.max_db = (settings or FidelityConfig()).max_db
        self.scores = {
            "vmaf": Score(1, "", "VMAF v0.6.1 (libvmaf), 0..100, mean of frames"),
            "vmaf_neg": Score(1, "", "the same without gain from enhancement: sharpening does not raise it"),
            "ssim_yuv": Score(1, "", "ffmpeg's ssim, All: 8x8 windows, Y, U and V weighted by their pixels"),
            "psnr_yuv": Score(
                1, "dB", f"ffmpeg's psnr, average: error of all Y, U, V; {self.max_db:g} if none"
            ),
        }

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
            "preprocessing": "yuv420p: as stored if both are 8-bit 4:2:0, upright and of one even size; else "
            f"{describe_conversion(self.pairs)}",
            "max_db": self.max_db,
            "reference": "the sample's own",
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    def observe_pairs(self, item: Item, info: StreamInfo) -> PairTask:
        if min(info.height, info.width) < MIN_SIDE:
            raise ValueError(f"vmaf: expected videos of {MIN_SIDE} pixels or more")
        pair = yield
        if pair is None:
            raise ValueError("vmaf: there are no frames")
        stored = all(is_stored_420(each, info) for each in pair)
        with _Program(self.program, info, "yuv420p" if stored else "rgb24") as program:
            while pair is not None:
                if stored and not all(is_stored_420(each, info) for each in pair):
                    raise ValueError("vmaf: the pixel format changes within the video")
                if not program.write(stacked_420(*pair) if stored else stacked_rgb(*pair)):
                    break
                pair = yield
            found = program.values()
            return Measurement({**found, "psnr_yuv": min(self.max_db, found["psnr_yuv"])})


def is_stored_420(frame: Frame, info: StreamInfo) -> bool:
    """True if the file itself has 8-bit 4:2:0 of this size: such pixels are compared without conversion."""
    native = frame.native
    even = info.height % 2 == info.width % 2 == 0
    return native is not None and even and native.format.name == "yuv420p" and _size(native) == _size(info)


def _size(each: Any) -> tuple[int, int]:
    return each.height, each.width


def stacked_420(generated: Frame, reference: Frame) -> bytes:
    """Return the planes of both frames, the reference's rows below the other's."""
    planes = []
    for upper, lower in zip(generated.native.planes, reference.native.planes, strict=True):
        for plane in (upper, lower):
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            planes.append(np.ascontiguousarray(rows[: plane.height, : plane.width]))
    return b"".join(each.tobytes() for each in planes)


def stacked_rgb(generated: Frame, reference: Frame) -> bytes:
    """Return the pixels of both frames, the reference's rows below the other's."""
    return np.concatenate([generated.rgb_HWC, reference.rgb_HWC]).tobytes()


class _Program:
    """ffmpeg, which compares the upper half of each image that is written with the lower one."""

    def __init__(self, program: Path, info: StreamInfo, pixel_format: str) -> None:
        self._folder = TemporaryDirectory()
        self._messages = (Path(self._folder.name) / "messages.txt").open("w+b")
        command = ffmpeg_command(program, info.height, info.width, pixel_format)
        self._process = subprocess.Popen(
            command,
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._messages,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # has ended by itself unless the task was stopped
        self._close_input()
        self._process.wait()
        self._messages.close()
        self._folder.cleanup()

    def write(self, image: bytes) -> bool:
        """Pass an image on; False if the program has ended, whose reason `values` raises."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(image)
        except BrokenPipeError:
            return False
        return True

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def values(self) -> dict[str, float]:
        """Return all values after the last image.

        Raises:
            ValueError: the program failed; the message is its last line.
        """
        self._close_input()
        failed = self._process.wait()
        self._messages.seek(0)
        text = self._messages.read().decode(errors="replace")
        if failed:
            raise ValueError(f"ffmpeg: {(text.strip() or 'no reason given').splitlines()[-1]}")
        return read_values(Path(self._folder.name) / "log.json", text)


def ffmpeg_command(program: Path, height: int, width: int, pixel_format: str) -> list[str]:
    """Return the command line of the comparison."""
    models = "|".join(f"version={version}\\\\:name={name}" for name, version in MODELS.items())
    upper, lower = (f"crop={width}:{height}:0:{top}:exact=1,{_SCALE},split=3" for top in (0, height))
    graph = (
        f"[0:v]split[u][l];[u]{upper}[a][b][c];[l]{lower}[d][e][f];[b][e]ssim[y];[c][f]psnr[z];"
        f"[a][d]libvmaf=n_threads=1:model={models}:log_fmt=json:log_path=log.json[x]"
    )
    command = [str(program), "-hide_banner", "-nostats", "-f", "rawvideo", "-pixel_format", pixel_format]
    command += ["-video_size", f"{width}x{2 * height}", "-framerate", "25", "-i", "pipe:0"]
    command += ["-filter_complex_threads", "1", "-filter_complex", graph]
    for pad in "xyz":
        command += ["-map", f"[{pad}]", "-f", "null", "-"]
    return command


def read_values(log: Path, messages: str) -> dict[str, float]:
    """Return the values at the end of libvmaf's log, which grows with the video, and of the messages."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_END))
        end = file.read().decode()
    pooled = end[end.index('"pooled_metrics"') :]
    values = {name: float(_find(pooled, rf'"{name}": {{[^}}]*"mean": ([-.\de]+)')) for name in MODELS}
    values["ssim_yuv"] = float(_find(messages, r"SSIM .*All:(\S+)"))
    values["psnr_yuv"] = float(_find(messages, r"PSNR .*average:(\S+)"))
    return values


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"ffmpeg printed no {pattern.split()[0]}")
    return found[1]
