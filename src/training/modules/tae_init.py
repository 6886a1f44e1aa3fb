"""Adapt another autoencoder's weights to a TAE that starts from them: names, missing parts, inflation."""

from collections.abc import Mapping

from torch import Tensor

from src.core.errors import UserError
from src.models.tae.diffusers import from_diffusers, is_diffusers
from src.models.tae.inflate import inflate

Tensors = Mapping[str, Tensor]


def adapt_weights(source: Tensors, state: Tensors) -> Tensors:
    """Convert a run's or diffusers' weights to the names and shapes of a module.

    Args:
        state: state dict of the module that starts from them, with its own initial values.

    Raises:
        UserError: weights in diffusers' layout that do not fit this autoencoder.
    """
    return inflate_image_weights(add_own_parts(rename_diffusers(source), state), state)


def rename_diffusers(source: Tensors) -> Tensors:
    """Rename weights in diffusers' layout; return others as they are."""
    if not is_diffusers(source):
        return source
    try:
        return {f"tae.{name}": value for name, value in from_diffusers(source).items()}
    except ValueError as error:
        raise UserError(f"weights in diffusers' layout: {error}") from error


def add_own_parts(source: Tensors, state: Tensors) -> Tensors:
    """Add the module's own latent statistics, and its discriminator if the source has none."""
    own = {n: b.clone() for n, b in state.items() if n.startswith("latent_")}
    if not any(name.startswith("discriminator.") for name in source):
        own |= {n: p.detach() for n, p in state.items() if n.startswith("discriminator.")}
    return dict(source) | own


def inflate_image_weights(source: Tensors, state: Tensors) -> Tensors:
    """Add the temporal layers that an image autoencoder lacks; a video autoencoder's weights stay."""
    own = {n: p for n, p in state.items() if n.startswith("tae.")}
    if own.keys() <= source.keys() and all(source[n].dim() == p.dim() for n, p in own.items()):
        return source
    return {n: v for n, v in source.items() if not n.startswith("tae.")} | inflate(source, own)
