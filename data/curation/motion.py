"""Amount of motion: FFmpeg's VMAF motion, the codec's motion vectors, and the area that changes at all.

Legend: T frames, H height, W width; luma is uint8 or float32 in 8-bit limited range.
"""

import cv2
import numpy as np

# libvmaf's FILTER_5_s: a Gaussian, which noise and blocking do not pass
BLUR = np.array([0.054488685, 0.244201342, 0.402619947, 0.244201342, 0.054488685], np.float32)
REFERENCE_SIDE = 768  # Movie Gen's thresholds are of videos with this shorter side
GAP_S = 0.5  # between the frames that are compared for change
BLOCK = 8  # pixels; means of blocks suppress noise
CHANGE = 3.0  # gray levels by which the mean of a block must change


class VMAFMotion:
    """Mean absolute difference of successive blurred luma planes, as FFmpeg's filter `vmafmotion` has it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._sum, self.count = 0.0, 0

    def add(self, rgb_HWC: np.ndarray) -> None:
        """Add the next frame, at full resolution."""
        luma = luma_of(rgb_HWC)
        blurred = cv2.sepFilter2D(luma, cv2.CV_32F, BLUR, BLUR, borderType=cv2.BORDER_REFLECT_101)
        if self._last is not None:
            self._sum += float(np.abs(blurred - self._last).mean())
        self._last, self.count = blurred, self.count + 1

    @property
    def mean(self) -> float:
        """Mean over the frames; the first one counts as 0, as in FFmpeg."""
        return self._sum / max(self.count, 1)


def luma_of(rgb_HWC: np.ndarray) -> np.ndarray:
    """Return float32 luma in limited range, 16 to 235."""
    gray = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return 16.0 + gray * (219.0 / 255.0)


def vector_length(vectors: np.ndarray, short_side: int) -> float | None:
    """Return the mean length of a frame's motion vectors, weighted by the area of their blocks.

    In pixels of a frame whose shorter side is REFERENCE_SIDE. Blocks without a vector (intra-coded) do not
    enter; None for a frame that has none, such as a key frame.

    Args:
        vectors: FFmpeg's AVMotionVector as a structured array.
    """
    if not len(vectors):
        return None
    scale = np.maximum(vectors["motion_scale"], 1)
    length = np.hypot(vectors["motion_x"] / scale, vectors["motion_y"] / scale)
    area = vectors["w"].astype(float) * vectors["h"]
    return float((length * area).sum() / area.sum()) * REFERENCE_SIDE / short_side


def changed_fraction(gray_THW: np.ndarray, fps: float) -> float:
    """Return the mean fraction of the area that changes within GAP_S.

    Changes of the whole frame's brightness (flicker, fades of a still) do not count, nor does noise, whose
    means over blocks hardly change. Codecs write flicker unevenly, some blocks late or not at all: a block's
    change must also exceed the clip's strongest flicker.
    """
    changes_PHW = block_changes(gray_THW, fps, GAP_S)
    blocks_THW = block_means(gray_THW)
    gap = _gap(len(blocks_THW), fps, GAP_S)
    flicker = np.median(blocks_THW[gap:] - blocks_THW[: len(blocks_THW) - gap], axis=(1, 2))
    return float((np.abs(changes_PHW) > CHANGE + np.abs(flicker).max(initial=0.0)).mean())


def block_changes(gray_THW: np.ndarray, fps: float, gap_s: float) -> np.ndarray:
    """Return [P, h, w]: by how many gray levels the means of blocks change within a time, flicker left out.

    Flicker scales and shifts all gray levels: a line is fitted from the first frame's blocks to the second's,
    again without the blocks that are far from it. A single frame has one pair, without a change.
    """
    blocks_THW = block_means(gray_THW)
    if len(blocks_THW) < 2:
        return np.zeros_like(blocks_THW)
    later_PHW = blocks_THW[_gap(len(blocks_THW), fps, gap_s) :]
    return np.stack([_without_flicker(a, b) for a, b in zip(blocks_THW, later_PHW, strict=False)])


def _gap(num_frames: int, fps: float, gap_s: float) -> int:
    """Return the number of frames between those that are compared."""
    return max(1, min(round(gap_s * fps), num_frames - 1))


def _without_flicker(a_HW: np.ndarray, b_HW: np.ndarray) -> np.ndarray:
    rest = b_HW - a_HW - np.median(b_HW - a_HW)
    for _ in range(3):
        near = np.abs(rest) <= max(float(np.quantile(np.abs(rest), 0.6)), 0.5)
        x, y = a_HW[near] - a_HW[near].mean(), b_HW[near] - b_HW[near].mean()
        gain = float(x @ y / max(float(x @ x), 1e-6)) if len(x) > 8 else 1.0
        gain = gain if 0.7 < gain < 1.4 else 1.0  # beyond that it is no flicker
        rest = b_HW - b_HW[near].mean() - gain * (a_HW - a_HW[near].mean())
    return rest


def block_means(gray_THW: np.ndarray) -> np.ndarray:
    """Return [T, H // BLOCK, W // BLOCK] means of blocks; rows and columns of no full block are left out."""
    num, height, width = gray_THW.shape
    rows, cols = height // BLOCK, width // BLOCK
    part = gray_THW[:, : rows * BLOCK, : cols * BLOCK].astype(np.float32)
    return part.reshape(num, rows, BLOCK, cols, BLOCK).mean((2, 4))
