"""VBench's consistency of a sequence of frame features."""

import numpy as np


def frame_consistency(features_TD: np.ndarray) -> float:
    """Return the mean of half the cosine to the previous frame and half that to the first one, 0..1.

    Negative cosines count as 0.

    Raises:
        ValueError: fewer than two frames.
    """
    if len(features_TD) < 2:
        raise ValueError("consistency: expected two or more frames, got 1")
    unit = features_TD / np.maximum(np.linalg.norm(features_TD, axis=1, keepdims=True), 1e-12)
    previous = np.einsum("td,td->t", unit[1:], unit[:-1])
    first = unit[1:] @ unit[0]
    return float((np.maximum(previous, 0) / 2 + np.maximum(first, 0) / 2).mean())
