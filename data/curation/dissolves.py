"""Dissolves between shots that move: frames whose contrast dips and that two other frames explain together.

Two shots laid over each other lose contrast, since edges do not coincide. The frames a moment before and
after, each shifted to where it fits best, explain such a frame much better together than either alone: what
moves or turns is explained by one of them, or by none.

Legend: T frames, H height, W width; frames are gray.
"""

import cv2
import numpy as np

HALVES_S = (0.25, 0.375, 0.5)  # from the frame to those before and after; a dissolve is up to twice as long
DIP = 0.88  # contrast over that of the frames before and after
BRIGHTER = 8.0  # gray levels that a blend's mean may lie outside of theirs; a flash lies far outside
SAME = 0.7  # correlation, at the best shift, of two frames of one shot
MIN_WEIGHT = 0.15  # of each of the two in the blend
MIN_EXPLAINED = 0.4  # fraction of the frame's variance that the blend explains
MIN_GAIN = 0.15  # by which that is more than the better of the two explains alone
CONTRAST_SIDE, CONTRAST_BLUR = (
    96,
    1.5,
)  # pixels that the contrast is measured at; the grain of codecs is blurred
BLEND_SIDE, REACH = 48, 6  # pixels that blends are fitted at, and of the largest shift
FLAT = 2.0  # standard deviation in gray levels of a frame without content


def find_dissolves(gray_THW: list[np.ndarray], fps: float) -> list[int]:
    """Return the frames in the middle of dissolves."""
    contrast_T = np.array([_contrast(_resize(frame, CONTRAST_SIDE)) for frame in gray_THW])
    small_THW = [_resize(frame, BLEND_SIDE) for frame in gray_THW]
    mean_T = np.array([frame.mean() for frame in small_THW])
    found = set()
    for half in {max(2, round(half_s * fps)) for half_s in HALVES_S}:
        for t in range(half, len(small_THW) - half):
            around = [t - half, t + half]
            dips = contrast_T[t] < DIP * contrast_T[around].min()
            between = mean_T[around].min() - BRIGHTER < mean_T[t] < mean_T[around].max() + BRIGHTER
            if dips and between and _is_blend(small_THW[t - half], small_THW[t], small_THW[t + half]):
                found.add(t)
    return sorted(found)


def _resize(gray_HW: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(gray_HW, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)


def _contrast(gray_HW: np.ndarray) -> float:
    smooth = cv2.GaussianBlur(gray_HW, (0, 0), CONTRAST_BLUR)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return float(np.sqrt((dx * dx + dy * dy).mean()))


def _is_blend(a_HW: np.ndarray, mid_HW: np.ndarray, b_HW: np.ndarray) -> bool:
    """Return whether two frames of different shots explain the one between them together, but not alone."""
    inner_HW, after_HW = (np.ascontiguousarray(_inner(frame)) for frame in (mid_HW, b_HW))
    if min(inner_HW.std(), after_HW.std(), a_HW.std()) < FLAT or _fit_shift(a_HW, after_HW)[0] > SAME:
        return False
    (of_a, a), (of_b, b) = _fit_shift(a_HW, inner_HW), _fit_shift(b_HW, inner_HW)
    alone = max(of_a, of_b, 0.0) ** 2
    return any(
        explained > MIN_EXPLAINED and explained - alone > MIN_GAIN and min(weights) > MIN_WEIGHT
        for explained, weights in (_blend(inner_HW, a, b_HW), _blend(inner_HW, b, a_HW))
    )


def _inner(frame_HW: np.ndarray) -> np.ndarray:
    return frame_HW[REACH:-REACH, REACH:-REACH]


def _fit_shift(image_HW: np.ndarray, inner_HW: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the correlation of an inner part with the most similar part of an image, and that part."""
    scores = cv2.matchTemplate(image_HW, inner_HW, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    return best, image_HW[y : y + inner_HW.shape[0], x : x + inner_HW.shape[1]]


def _blend(inner_HW: np.ndarray, first_HW: np.ndarray, other_HW: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the fraction of variance explained by `first` and the best part of `other`, and weights."""
    _, rest = _regress(inner_HW, [first_HW])
    _, second_HW = _fit_shift(other_HW, rest.reshape(inner_HW.shape).astype(np.float32))
    weights, rest = _regress(inner_HW, [first_HW, second_HW])
    return 1 - float((rest**2).mean() / inner_HW.var()), weights


def _regress(target_HW: np.ndarray, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the parts and what they leave of the target, with a constant."""
    matrix = np.stack([*(part.ravel() for part in parts), np.ones(target_HW.size)], 1)
    weights = np.linalg.lstsq(matrix, target_HW.ravel(), rcond=None)[0]
    return weights[:-1], target_HW.ravel() - matrix @ weights
