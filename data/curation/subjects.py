"""Size of the main subject, for the small-subject filter of the finetuning set (Movie Gen, sec. 3.3).

The paper drops clips whose detected objects are small (Detic). A detector is given by path; without one, the
subject is the largest region that moves against the camera.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.curation.motion import CHANGE, block_changes

MIN_SCORE = 0.5  # of a detection
GAP_S = 0.25  # between the frames whose difference is the moving region


def detected_fraction(stills_THWC: np.ndarray, path: str) -> float:
    """Return the area of the largest detected object over the frame's, median over the stills; 0 for none.

    Raises:
        ValueError: the folder is not a transformers object detector.
    """
    import torch

    processor, model = _detector(path)
    largest = []
    for frame in stills_THWC:
        height, width = frame.shape[:2]
        with torch.inference_mode():
            found = model(**processor(images=frame, return_tensors="pt"))
        boxes = processor.post_process_object_detection(
            found, threshold=MIN_SCORE, target_sizes=[(height, width)]
        )[0]["boxes"].numpy()
        areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) / (height * width)
        largest.append(min(float(areas.max(initial=0.0)), 1.0))
    return float(np.median(largest))


@cache
def _detector(path: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        options = {"local_files_only": True}
        processor = AutoImageProcessor.from_pretrained(path, backend="pil", **options)
        return processor, AutoModelForObjectDetection.from_pretrained(path, **options).eval()
    except Exception as error:  # ImportError, OSError, ValueError, KeyError: a bad folder
        raise ValueError(
            f"scoring.detector={Path(path).name}: {' '.join(str(error).split())[:160]}"
        ) from None


def moving_fraction(gray_THW: np.ndarray, fps: float) -> float:
    """Return the area of the largest connected region that changes, over the frame's, median over time.

    A region seen within GAP_S: the subject's outline and the little way that it moves. Meant for a still
    camera; where the camera moves, nearly all of the frame changes.
    """
    sizes = []
    for each in block_changes(gray_THW, fps, GAP_S):
        mask = cv2.morphologyEx(
            (np.abs(each) > CHANGE).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)
        )
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        sizes.append(stats[1:, cv2.CC_STAT_AREA].max(initial=0) / mask.size)
    return float(np.median(sizes))
