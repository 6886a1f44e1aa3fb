"""Conditions of a video model: its text, and the first frame of an image-to-video model.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.text.context import drop_captions
from src.models.text.frozen_encoder import Embeddings, FrozenEncoder
from src.models.text.projection import ProjectedText, drop_encoders, without_text
from src.streaming.batch import LatentBatch
from src.streaming.schema.bucket import DataError

TextCondition = list[str] | Embeddings  # input of the text network: captions, or frozen encoders' embeddings


ENCODER_LAYERS = ("T5Block", "CLIPEncoderLayer")  # of a frozen encoder, gathered one at a time


class TextConditioning:
    """Chooses the text network, and prepares its input from batches and from prompts.

    Args:
        text: the byte encoder that is trained with the transformer if there are no frozen encoders.
        encoders: frozen encoders by name; the batches contain the embeddings of those that are not online.
        context_dim: feature size of the text tokens that the transformer reads.

    Raises:
        ValueError: the byte encoder's feature size is not `context_dim`.
    """

    def __init__(
        self, text: ByteEncoderConfig, encoders: dict[str, FrozenTextConfig], context_dim: int
    ) -> None:
        if not encoders and context_dim != text.hidden_size:
            raise ValueError(f"context_dim must equal text.hidden_size={text.hidden_size}, got {context_dim}")
        self.text, self.encoders, self.context_dim = text, encoders, context_dim
        self._frozen: dict[str, FrozenEncoder] = {}

    def make_network(self) -> ByteEncoder | ProjectedText:
        """Return the trained part of the text side, with its initial weights."""
        return ProjectedText(self.encoders, self.context_dim) if self.encoders else ByteEncoder(self.text)

    def from_batch(self, batch: LatentBatch) -> TextCondition:
        """Return a batch's captions, or frozen encoders' embeddings of them.

        Raises:
            DataError: the latents were encoded without the embeddings of an encoder.
        """
        if not self.encoders:
            return batch.captions
        found = dict(batch.text or {})
        for name, config in self.encoders.items():
            if config.online:
                found[name] = self._online(name, batch).encode(batch.captions)
            elif name not in found:
                raise DataError(
                    f"stream {batch.stream}: the latents have no embeddings of encoder {name}; encode them "
                    f"again with encoders.{name} in the config of the latents, or encoders.{name}.online=true"
                )
        return {name: found[name] for name in self.encoders}

    def with_dropout(
        self,
        batch: LatentBatch,
        uniform: Callable[[str], Tensor],
        caption_drop_prob: float,
        encoder_drop_prob: float,
    ) -> TextCondition:
        """Return a batch's condition with some of it replaced by the null condition, for guidance.

        Args:
            uniform: draws numbers in [0, 1) for the batch's samples, [B], from the stream of a name.
            caption_drop_prob: probability that a sample loses all of its text.
            encoder_drop_prob: probability that a sample loses one frozen encoder, for each encoder.
        """
        uniform_B, condition = uniform("caption_drop"), self.from_batch(batch)
        if isinstance(condition, list):
            return drop_captions(condition, uniform_B, caption_drop_prob)
        uniforms = {name: uniform(f"encoder_drop/{name}") for name in condition}
        return drop_encoders(condition, uniforms | {"": uniform_B}, encoder_drop_prob, caption_drop_prob)

    def without(self, condition: TextCondition) -> TextCondition:
        """Return the null condition for as many samples."""
        return [""] * len(condition) if isinstance(condition, list) else without_text(condition)

    def from_prompts(self, prompts: list[str]) -> TextCondition:
        """Return the condition of prompts; empty prompts are the null condition."""
        if not self.encoders:
            return prompts
        found = {name: encoder.encode(prompts) for name, encoder in self._load_frozen().items()}
        return found if any(prompts) else without_text(found)

    def truncated(self, prompts: list[str]) -> list[bool]:
        """Return for each prompt whether it is longer than some frozen encoder reads."""
        encoders = self._load_frozen().values()
        return [any(encoder.is_truncated(prompt) for encoder in encoders) for prompt in prompts]

    def _online(self, name: str, batch: LatentBatch) -> FrozenEncoder:
        """Return an encoder on the batch's device, loaded on first use; sharded if its config says so."""
        if name not in self._frozen:
            config, device = self.encoders[name], batch.real_B.device
            self._frozen[name] = encoder = FrozenEncoder(name, config, device)
            if config.shard and torch.distributed.is_initialized():
                shard_encoder(encoder, init_device_mesh(device.type, (torch.distributed.get_world_size(),)))
        return self._frozen[name]

    def _load_frozen(self) -> dict[str, FrozenEncoder]:
        """Load the frozen encoders on first use."""
        for name, config in self.encoders.items():
            if name not in self._frozen:
                self._frozen[name] = FrozenEncoder(name, config)
        return self._frozen


def shard_encoder(encoder: FrozenEncoder, mesh: DeviceMesh) -> None:
    """Shard a frozen encoder's weights over processes, which then have to encode at the same time."""
    for layer in encoder.model.modules():
        if type(layer).__name__ in ENCODER_LAYERS:
            fully_shard(layer, mesh=mesh)
    fully_shard(encoder.model, mesh=mesh)


def first_frames(batch: LatentBatch) -> Tensor | None:
    """Return latents [B, C, 1, H, W] of the videos' first frames, encoded as images; None for images.

    Raises:
        DataError: the latents were encoded without first frames.
    """
    assert isinstance(batch.mean_BCTHW, Tensor), "packed batches have no first frames"
    if batch.mean_BCTHW.shape[2] == 1:
        return None
    if batch.first_BC1HW is None:
        raise DataError(
            f"stream {batch.stream}: the latents have no first frames; encode them with first_frames=true"
        )
    return batch.first_BC1HW


def frame_condition(first_BC1HW: Tensor | None, shape: Sequence[int], has_frame_B: Tensor) -> Tensor:
    """Return the conditioning channels [B, C + 1, T, H, W]: the first frame's latent and a mask of it.

    Args:
        first_BC1HW: normalized latents of first frames; None: no sample is conditioned.
        shape: [B, C, T, H, W] of the videos' latents.
        has_frame_B: bool, True for the samples to condition; the others' channels are zeros.
    """
    cond = torch.zeros(shape[0], shape[1] + 1, *shape[2:], device=has_frame_B.device)
    if first_BC1HW is not None:
        mask = has_frame_B.float()[:, None, None, None]
        cond[:, :-1, 0] = first_BC1HW[:, :, 0] * mask
        cond[:, -1, 0] = mask[:, 0]
    return cond
