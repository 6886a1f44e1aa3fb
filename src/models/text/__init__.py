"""Text encoders."""

from src.models.text.bytes import ByteEncoder, ByteEncoderConfig
from src.models.text.context import TextContext, drop_captions, join_batches

__all__ = ["ByteEncoder", "ByteEncoderConfig", "TextContext", "drop_captions", "join_batches"]
