"""Joint embeddings of images or audio with text: CLIP and CLAP, from transformers folders.

Legend: T frames, H height, W width, C = 3 (RGB, uint8), S samples, D dimensions of the shared space.
All embeddings are unit vectors.
"""

import json
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.audio_windows import audio_windows, count_samples
from eval.backbones.checksummed_weights import Network

BATCH = 16  # frames, of one video only: batching with other videos would change the rounding


def unit_norm(rows: np.ndarray) -> np.ndarray:
    """Return the rows scaled to unit length, float32."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


class Checkpoint:
    """A transformers folder with model, tokenizer and preprocessing.

    Raises:
        ValueError: the folder has no model of `model_types`, or no preprocessing.
    """

    model_types: tuple[str, ...]

    def __init__(self, network: Network) -> None:
        self.network = network
        model_type = self._read_json("config.json").get("model_type")
        if model_type not in self.model_types:
            expected = " or ".join(self.model_types)
            raise ValueError(f"weights: {network.path} has model type {model_type}, expected {expected}")
        self.preprocessing = self._read_json("preprocessor_config.json")

    def describe(self) -> dict[str, Any]:
        return {
            **self.network.describe(),
            "preprocessing": self.preprocessing,
            "transformers": version("transformers"),
        }

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.network.path / name
        if not file.is_file():
            raise ValueError(f"weights: {self.network.path} is not a transformers folder: {name} not found")
        return json.loads(file.read_text(encoding="utf-8"))

    @cached_property
    def model(self) -> Any:
        model, found = self.load("AutoModel", output_loading_info=True)
        # missing tensors would be random; the pooler is not used, and DINO's folder has none
        missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise ValueError(
                f"weights: {self.network.path}: {len(missing)} missing tensors, first {missing[0]}"
            )
        return model.eval()

    def load(self, kind: str, **options: Any) -> Any:
        """Load `AutoModel`, `AutoTokenizer` or the like from the folder, without network access.

        Raises:
            ValueError: the folder does not contain it, or transformers is not installed.
        """
        try:
            import transformers
        except ImportError:
            raise ValueError(f"{self.network.role}: needs pip install 'transformers>=5'") from None
        options["local_files_only"] = True
        if kind == "AutoImageProcessor":
            options["backend"] = "pil"  # as the checkpoints were trained
        transformers.utils.logging.disable_progress_bar()
        try:
            return getattr(transformers, kind).from_pretrained(self.network.path, **options)
        except Exception as error:  # OSError, ValueError, KeyError, SafetensorError: a bad folder
            reason = " ".join(str(error).split())[:160]
            raise ValueError(f"weights: {self.network.path} cannot load {kind} ({reason})") from None

    @cached_property
    def tokenizer(self) -> Any:
        if not any((self.network.path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise ValueError(f"weights: {self.network.path} is missing tokenizer.json or vocab.json")
        return self.load("AutoTokenizer")

    @cached_property
    def image_processor(self) -> Any:
        return self.load("AutoImageProcessor")

    def tokenize(self, text: str, max_length: int) -> tuple[Any, bool]:
        """Return the token ids of a text and whether it was truncated; the end token is always kept."""
        truncated = len(self.tokenizer(text, verbose=False)["input_ids"]) > max_length
        ids = self.tokenizer(
            text, return_tensors="pt", truncation=True, max_length=max_length, padding="max_length"
        )
        return ids, truncated

    def pixels(self, frames_THWC: np.ndarray) -> Any:
        """Return the preprocessed frames."""
        return self.image_processor(list(frames_THWC), return_tensors="pt")["pixel_values"]


class CLIP(Checkpoint):
    """Image and text embeddings (Radford et al. 2021)."""

    model_types = ("clip",)

    def embed_frames(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return [T, D]."""
        import torch

        parts = []
        for start in range(0, len(frames_THWC), BATCH):
            with torch.inference_mode():
                pixels = self.pixels(frames_THWC[start : start + BATCH])
                parts.append(self.model.get_image_features(pixel_values=pixels).pooler_output.numpy())
        return unit_norm(np.concatenate(parts))

    def embed_text(self, text: str) -> tuple[np.ndarray, bool]:
        """Return [D] and whether the text was truncated."""
        import torch

        ids, truncated = self.tokenize(text, self.model.config.text_config.max_position_embeddings)
        with torch.inference_mode():
            found = self.model.get_text_features(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]
            )
        return unit_norm(found.pooler_output[0].numpy()), truncated


class CLAP(Checkpoint):
    """Audio and text embeddings (Wu et al. 2023)."""

    model_types = ("clap",)

    @cached_property
    def feature_extractor(self) -> Any:
        return self.load("AutoFeatureExtractor")

    def embed_audio(self, path: Path) -> np.ndarray:
        """Return [D]: the mean over windows of the network's input length; the last one ends with the audio.

        The folder's own preprocessing would crop long audio at random.
        """
        import torch

        rate = self.feature_extractor.sampling_rate
        num, length = count_samples(path, rate), round(self.feature_extractor.max_length_s * rate)
        count = max(1, -(-num // length))
        starts = np.linspace(0, max(num - length, 0), count).round().astype(int)
        rows = []
        # no batches: the extractor marks a random sample of a batch as longer
        for window_S in audio_windows(path, rate, starts, length):
            inputs = self.feature_extractor(window_S[:num], sampling_rate=rate, return_tensors="pt")
            with torch.inference_mode():
                rows.append(self.model.get_audio_features(**inputs).pooler_output[0].numpy())
        return unit_norm(unit_norm(np.stack(rows)).mean(0))

    def embed_text(self, text: str) -> tuple[np.ndarray, bool]:
        """Return [D] and whether the text was truncated."""
        import torch

        positions = self.model.config.text_config.max_position_embeddings - 2  # RoBERTa counts from 2
        max_length = min(self.tokenizer.model_max_length, positions)
        ids, truncated = self.tokenize(text, max_length)
        with torch.inference_mode():
            found = self.model.get_text_features(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]
            )
        return unit_norm(found.pooler_output[0].numpy()), truncated
