"""Read the published layout of the Descript Audio Codec: a .pth with `state_dict`, encoder and decoder in it.

The codec's own modules are named as there, so only two things change: the prefix, and the names that newer
versions of torch give to weight normalization. The residual vector quantizer has no counterpart here.
"""

from collections.abc import Mapping

from torch import Tensor

NEW_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
HALVES = ("encoder.block.", "decoder.model.")


def is_descript(weights: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the names of a published DAC checkpoint."""
    return all(any(name.startswith(half) for name in weights) for half in HALVES)


def from_descript(
    weights: Mapping[str, Tensor], targets: Mapping[str, Tensor], prefix: str = "codec."
) -> dict[str, Tensor]:
    """Return the tensors under this project's names.

    A tensor of another shape than its target's, such as a kernel of another stride, cannot be used. It gets a
    name that states both shapes, so that the report of loaded weights lists it as dropped.

    Args:
        targets: the tensors of the model to initialize, by name.
    """
    found = {}
    for name, tensor in weights.items():
        ours = name
        for new, old in NEW_NAMES.items():
            ours = ours.replace(new, old)
        if not ours.startswith(HALVES):
            found[name] = tensor
            continue
        target = targets.get(prefix + ours)
        fits = target is not None and target.shape == tensor.shape
        shapes = "" if fits or target is None else f" {list(tensor.shape)} for {list(target.shape)}"
        found[prefix + ours + shapes] = tensor
    return found
