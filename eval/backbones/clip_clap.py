"""Networks that put pictures, or sounds, and texts into one space: CLIP and CLAP, from transformers' folders.

Legend: T frames, H height, W width, C = 3 (RGB, uint8), S samples, D dimensions of the shared space.
Everything that comes out has length 1.
"""

import json
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import Network
from eval.core.audio import Sound

BATCH = 16  # frames of one film; blocks never hold two films, so that no film changes another's rounding


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


class Checkpoint:
    """A transformers folder: model, tokenizer and preprocessing are the folder's own.

    Raises:
        ValueError: for a folder without one of `kinds` of models, or without its preprocessing.
    """

    kinds: tuple[str, ...]

    def __init__(self, network: Network) -> None:
        self.network = network
        kind = self._settings("config.json").get("model_type")
        if kind not in self.kinds:
            wanted = " or ".join(self.kinds)
            raise ValueError(f"weights: {network.path} holds a model of type {kind}, expected {wanted}")
        self.preprocessing = self._settings("preprocessor_config.json")

    def describe(self) -> dict[str, Any]:
        return {
            **self.network.describe(),
            "preprocessing": self.preprocessing,
            "transformers": version("transformers"),
        }

    def _settings(self, name: str) -> dict[str, Any]:
        file = self.network.path / name
        if not file.is_file():
            raise ValueError(f"weights: {self.network.path} has no {name}, it is no transformers folder")
        return json.loads(file.read_text(encoding="utf-8"))

    @cached_property
    def model(self) -> Any:
        model, found = self.load("AutoModel", output_loading_info=True)
        # what is missing would be drawn at random; the pooler is not used, and DINO's folder has none
        missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise ValueError(
                f"weights: {self.network.path} lacks {len(missing)} tensors, the first is {missing[0]}"
            )
        return model.eval()

    def load(self, kind: str, **options: Any) -> Any:
        """`AutoModel` and its like from the folder alone.

        Raises:
            ValueError: for a folder that does not hold it, or without transformers.
        """
        try:
            import transformers
        except ImportError:
            raise ValueError(f"{self.network.role}: needs pip install 'transformers>=5'") from None
        options["local_files_only"] = True
        if kind == "AutoImageProcessor":
            options["backend"] = "pil"  # what the checkpoints were trained with
        transformers.utils.logging.disable_progress_bar()
        try:
            return getattr(transformers, kind).from_pretrained(self.network.path, **options)
        except Exception as error:  # OSError, ValueError, KeyError, safetensors' own: all mean a bad folder
            reason = " ".join(str(error).split())[:160]
            raise ValueError(f"weights: {self.network.path} gives no {kind} ({reason})") from None

    @cached_property
    def tokenizer(self) -> Any:
        if not any((self.network.path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise ValueError(f"weights: {self.network.path} has neither tokenizer.json nor vocab.json")
        return self.load("AutoTokenizer")

    @cached_property
    def pictures(self) -> Any:
        return self.load("AutoImageProcessor")

    def tokens(self, text: str, longest: int) -> tuple[Any, bool]:
        """Ids of a text, and whether its end was cut; the mark of the end is kept always."""
        cut = len(self.tokenizer(text, verbose=False)["input_ids"]) > longest
        ids = self.tokenizer(
            text, return_tensors="pt", truncation=True, max_length=longest, padding="max_length"
        )
        return ids, cut

    def pixels(self, frames_THWC: np.ndarray) -> Any:
        """Frames as the network wants them."""
        return self.pictures(list(frames_THWC), return_tensors="pt")["pixel_values"]


class Clip(Checkpoint):
    """Radford et al. 2021: pictures and texts."""

    kinds = ("clip",)

    def frames(self, frames_THWC: np.ndarray) -> np.ndarray:
        """[T, D]."""
        import torch

        parts = []
        for start in range(0, len(frames_THWC), BATCH):
            with torch.inference_mode():
                pixels = self.pixels(frames_THWC[start : start + BATCH])
                parts.append(self.model.get_image_features(pixel_values=pixels).pooler_output.numpy())
        return unit(np.concatenate(parts))

    def text(self, text: str) -> tuple[np.ndarray, bool]:
        """[D], and whether the text's end was cut."""
        import torch

        ids, cut = self.tokens(text, self.model.config.text_config.max_position_embeddings)
        with torch.inference_mode():
            found = self.model.get_text_features(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]
            )
        return unit(found.pooler_output[0].numpy()), cut


class Clap(Checkpoint):
    """Wu et al. 2023: sounds and texts."""

    kinds = ("clap",)

    @cached_property
    def hearing(self) -> Any:
        return self.load("AutoFeatureExtractor")

    def sound(self, sound: Sound) -> np.ndarray:
        """[D]: mean over windows as long as the network hears at once, the last one ending with the sound.

        The folder's own preprocessing would take a random window, or random parts of a long sound.
        """
        import torch

        mono_S = sound.at_rate(self.hearing.sampling_rate).mono
        length = round(self.hearing.max_length_s * self.hearing.sampling_rate)
        count = max(1, -(-len(mono_S) // length))
        starts = np.linspace(0, max(len(mono_S) - length, 0), count).round().astype(int)
        rows = []
        for start in starts:  # one by one: of a batch one would be marked as longer, at random
            inputs = self.hearing(
                mono_S[start : start + length],
                sampling_rate=self.hearing.sampling_rate,
                return_tensors="pt",
            )
            with torch.inference_mode():
                rows.append(self.model.get_audio_features(**inputs).pooler_output[0].numpy())
        return unit(unit(np.stack(rows)).mean(0))

    def text(self, text: str) -> tuple[np.ndarray, bool]:
        """[D], and whether the text's end was cut."""
        import torch

        positions = self.model.config.text_config.max_position_embeddings - 2  # RoBERTa counts from 2
        longest = min(self.tokenizer.model_max_length, positions)
        ids, cut = self.tokens(text, longest)
        with torch.inference_mode():
            found = self.model.get_text_features(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]
            )
        return unit(found.pooler_output[0].numpy()), cut
