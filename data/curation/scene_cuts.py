"""Scene changes of a clip: hard cuts, fades and dissolves; shots per second as PySceneDetect has them.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import cv2
import numpy as np

from data.curation.dissolves import find_dissolves

CONTENT_THRESHOLD = 27.0  # change of a new shot by PySceneDetect's default
SUDDEN, RATIO = 15.0, 3.0  # of a hard cut: change, and change over its surroundings
WINDOW = 2  # frames on each side that a cut is compared with
FLASH_S = 0.35  # a flash is over within this time
BLEND_S = 0.75  # time between the frames around a fade or dissolve
SAME = 0.6  # correlation of two frames of one scene
BLEND_SPREAD = 0.2  # of the weight of the second scene over a frame that is a blend
MIN_BLENDED = 0.8  # fraction of the changed area with the same weight
MIN_CHANGED = 0.3  # fraction of the area that a fade or dissolve changes
MIN_CHANGE = 10.0  # gray levels by which a point changes
FLAT = 6.0  # standard deviation in gray levels of a frame that is faded out
MIN_SHOT_S = 0.6  # changes nearer to each other are one
SIDE = 32  # frames are reduced to this for flashes
BLEND_SIDE = 16  # and to this, blurred, for fades and dissolves: less of the motion remains


class ContentChange:
    """Mean change of hue, saturation and value from frame to frame, 0 to 255; the first value is 0.

    The formula of PySceneDetect's ContentDetector.
    """

    def __init__(self) -> None:
        self.values: list[float] = []
        self._last: np.ndarray | None = None

    def add(self, frame_HWC: np.ndarray) -> float:
        """Add the next frame and return its change."""
        hsv = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2HSV)
        self.values.append(0.0 if self._last is None else float(cv2.absdiff(hsv, self._last).mean()))
        self._last = hsv
        return self.values[-1]


def shots_per_second(values_T: np.ndarray, fps: float) -> float:
    """Return the number of shots over the clip's length.

    As PySceneDetect's adaptive detector has it: a change counts if it also stands out from the changes around
    it, which those of a fast pan do not.
    """
    return (1 + len(find_sudden_changes(values_T, CONTENT_THRESHOLD))) * fps / max(len(values_T), 1)


def find_cuts(frames_THWC: np.ndarray, fps: float, content_N: np.ndarray, content_fps: float) -> list[float]:
    """Return the times in seconds at which shots begin, in order; the clip's start is not one of them.

    Args:
        frames_THWC, fps: small frames, for flashes and gradual changes.
        content_N, content_fps: changes of content at the file's own rate, for hard cuts.
    """
    small_TN = np.stack([_reduce(frame) for frame in frames_THWC])
    sudden = [n / content_fps for n in find_sudden_changes(content_N)]
    times = [time_s for time_s in sudden if not _is_flash(small_TN, time_s, fps)]
    coarse_TN = np.stack([_reduce_blurred(frame) for frame in frames_THWC])
    times += [t / fps for t in _gradual_changes(coarse_TN, fps)]
    times += [t / fps for t in find_dissolves(frames_THWC, fps)]
    found: list[float] = []
    for time_s in sorted(times):
        if not found or time_s - found[-1] >= MIN_SHOT_S:
            found.append(time_s)
    return found


def _reduce(frame_HWC: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def _reduce_blurred(frame_HWC: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    gray = cv2.GaussianBlur(gray, (0, 0), max(gray.shape) / (2 * BLEND_SIDE))
    return cv2.resize(gray, (BLEND_SIDE, BLEND_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def find_sudden_changes(values_T: np.ndarray, threshold: float = SUDDEN, ratio: float = RATIO) -> list[int]:
    """Return frames with a large change that stands out from its surroundings.

    A camera that moves fast changes every frame much, so a cut must be `ratio` times the neighbors' change.
    """
    changes = []
    for t in np.flatnonzero(values_T >= threshold):
        around = np.r_[values_T[max(t - WINDOW, 1) : t], values_T[t + 1 : t + 1 + WINDOW]]
        if not len(around) or values_T[t] >= ratio * max(around.mean(), 1.0):
            changes.append(int(t))
    return changes


def _is_flash(small_TN: np.ndarray, time_s: float, fps: float) -> bool:
    """Return whether the scene before a change is back soon after it, or was there soon before."""
    t = int(np.ceil(time_s * fps - 1e-6))  # the first small frame after the change
    reach = max(2, round(FLASH_S * fps))
    before, after = small_TN[max(t - reach, 0) : t], small_TN[t : t + reach]
    if not len(before) or not len(after):
        return True
    return max(_correlation(a, b) for a in before for b in after) > SAME


def _gradual_changes(coarse_TN: np.ndarray, fps: float) -> list[int]:
    """Return middles of fades and of dissolves between shots that hardly move: frames that are one blend."""
    half = max(2, round(BLEND_S * fps / 2))
    return [
        t
        for t in range(half, len(coarse_TN) - half)
        if _is_blend(coarse_TN[t - half], coarse_TN[t], coarse_TN[t + half])
    ]


def _is_blend(a_N: np.ndarray, mid_N: np.ndarray, b_N: np.ndarray) -> bool:
    """Return whether most of a frame is the same blend of the frames around it.

    What moves meanwhile is not, so it may be a part of the frame; of a camera that moves it is nearly all.
    """
    change = b_N - a_N
    changed = np.abs(change) > MIN_CHANGE
    if changed.mean() < MIN_CHANGED:
        return False
    faded = min(a_N.std(), b_N.std()) < FLAT and max(a_N.std(), b_N.std()) > 2 * FLAT
    if not faded and _correlation(a_N, b_N) > SAME:
        return False
    ratio = (mid_N - a_N)[changed] / change[changed]
    alpha = float(np.median(ratio))
    return 0.2 < alpha < 0.8 and bool((np.abs(ratio - alpha) < BLEND_SPREAD).mean() > MIN_BLENDED)


def _correlation(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Return the correlation of two frames, 1 where both are flat and alike."""
    a, b = a_N - a_N.mean(), b_N - b_N.mean()
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 1e-3 else float(np.abs(a_N - b_N).mean() < FLAT)
