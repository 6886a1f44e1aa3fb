"""Networks without a library (ViCLIP, ImageBind, Synchformer, face networks), as programs in a folder.

The folder contains the programs (TorchScript, or torch.export's .pt2) and `contract.json`, which describes
their inputs. Each program maps a batch of one to rows:

    video    float32 [1, num_frames, 3, size, size], pixels (x / 255 - mean) / std     -> [1, D]
    image    float32 [1, 3, size, size], likewise                                  -> [1, D]
    text     int64 [1, context], by tokenizer.json in the folder, padded with pad  -> [1, D]
    audio    float32 [1, rate * seconds], mono                                     -> [1, D]
    detector float32 [1, 3, H, W] in 0..255                     -> [N, 5]: x0 y0 x1 y1 score
    sync     frames [1, fps * seconds, 3, size, size] and audio [1, rate * seconds] -> [1, classes]

A network's own code is needed once, to export the programs, but not for evaluation.
"""

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.audio_windows import audio_windows, count_samples
from eval.backbones.checksummed_weights import Network, load_program
from eval.backbones.clip_clap import unit_norm
from eval.backbones.extractor import uniform_indices
from eval.backbones.preprocessing import (
    CROPPING,
    center_crop,
    normalize,
    num_resampled,
    resampled,
    window_starts,
)
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_frames


@dataclass(frozen=True, kw_only=True)
class VideoProgramSpec:
    """`num_clips` clips of `num_frames` frames, evenly over the video at `fps`; 0: one over all of it."""

    program: str
    num_frames: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fps: float = 0.0
    num_clips: int = 1


@dataclass(frozen=True, kw_only=True)
class ImageProgramSpec:
    program: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TextProgramSpec:
    program: str
    context: int
    pad: int = 0


@dataclass(frozen=True, kw_only=True)
class AudioProgramSpec:
    program: str
    rate: int
    seconds: float
    num_clips: int = 1


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """Boxes below `min_score` are ignored; the best one is enlarged by `margin` of its sides."""

    program: str
    min_score: float
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SyncProgramSpec:
    """`offsets_s`: the offset that each class stands for, in seconds by which the audio is late."""

    program: str
    fps: float
    rate: int
    seconds: float
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    offsets_s: tuple[float, ...]


SPECS = {
    "video": VideoProgramSpec,
    "image": ImageProgramSpec,
    "text": TextProgramSpec,
    "audio": AudioProgramSpec,
    "detector": DetectorSpec,
    "sync": SyncProgramSpec,
}


