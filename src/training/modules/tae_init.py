"""Weights of another autoencoder as the start of this one: three rules, one after the other."""

from collections.abc import Mapping

from torch import Tensor

from src.core.errors import UserError
from src.models.tae.diffusers import from_diffusers, is_diffusers
from src.models.tae.inflate import inflate

Tensors = Mapping[str, Tensor]


def adapt(source: Tensors, state: Tensors) -> Tensors:
    """A run's or diffusers' weights by this module's names and shapes.

    Args:
        state: of the module that is to start from them, with its own first values.

    Raises:
        UserError: weights in diffusers' layout that do not make an autoencoder of ours.
    """
    return inflated(with_own_rest(in_our_names(source), state), state)


def in_our_names(source: Tensors) -> Tensors:
    """Diffusers' names become ours; ours stay."""
    if not is_diffusers(source):
        return source
    try:
        return {f"tae.{name}": value for name, value in from_diffusers(source).items()}
    except ValueError as error:
        raise UserError(f"weights in diffusers' layout: {error}") from error


def with_own_rest(source: Tensors, state: Tensors) -> Tensors:
    """What does not come from another run: a new adversary, and statistics, which are gathered anew."""
    own = {n: b.clone() for n, b in state.items() if n.startswith("latent_")}
    if not any(name.startswith("discriminator.") for name in source):
        own |= {n: p.detach() for n, p in state.items() if n.startswith("discriminator.")}
    return dict(source) | own


def inflated(source: Tensors, state: Tensors) -> Tensors:
    """An image autoencoder's layers with the temporal ones that it lacks; a film's stay as they are."""
    own = {n: p for n, p in state.items() if n.startswith("tae.")}
    if own.keys() <= source.keys() and all(source[n].dim() == p.dim() for n, p in own.items()):
        return source
    return {n: v for n, v in source.items() if not n.startswith("tae.")} | inflate(source, own)
