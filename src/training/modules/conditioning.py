"""The text side of a video model: captions for an encoder trained along, or frozen encoders' embeddings."""

from collections.abc import Callable

from torch import Tensor, nn

from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.text.context import drop_captions
from src.models.text.frozen_encoder import Embeddings, FrozenEncoder
from src.models.text.projection import ProjectedText, drop_encoders, without_text
from src.streaming.batch import LatentBatch
from src.streaming.schema.bucket import DataError

Condition = list[str] | Embeddings  # what the text network reads


class TextCondition:
    """What the text network is, and what it reads of batches and of prompts.

    Args:
        text: the byte encoder that is trained along where there are no frozen ones.
        encoders: frozen encoders by name, whose embeddings the batches carry.
        context_dim: width of the text tokens that the transformer reads.

    Raises:
        ValueError: the byte encoder has another width.
    """

    def __init__(
        self, text: ByteEncoderConfig, encoders: dict[str, FrozenTextConfig], context_dim: int
    ) -> None:
        if not encoders and context_dim != text.width:
            raise ValueError(f"context_dim must equal text.width={text.width}, got {context_dim}")
        self.text, self.encoders, self.context_dim = text, encoders, context_dim
        self.frozen: dict[str, FrozenEncoder] = {}  # loaded where prompts are to be read

    def network(self) -> nn.Module:
        """The network that is trained."""
        return ProjectedText(self.encoders, self.context_dim) if self.encoders else ByteEncoder(self.text)

    def of(self, batch: LatentBatch) -> Condition:
        """A batch's captions, or frozen encoders' embeddings of them.

        Raises:
            DataError: the latents were encoded without the embeddings of an encoder.
        """
        if not self.encoders:
            return batch.captions
        found = batch.text or {}
        for name in self.encoders:
            if name not in found:
                raise DataError(
                    f"stream {batch.stream}: its latents hold no embeddings of encoder {name}; encode them "
                    f"again with encoders.{name} in the latents' config"
                )
        return {name: found[name] for name in self.encoders}

    def dropped(
        self, batch: LatentBatch, uniform: Callable[[str], Tensor], caption_drop: float, encoder_drop: float
    ) -> Condition:
        """The condition without what is dropped for guidance.

        Args:
            uniform: numbers in [0, 1) of the batch's slots, [B], by the name of their stream.
            caption_drop: share of samples that lose everything.
            encoder_drop: share of samples that lose a frozen encoder, for each.
        """
        whole, condition = uniform("caption_drop"), self.of(batch)
        if isinstance(condition, list):
            return drop_captions(condition, whole, caption_drop)
        uniforms = {name: uniform(f"encoder_drop/{name}") for name in condition}
        return drop_encoders(condition, uniforms | {"": whole}, encoder_drop, caption_drop)

    def read(self, prompts: list[str]) -> Condition:
        """What the text network takes of prompts; empty prompts are the null condition."""
        if not self.encoders:
            return prompts
        for name, config in self.encoders.items():
            if name not in self.frozen:
                self.frozen[name] = FrozenEncoder(name, config)
        found = {name: self.frozen[name].encode(prompts) for name in self.encoders}
        return found if any(prompts) else without_text(found)
