"""Inflate the weights of an image autoencoder to a video autoencoder (Movie Gen, sec. 3.1.1)."""

from collections.abc import Mapping

from torch import Tensor


def inflate(image: Mapping[str, Tensor], video: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a video autoencoder that starts as an image autoencoder.

    Spatial layers take the weights of the image model, full 3D kernels take them as the taps of their center
    frame, and temporal layers keep their initialization, the identity. On single frames the video model then
    equals the image model exactly, unless `shortcuts` fold time into channels.

    Args:
        image: state dict of a model with `structure=frame`.
        video: state dict of a newly initialized model with the same channels and blocks. Not modified.

    Returns:
        The tensors of the video model that the image model determines, and temporal ones as initialized.
        Layers that the image model lacks are left out; mismatched shapes are included, for the loader to
        report.
    """
    found: dict[str, Tensor] = {}
    for name, initial in video.items():
        layer, _, kind = name.rpartition(".")
        spatial, _, index = layer.rpartition(".")
        spatial_value = image.get(f"{spatial}.{kind}")  # of Sequential(spatial, temporal)
        if name in image:
            value = image[name]
            if initial.dim() == 5 and value.dim() == 4:
                inflated = initial.detach().clone().zero_()
                inflated[:, :, initial.shape[2] // 2] = value.to(inflated)
                value = inflated
            found[name] = value
        elif index == "0" and spatial_value is not None:
            found[name] = spatial_value
        elif (index == "1" and spatial_value is not None) or ".temporal_attention." in name:
            found[name] = initial.detach()
    return found
