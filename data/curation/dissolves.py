"""Dissolves between shots that move: frames that two other frames of different shots explain together.

A frame in the middle of a dissolve is one blend, over its area, of the frames a moment before and after, each
shifted to where it fits best. A camera that moves shows parts of one and parts of the other, never both at
one place. And a blend loses contrast, since edges of different shots do not coincide: the energy of its
gradients falls with the squares of the weights, where that of a moving shot follows the weights themselves.

Legend: T frames, H height, W width, C = 3 (RGB).
"""

from dataclasses import dataclass

import cv2
import numpy as np

HALVES_S = (0.25, 0.375, 0.5)  # from the frame to those before and after; a dissolve is up to twice as long
SAME = 0.7  # correlation, at the best shift, of two frames of one shot
MIN_WEIGHT = 0.25  # of each of the two in the blend
WEIGHT_SPREAD, MIN_BLENDED = 0.2, 0.8  # of blocks around the median weight, and their fraction
MIN_GAIN = 0.3  # fraction of what the better of the two leaves unexplained that both together explain
MAX_ENERGY = 0.64  # of gradients, over the weighted mean of the two; equal weights of two shots give 0.5
MIN_CHANGE, MIN_CHANGED = 10.0, 0.3  # gray levels by which a block changes, and the fraction of blocks
ENERGY_SIDE, ENERGY_BLUR = 96, 1.5  # pixels that gradients are measured at; the grain of codecs is blurred
SIDE, REACH, BLOCK = 48, 6, 6  # pixels that blends are fitted at, of the largest shift, and of a block


@dataclass(frozen=True)
class Blend:
    """A frame as a blend of two others: weight of the first, and how well that holds."""

    weight: float
    blended: float
    gain: float
    error: float


def find_dissolves(frames_THWC: np.ndarray, fps: float) -> list[int]:
    """Return the frames in the middle of dissolves."""
    energy_T = np.array([_gradient_energy(frame) for frame in frames_THWC])
    small_THWC = [_resize(frame, SIDE) for frame in frames_THWC]
    found = set()
    for half in {max(2, round(half_s * fps)) for half_s in HALVES_S}:
        for t in range(half, len(small_THWC) - half):
            if _is_dissolve(
                small_THWC[t - half],
                small_THWC[t],
                small_THWC[t + half],
                energy_T[t - half : t + half + 1 : half],
            ):
                found.add(t)
    return sorted(found)


def _is_dissolve(a_HWC: np.ndarray, mid_HWC: np.ndarray, b_HWC: np.ndarray, energy_3: np.ndarray) -> bool:
    """Return whether a frame is a blend of those before and after it; `energy_3` is that of the three."""
    energy_a, energy, energy_b = (float(value) for value in energy_3)
    low, high = sorted((energy_a, energy_b))
    if energy >= MAX_ENERGY * ((1 - MIN_WEIGHT) * high + MIN_WEIGHT * low):  # for any weights
        return False
    if _fit_shift(a_HWC, _inner(b_HWC))[0] > SAME:
        return False
    blend = _fit_blend(a_HWC, mid_HWC, b_HWC)
    if blend is None or not MIN_WEIGHT < blend.weight < 1 - MIN_WEIGHT:
        return False
    mean = blend.weight * energy_a + (1 - blend.weight) * energy_b
    return blend.blended > MIN_BLENDED and blend.gain > MIN_GAIN and energy < MAX_ENERGY * mean


def _fit_blend(a_HWC: np.ndarray, mid_HWC: np.ndarray, b_HWC: np.ndarray) -> Blend | None:
    """Return the better of two fits: one frame is shifted to fit the middle one, the other to the rest."""
    mid = _inner(mid_HWC)
    fits = []
    for first_HWC, second_HWC in ((a_HWC, b_HWC), (b_HWC, a_HWC)):
        first = _fit_shift(first_HWC, mid)[1]
        second = _fit_shift(second_HWC, _rest(mid, first))[1]
        fits.append(
            _measure_blend(mid, first, second) if first_HWC is a_HWC else _measure_blend(mid, second, first)
        )
    known = [fit for fit in fits if fit is not None]
    return min(known, key=lambda fit: fit.error, default=None)


def _measure_blend(mid: np.ndarray, a: np.ndarray, b: np.ndarray) -> Blend | None:
    """Return the blend of a and b that is nearest to a frame; None if a and b hardly differ."""
    change = a - b
    size_N = _block_sums(change * change)
    change_N = np.sqrt(size_N / (BLOCK * BLOCK * mid.shape[-1]))
    changed_N = change_N > MIN_CHANGE
    if changed_N.mean() < MIN_CHANGED:
        return None
    weight_N = _block_sums((mid - b) * change) / np.maximum(size_N, 1e-6)
    trust_N = np.minimum(change_N, 6 * MIN_CHANGE) * changed_N  # a block with an edge does not outweigh many
    median = _weighted_median(weight_N, trust_N)
    blended = float(trust_N[np.abs(weight_N - median) < WEIGHT_SPREAD].sum() / trust_N.sum())
    weight = float(((mid - b) * change).sum() / (change * change).sum())
    error = float(((mid - weight * a - (1 - weight) * b) ** 2).mean())
    alone = min(float(((mid - each) ** 2).mean()) for each in (a, b))
    return Blend(median, blended, 1 - error / max(alone, 1e-6), error)


def _resize(frame_HWC: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(frame_HWC, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)


def _gradient_energy(frame_HWC: np.ndarray) -> float:
    smooth = cv2.GaussianBlur(_resize(frame_HWC, ENERGY_SIDE), (0, 0), ENERGY_BLUR)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return float((dx * dx + dy * dy).mean())


def _inner(frame_HWC: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frame_HWC[REACH:-REACH, REACH:-REACH])


def _fit_shift(image_HWC: np.ndarray, inner_HWC: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the correlation of an inner part with the most similar part of an image, and that part."""
    scores = cv2.matchTemplate(image_HWC, inner_HWC, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    return best, image_HWC[y : y + inner_HWC.shape[0], x : x + inner_HWC.shape[1]]


def _rest(target_HWC: np.ndarray, part_HWC: np.ndarray) -> np.ndarray:
    """Return what the best multiple of a part leaves of a target, both without their mean color."""
    target, part = target_HWC - target_HWC.mean((0, 1)), part_HWC - part_HWC.mean((0, 1))
    return target - part * float((target * part).sum() / max(float((part * part).sum()), 1e-6))


def _block_sums(image_HWC: np.ndarray) -> np.ndarray:
    """Return the sum over each block of BLOCK x BLOCK pixels [N]."""
    num = image_HWC.shape[0] // BLOCK
    return image_HWC.reshape(num, BLOCK, num, BLOCK, -1).sum((1, 3, 4)).ravel()


def _weighted_median(values_N: np.ndarray, weights_N: np.ndarray) -> float:
    order = np.argsort(values_N)
    total_N = np.cumsum(weights_N[order])
    return float(values_N[order][np.searchsorted(total_N, total_N[-1] / 2)])
