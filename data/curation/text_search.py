"""Text on screen by RapidOCR (PP-OCRv4), whose networks are in its package.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from functools import cache
from typing import Any

import cv2
import numpy as np

MIN_LETTERS = 2  # a single letter or digit is mostly a false one


@cache
def _reader(side: int) -> Any:
    from rapidocr_onnxruntime import RapidOCR

    # one thread: processes are the parallelism, and the order of summation is fixed
    return RapidOCR(
        intra_op_num_threads=1, inter_op_num_threads=1, det_limit_side_len=side, det_limit_type="min"
    )


def text_scores(frames_THWC: np.ndarray, side: int) -> tuple[float, float]:
    """Return the largest detection score times recognition score, and the largest area of text.

    Movie Gen, app. J rejects a clip if the product is 0.6 or more in any sampled frame.

    Args:
        side: shorter side in pixels that frames are resized to.
    """
    best, area = 0.0, 0.0
    for frame_HWC in frames_THWC:
        found = find_text(_resize(frame_HWC, side), side)
        best = max([best, *(score for score, _ in found)])
        area = max(area, sum(size for _, size in found))
    return best, min(area, 1.0)


def find_text(frame_HWC: np.ndarray, side: int) -> list[tuple[float, float]]:
    """Return score and area (fraction of the frame) of each line of text."""
    reader = _reader(side)
    detector, bgr = reader.text_det, np.ascontiguousarray(frame_HWC[..., ::-1])
    pixels = detector.get_preprocess(max(bgr.shape[:2]))(bgr)
    boxes, scores = detector.postprocess_op(detector.infer(pixels)[0], bgr.shape[:2])
    boxes = [detector.order_points_clockwise(box) for box in boxes]
    kept = [(box, score) for box, score in zip(boxes, scores, strict=True) if min(_sides(box)) > 3]
    if not kept:
        return []
    lines, _ = reader.text_rec(reader.get_crop_img_list(bgr, [box for box, _ in kept]))
    pixels_of_frame = bgr.shape[0] * bgr.shape[1]
    return [
        (float(score) * float(read), float(np.prod(_sides(box))) / pixels_of_frame)
        for (box, score), (text, read, *_) in zip(kept, lines, strict=True)
        if sum(each.isalnum() for each in text) >= MIN_LETTERS
    ]


def _sides(box_42: np.ndarray) -> tuple[float, float]:
    return float(np.linalg.norm(box_42[0] - box_42[1])), float(np.linalg.norm(box_42[0] - box_42[3]))


def _resize(frame_HWC: np.ndarray, side: int) -> np.ndarray:
    scale = side / min(frame_HWC.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(frame_HWC, None, fx=scale, fy=scale, interpolation=how)
