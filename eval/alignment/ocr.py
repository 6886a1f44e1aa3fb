"""Is the text that the prompt puts into quotes written in the film? Read by RapidOCR (PP-OCRv4).

Its networks arrive inside the package rapidocr-onnxruntime; they read Latin and Chinese letters.
"""

import importlib.util
import re
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.alignment.text import prompt
from eval.backbones.extractor import checked_weights, spread
from eval.core.results import SHARE, Item, Measurement, Score

NUM_FRAMES = 8
SMALLEST, WIDEST = 8, 8  # pixels; sides: the detector enlarges the shorter one to 736, whatever the longer
MODELS = {
    "detector": "ch_PP-OCRv4_det_infer.onnx",
    "direction": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "reader": "ch_PP-OCRv4_rec_infer.onnx",
}
# a single quote opens after anything but a letter and closes before anything but one: others are apostrophes
_QUOTED = re.compile(r'"([^"]*)"|“([^”]+)”|«([^»]+)»|(?<!\w)\'(.+?)\'(?!\w)|(?<!\w)‘(.+?)’(?!\w)', re.DOTALL)


class RenderedText:
    """Each frame is read; a text counts by the frame in which it is written best."""

    name = "ocr_rapidocr"
    scores = {
        "ocr_rapidocr": Score(
            1, SHARE, "1 - edits / letters of the longer, best frame and lines, mean of texts"
        ),
        "ocr_words_rapidocr": Score(1, SHARE, "quoted words that are read letter for letter in some frame"),
    }

    def __init__(self) -> None:
        self.folder()

    def folder(self) -> Path:
        """Raises ValueError where the package, or the runtime that it needs, is not there."""
        spec = importlib.util.find_spec("rapidocr_onnxruntime")
        if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
            raise ValueError("ocr_rapidocr: needs pip install rapidocr-onnxruntime (of the extra `eval`)")
        return Path(spec.origin).parent / "models"

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "RapidOCR, PP-OCRv4",
            "weights_sha256": {role: checked_weights(self.folder() / file) for role, file in MODELS.items()},
            "preprocessing": f"at most {NUM_FRAMES} frames evenly over the film, the package's own resizing "
            "and thresholds; letters and digits only (NFKC), case and spaces passed over",
        }

    @cached_property
    def reader(self) -> Any:
        from rapidocr_onnxruntime import RapidOCR

        return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)  # sums in one order: repeatable

    def measure(self, item: Item) -> Measurement:
        wanted = quoted(prompt(item))
        if not wanted:
            raise ValueError("the prompt quotes no text")
        frames_THWC = item.picture.frames_THWC
        read = [self.lines(frames_THWC[i]) for i in spread(len(frames_THWC), NUM_FRAMES)]
        similar = [max(similarity(text, lines) for lines in read) for text in wanted]
        seen = {word for lines in read for word in tokens(lines)}
        found = [hit for text in wanted for hit in words_read(text, seen)]
        values = {"ocr_rapidocr": float(np.mean(similar)), "ocr_words_rapidocr": float(np.mean(found))}
        return Measurement(values, {"wanted": wanted, "read": read})

    def lines(self, frame_HWC: np.ndarray) -> list[str]:
        """What stands in a frame, line by line, from above to below; empty where nothing is read."""
        size = "x".join(map(str, frame_HWC.shape[:2]))
        low, high = sorted(frame_HWC.shape[:2])
        if low < SMALLEST or high > WIDEST * low:
            needed = f"{SMALLEST} pixels or more and at most {WIDEST} times as long as wide"
            raise ValueError(f"ocr_rapidocr: frames of {size}, needs {needed}")
        bgr = np.ascontiguousarray(frame_HWC[..., ::-1])
        try:
            found, _ = self.reader(bgr)
        except Exception as error:  # of OpenCV, the runtime or the package, each with types of its own
            reason = " ".join(str(error).split())[-160:]
            raise ValueError(f"ocr_rapidocr: frames of {size} cannot be read ({reason})") from None
        return [text for _, text, _ in found or []]


def quoted(text: str) -> list[str]:
    """Texts within "", “”, «», '' or ‘’ that hold a letter or digit, each once."""
    found = ("".join(parts) for parts in _QUOTED.findall(text))
    return list(dict.fromkeys(part.strip() for part in found if letters(part)))


def letters(text: str) -> str:
    """Letters and digits only, without case."""
    return "".join(each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum())


def tokens(lines: list[str]) -> list[str]:
    return [word for line in lines for word in map(letters, line.split()) if word]


def words_read(text: str, seen: set[str]) -> list[bool]:
    """For each word of a text whether it was read; the reader often drops spaces, so that neighbouring words
    of the text that were read as one word count too."""
    words = [word for word in map(letters, text.split()) if word]
    hit = [False] * len(words)
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            if "".join(words[first:last]) in seen:
                hit[first:last] = [True] * (last - first)
    return hit


def similarity(text: str, lines: list[str]) -> float:
    """0..1: 1 - edits / letters of the longer, for the run of neighbouring lines that is most similar."""
    wanted, best = letters(text), 0.0
    read = [letters(line) for line in lines]
    for first in range(len(read)):
        run = ""
        for line in read[first:]:
            run += line
            if not run:
                continue
            if len(wanted) <= best * len(run):  # so long a run can be no more similar
                break
            best = max(best, 1 - edits(wanted, run) / max(len(wanted), len(run)))
    return best


def edits(a: str, b: str) -> int:
    """Levenshtein's distance: insertions, deletions and replacements of a letter."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        previous, row = row, [i]
        for j, right in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (left != right)))
    return row[-1]
