"""The metrics of float32 features [n, d], by our functions and by public functions of other libraries."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Features = NDArray[np.float32]
Values = dict[str, float]
SUBSETS, SUBSET_SIZE, NUM_NEIGHBORS = 100, 1000, 5


class IdentityFeatures(nn.Module):
    """Passes features through where torchmetrics expects a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def frechet_ours(x: Features, y: Features) -> Values:
    from eval.distribution.frechet import Moments, frechet_distance

    return {"distance": frechet_distance(Moments.from_features(x), Moments.from_features(y))}


def frechet_cleanfid(x: Features, y: Features) -> Values:
    from cleanfid.fid import frechet_distance

    statistics = [(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]
    return {"distance": float(frechet_distance(*statistics[0], *statistics[1]))}


def frechet_fidelity(x: Features, y: Features) -> Values:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(z)) for z in (x, y)]
    result = fid_statistics_to_metric(*statistics, verbose=False)
    return {"distance": result["frechet_inception_distance"]}


def frechet_torchmetrics(x: Features, y: Features) -> Values:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=IdentityFeatures(x.shape[1]))
    metric.update(torch.from_numpy(x), real=False)
    metric.update(torch.from_numpy(y), real=True)
    return {"distance": float(metric.compute())}


def kid_ours(x: Features, y: Features) -> Values:
    from eval.distribution.kid import kernel_distance

    return {"distance": kernel_distance(x, y).value}


def kid_cleanfid(x: Features, y: Features, subsets: int = 1, size: int | None = None) -> Values:
    from cleanfid.fid import kernel_distance

    return {"distance": kernel_distance(x, y, num_subsets=subsets, max_subset_size=size or len(x))}


def kid_fidelity(x: Features, y: Features, subsets: int = 1, size: int | None = None) -> Values:
    from torch_fidelity.metric_kid import kid_features_to_metric

    result = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=subsets,
        kid_subset_size=size or len(x),
        verbose=False,
    )
    return {
        "distance": result["kernel_inception_distance_mean"],
        **_error(result["kernel_inception_distance_std"], subsets),
    }


def kid_torchmetrics(x: Features, y: Features, subsets: int = 1, size: int | None = None) -> Values:
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings(action="ignore"):  # it warns that it keeps all features
        metric = KernelInceptionDistance(
            feature=IdentityFeatures(x.shape[1]), subsets=subsets, subset_size=size or len(x)
        )
    metric.update(torch.from_numpy(x), real=False)
    metric.update(torch.from_numpy(y), real=True)
    mean, std = metric.compute()
    return {"distance": float(mean), **_error(float(std), subsets)}


def _error(std: float, subsets: int) -> Values:
    """Return the standard error of a mean over random subsets; empty for a single subset."""
    return {"error": std / subsets**0.5} if subsets > 1 else {}


def precision_recall_ours(x: Features, y: Features) -> Values:
    from eval.distribution.prdc import compute_prdc

    result = compute_prdc(x, y, k=NUM_NEIGHBORS)
    return {"precision": float(result.precision_n.mean()), "recall": float(result.recall_m.mean())}


def precision_recall_fidelity(x: Features, y: Features) -> Values:
    from torch_fidelity.metric_prc import prc_features_to_metric

    result = prc_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), prc_neighborhood=NUM_NEIGHBORS, verbose=False
    )
    return {"precision": result["precision"], "recall": result["recall"]}


def _in_subsets(call: Callable[..., Values]) -> Callable[[Features, Features], Values]:
    return lambda x, y: call(x, y, SUBSETS, SUBSET_SIZE)


OURS = "ours"
METRICS: dict[str, dict[str, Callable[[Features, Features], Values]]] = {
    "frechet": {
        OURS: frechet_ours,
        "clean-fid": frechet_cleanfid,
        "torch-fidelity": frechet_fidelity,
        "torchmetrics": frechet_torchmetrics,
    },
    "kid": {
        OURS: kid_ours,
        "clean-fid": kid_cleanfid,
        "torch-fidelity": kid_fidelity,
        "torchmetrics": kid_torchmetrics,
    },
    "kid_subsets": {
        OURS: kid_ours,  # over all pairs, which is what a mean over subsets estimates
        "clean-fid": _in_subsets(kid_cleanfid),
        "torch-fidelity": _in_subsets(kid_fidelity),
        "torchmetrics": _in_subsets(kid_torchmetrics),
    },
    "precision_recall": {OURS: precision_recall_ours, "torch-fidelity": precision_recall_fidelity},
}
