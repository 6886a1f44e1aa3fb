"""Text rendering: text that the prompt quotes, recognized in the frames by RapidOCR (PP-OCRv4).

Its networks are part of the package rapidocr-onnxruntime; they read Latin and Chinese letters.
"""

import importlib.util
import re
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.alignment.config import OcrConfig
from eval.alignment.text import require_prompt
from eval.backbones.extractor import uniform_indices
from eval.core.checksums import verified_sha256
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches
from eval.core.results import FRACTION, Item, Measurement, Score

DEFAULTS = OcrConfig()
MIN_SIDE, MAX_ASPECT = 8, 8  # in pixels; the detector enlarges the shorter side to 736 at any aspect ratio
MODELS = {
    "detector": "ch_PP-OCRv4_det_infer.onnx",
    "direction": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "reader": "ch_PP-OCRv4_rec_infer.onnx",
}
# a single quote opens after and closes before a non-letter; others are apostrophes
_QUOTED = re.compile(r'"([^"]*)"|“([^”]+)”|«([^»]+)»|(?<!\w)\'(.+?)\'(?!\w)|(?<!\w)‘(.+?)’(?!\w)', re.DOTALL)


class OCRMetric(FrameMetric):
    """Similarity of each quoted text to the best frame's lines."""

    name = "ocr_rapidocr"
    scores = {
        "ocr_rapidocr": Score(
            1, FRACTION, "1 - edit distance / letters of the longer, best frame and lines, mean over texts"
        ),
        "ocr_words_rapidocr": Score(1, FRACTION, "quoted words recognized exactly in some frame"),
    }

    def __init__(self, settings: OcrConfig = DEFAULTS) -> None:
        self.settings = settings
        self.folder()

    def folder(self) -> Path:
        """Return the folder of the networks; raise ValueError if the package or its runtime is missing."""
        spec = importlib.util.find_spec("rapidocr_onnxruntime")
        if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
            raise ValueError("ocr_rapidocr: needs pip install rapidocr-onnxruntime (of the extra `eval`)")
        return Path(spec.origin).parent / "models"

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "RapidOCR, PP-OCRv4",
            "weights_sha256": {role: verified_sha256(self.folder() / file) for role, file in MODELS.items()},
            "preprocessing": f"at most {self.settings.num_frames} frames evenly over the video, the "
            "package's resizing and thresholds; letters and digits only (NFKC), case and spaces ignored",
        }

    @cached_property
    def reader(self) -> Any:
        from rapidocr_onnxruntime import RapidOCR

        return RapidOCR(
            intra_op_num_threads=1, inter_op_num_threads=1
        )  # one thread: a fixed order of summation

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        expected = extract_quoted(require_prompt(item))
        if not expected:
            raise ValueError("prompt contains no quoted text")
        indices = uniform_indices(info.num_frames, self.settings.num_frames)
        read = yield from map_batches(indices, 1, lambda frames: self.read_lines(frames[0]))
        similar = [max(text_similarity(text, lines) for lines in read) for text in expected]
        seen = {word for lines in read for word in split_words(lines)}
        found = [hit for text in expected for hit in match_words(text, seen)]
        values = {"ocr_rapidocr": float(np.mean(similar)), "ocr_words_rapidocr": float(np.mean(found))}
        return Measurement(values, {"expected": expected, "recognized": read})

    def read_lines(self, frame_HWC: np.ndarray) -> list[str]:
        """Return the recognized lines of a frame from top to bottom."""
        size = "x".join(map(str, frame_HWC.shape[:2]))
        low, high = sorted(frame_HWC.shape[:2])
        if low < MIN_SIDE or high > MAX_ASPECT * low:
            needed = f"at least {MIN_SIDE} pixels and an aspect ratio of at most {MAX_ASPECT}"
            raise ValueError(f"ocr_rapidocr: frames of {size}, needs {needed}")
        bgr = np.ascontiguousarray(frame_HWC[..., ::-1])
        try:
            found, _ = self.reader(bgr)
        except Exception as error:  # OpenCV, the runtime and the package have exception types of their own
            reason = " ".join(str(error).split())[-160:]
            raise ValueError(f"ocr_rapidocr: frames of {size} cannot be read ({reason})") from None
        return [text for _, text, _ in found or []]


def extract_quoted(text: str) -> list[str]:
    """Return the texts within "", “”, «», '' or ‘’ that contain a letter or digit, each once."""
    found = ("".join(parts) for parts in _QUOTED.findall(text))
    return list(dict.fromkeys(part.strip() for part in found if normalize_letters(part)))


def normalize_letters(text: str) -> str:
    """Return letters and digits only (NFKC), case-folded."""
    return "".join(each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum())


def split_words(lines: list[str]) -> list[str]:
    """Return the normalized words of all lines."""
    return [word for line in lines for word in map(normalize_letters, line.split()) if word]


def match_words(text: str, seen: set[str]) -> list[bool]:
    """Return for each word of a text whether it was recognized.

    The recognizer often drops spaces, so adjacent words that were recognized as one word count too.
    """
    words = [word for word in map(normalize_letters, text.split()) if word]
    hit = [False] * len(words)
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            if "".join(words[first:last]) in seen:
                hit[first:last] = [True] * (last - first)
    return hit


def text_similarity(text: str, lines: list[str]) -> float:
    """Return 1 - edit distance / letters of the longer, 0..1, for the most similar run of adjacent lines."""
    expected, best = normalize_letters(text), 0.0
    read = [normalize_letters(line) for line in lines]
    for first in range(len(read)):
        run = ""
        for line in read[first:]:
            run += line
            if not run:
                continue
            if len(expected) <= best * len(run):  # longer runs cannot be more similar
                break
            best = max(best, 1 - edit_distance(expected, run) / max(len(expected), len(run)))
    return best


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance: insertions, deletions and substitutions of a letter."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        previous, row = row, [i]
        for j, right in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (left != right)))
    return row[-1]
