"""Text encoders: one trained along with the model, or frozen ones behind trained projections."""

from src.models.text.byte_encoder import ByteEncoder, ByteEncoderConfig
from src.models.text.context import TextContext, drop_captions, join_batches
from src.models.text.frozen_encoder import Embeddings, FrozenEncoder, FrozenTextConfig, quoted_text
from src.models.text.projection import ProjectedText, drop_encoders, without_text

__all__ = [
    "ByteEncoder",
    "ByteEncoderConfig",
    "Embeddings",
    "FrozenEncoder",
    "FrozenTextConfig",
    "ProjectedText",
    "TextContext",
    "drop_captions",
    "drop_encoders",
    "join_batches",
    "quoted_text",
    "without_text",
]
