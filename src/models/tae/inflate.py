"""An image autoencoder's weights for a video autoencoder (paper section 3.1.1; spec 1.2)."""

from collections.abc import Mapping

from torch import Tensor


def inflate(image: Mapping[str, Tensor], video: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a video autoencoder that starts as an image autoencoder.

    Spatial layers take the image model's weights, full 3D kernels take them as their centre frame's taps,
    and temporal layers keep what they start with: the identity. On single frames the video model then
    equals the image model exactly, unless `shortcuts` fold time into channels, which an image model cannot.

    Args:
        image: by name, of a model with `structure=frame`.
        video: by name, of a fresh model with the same widths and blocks. Not changed.

    Returns:
        As many of the video model's tensors as an image model determines or leaves as they are; what the
        image model lacks altogether is left out, and what does not fit is handed on for the loader to name.
    """
    found: dict[str, Tensor] = {}
    for name, fresh in video.items():
        layer, _, kind = name.rpartition(".")
        spatial, _, place = layer.rpartition(".")
        twin = image.get(f"{spatial}.{kind}")  # of the spatial layer in Sequential(spatial, temporal)
        if name in image:
            value = image[name]
            if fresh.dim() == 5 and value.dim() == 4:
                whole = fresh.detach().clone().zero_()
                whole[:, :, fresh.shape[2] // 2] = value.to(whole)
                value = whole
            found[name] = value
        elif place == "0" and twin is not None:
            found[name] = twin
        elif (place == "1" and twin is not None) or ".over_time." in name:
            found[name] = fresh.detach()
    return found
