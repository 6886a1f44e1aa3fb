"""One media transformer for every modality that flows."""

from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import ContextCache, MediaTransformer

__all__ = ["ContextCache", "MediaTransformer", "TransformerConfig"]