class ExportedPrograms:
    """The programs of a folder. Embeddings are unit vectors."""

    def __init__(self, network: Network, needed: tuple[str, ...]) -> None:
        self.network = network
        self.model, self.specs = read_contract(network.path)
        if missing := [name for name in needed if name not in self.specs]:
            raise ValueError(f"weights: {network.path / 'contract.json'} has no program {missing[0]!r}")

    def describe(self) -> dict[str, Any]:
        preprocessing = {name: asdict(spec) for name, spec in self.specs.items()}
        resizing = CROPPING.format("bicubic")
        return {
            **self.network.describe(),
            "backbone": self.model,
            "preprocessing": {**preprocessing, "resizing": resizing, "clips": "mean of unit vectors"},
        }

    def call(self, name: str, *batches: np.ndarray) -> np.ndarray:
        """Run a program and return its output, float32 [N, D].

        Raises:
            ValueError: the program fails on this input, or returns another shape.
        """
        import torch

        try:
            with torch.inference_mode():
                out = load_program(self.network.path / self.specs[name].program)(
                    *(torch.from_numpy(np.ascontiguousarray(batch)) for batch in batches)
                )
        except (RuntimeError, AssertionError) as error:
            reason = " ".join(str(error).split())[-160:]
            raise ValueError(f"{self.model}: {name} failed on input {_shapes(batches)} ({reason})") from None
        if not isinstance(out, torch.Tensor) or out.ndim != 2:
            shape = list(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise ValueError(f"{self.model}: {name} returned shape {shape}, expected [N, D]")
        return out.float().numpy()

    def observe_video(self, info: StreamInfo) -> FrameTask:
        """Receive the frames of a video and return its [D]; only those of the clips are kept."""
        t = self.specs["video"]
        total = num_resampled(info, t.fps)
        if total < t.num_frames:
            raise ValueError(f"{self.model}: expected at least {t.num_frames} frames, got {total}")
        if not t.fps:
            frames_THWC = yield from take_frames(uniform_indices(total, t.num_frames))
            return unit_norm(self.call("video", self._clip(frames_THWC, t))[0])
        starts = window_starts(total, t.num_frames, t.num_clips)
        indices = np.unique(starts[:, None] + np.arange(t.num_frames))
        frames_THWC = yield from resampled(t.fps, take_frames(indices))
        firsts = np.searchsorted(indices, starts)
        clips = (frames_THWC[first : first + t.num_frames] for first in firsts)
        rows = [unit_norm(self.call("video", self._clip(each, t))[0]) for each in clips]
        return unit_norm(np.mean(rows, axis=0))

    def _clip(self, frames_THWC: np.ndarray, spec: VideoProgramSpec) -> np.ndarray:
        return normalize(center_crop(frames_THWC, spec.size), spec.mean, spec.std)[None]

    def embed_image(self, frame_HWC: np.ndarray) -> np.ndarray:
        """Return [D] of an image."""
        t = self.specs["image"]
        return unit_norm(
            self.call("image", normalize(center_crop(frame_HWC[None], t.size), t.mean, t.std))[0]
        )

    def embed_text(self, text: str) -> tuple[np.ndarray, bool]:
        """Return [D] and whether the text was truncated; the end token is always kept."""
        ids, truncated = self._tokenize(text)
        return unit_norm(self.call("text", ids)[0]), truncated

    def _tokenize(self, text: str) -> tuple[np.ndarray, bool]:
        t, found = self.specs["text"], self.tokenizer.encode(text)
        ids = np.full((1, t.context), t.pad, np.int64)
        ids[0, : len(found.ids)] = found.ids
        return ids, bool(found.overflowing)

    @cached_property
    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        file = self.network.path / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"weights: no such file: {file}")
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.specs["text"].context)
        return tokenizer

    def embed_audio(self, path: Path) -> np.ndarray:
        """Return [D] of a file's audio."""
        t = self.specs["audio"]
        length = round(t.rate * t.seconds)
        starts = window_starts(count_samples(path, t.rate), length, t.num_clips)
        windows = audio_windows(path, t.rate, starts, length)
        rows = [unit_norm(self.call("audio", window_S[None])[0]) for window_S in windows]
        return unit_norm(np.mean(rows, axis=0))


def _shapes(batches: tuple[np.ndarray, ...]) -> str:
    return " and ".join(str(list(batch.shape)) for batch in batches)


def read_contract(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the model's name and the specs of its programs.

    Raises:
        ValueError: the contract is missing or invalid, or a program's file is missing.
    """
    file = folder / "contract.json"
    if not file.is_file():
        raise ValueError(
            f"weights: no such file: {file}; it describes the programs' inputs (docs/evaluation.md)"
        )
    try:
        contract = json.loads(file.read_text(encoding="utf-8"))
        model = contract.pop("model")
        specs = {name: _read_spec(name, settings) for name, settings in contract.items()}
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"weights: {file}: {' '.join(str(error).split())}") from None
    for spec in specs.values():
        if not (folder / spec.program).is_file():
            raise ValueError(f"weights: {file}: no such file: {spec.program}")
    return str(model), specs


def _read_spec(name: str, settings: dict[str, Any]) -> Any:
    kind = SPECS[name]
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(settings) - known):
        raise KeyError(f"{name}.{unknown[0]} is unknown; expected one of {', '.join(sorted(known))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
