"""Networks that no library carries (ViCLIP, ImageBind, Synchformer, face networks), as programs in a folder.

The folder holds `contract.json`, which says what each program wants to be fed, and the programs themselves
(TorchScript, or torch.export's .pt2), each from a batch of one to rows:

    video    float32 [1, frames, 3, size, size], pixels (x / 255 - mean) / std     -> [1, D]
    image    float32 [1, 3, size, size], likewise                                  -> [1, D]
    text     int64 [1, context], by tokenizer.json in the folder, padded with pad  -> [1, D]
    sound    float32 [1, rate * seconds], mono                                     -> [1, D]
    detector float32 [1, 3, H, W] in 0..255                     -> [N, 5]: x0 y0 x1 y1 score
    sync     frames [1, fps * seconds, 3, size, size] and sound [1, rate * seconds] -> [1, classes]

So a network's own code is needed once, to write the programs, and not to measure.
"""

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import Network, load_program
from eval.backbones.clip_clap import unit
from eval.backbones.preprocessing import CROPPING, at_rate, chosen, cropped, normalised, starts, window
from eval.core.audio import Sound
from eval.core.video import Video


@dataclass(frozen=True, kw_only=True)
class VideoTower:
    """`clips` clips of `frames` frames, evenly over the film brought to `fps`; 0: one clip from all of it."""

    program: str
    frames: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fps: float = 0.0
    clips: int = 1


@dataclass(frozen=True, kw_only=True)
class ImageTower:
    program: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TextTower:
    program: str
    context: int
    pad: int = 0


@dataclass(frozen=True, kw_only=True)
class SoundTower:
    program: str
    rate: int
    seconds: float
    clips: int = 1


@dataclass(frozen=True, kw_only=True)
class DetectorTower:
    """Boxes under `least_score` do not count; the best one is widened by `margin` of its sides."""

    program: str
    least_score: float
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SyncTower:
    """`offsets_s`: what each class means, seconds by which the sound is late."""

    program: str
    fps: float
    rate: int
    seconds: float
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    offsets_s: tuple[float, ...]


KINDS = {
    "video": VideoTower,
    "image": ImageTower,
    "text": TextTower,
    "sound": SoundTower,
    "detector": DetectorTower,
    "sync": SyncTower,
}


class Towers:
    """A folder of programs at work. What comes out has length 1, save boxes and classes."""

    def __init__(self, network: Network, needed: tuple[str, ...]) -> None:
        self.network = network
        self.model, self.towers = read_contract(network.path)
        if missing := [name for name in needed if name not in self.towers]:
            raise ValueError(f"weights: {network.path / 'contract.json'} names no tower {missing[0]!r}")

    def describe(self) -> dict[str, Any]:
        preprocessing = {name: asdict(tower) for name, tower in self.towers.items()}
        resizing = CROPPING.format("bicubic")
        return {
            **self.network.describe(),
            "backbone": self.model,
            "preprocessing": {**preprocessing, "resizing": resizing, "clips": "mean of unit vectors"},
        }

    def call(self, name: str, *batches: np.ndarray) -> np.ndarray:
        """What a program gives, float32 [N, D].

        Raises:
            ValueError: where it refuses its input, or gives no rows.
        """
        import torch

        try:
            with torch.inference_mode():
                out = load_program(self.network.path / self.towers[name].program)(
                    *(torch.from_numpy(np.ascontiguousarray(batch)) for batch in batches)
                )
        except (RuntimeError, AssertionError) as error:
            reason = " ".join(str(error).split())[-160:]
            raise ValueError(f"{self.model}: {name} refuses {_shapes(batches)} ({reason})") from None
        if not isinstance(out, torch.Tensor) or out.ndim != 2:
            raise ValueError(f"{self.model}: {name} gives no rows [N, D]")
        return out.float().numpy()

    def video(self, video: Video) -> np.ndarray:
        """[D] of a film."""
        t = self.towers["video"]
        frames = at_rate(video, t.fps)
        if not t.fps:
            return unit(self.call("video", self._clip(chosen(frames, t.frames), t))[0])
        clips = (frames[start : start + t.frames] for start in starts(len(frames), t.frames, t.clips))
        return unit(np.mean([unit(self.call("video", self._clip(each, t))[0]) for each in clips], axis=0))

    def _clip(self, frames_THWC: np.ndarray, tower: VideoTower) -> np.ndarray:
        if len(frames_THWC) < tower.frames:
            raise ValueError(f"{self.model} needs {tower.frames} frames, got {len(frames_THWC)}")
        return normalised(cropped(frames_THWC, tower.size), tower.mean, tower.std)[None]

    def image(self, frame_HWC: np.ndarray) -> np.ndarray:
        """[D] of a picture."""
        t = self.towers["image"]
        return unit(self.call("image", normalised(cropped(frame_HWC[None], t.size), t.mean, t.std))[0])

    def text(self, text: str) -> tuple[np.ndarray, bool]:
        """[D], and whether the text's end was cut; the mark of the end is kept always."""
        ids, cut = self._tokens(text)
        return unit(self.call("text", ids)[0]), cut

    def _tokens(self, text: str) -> tuple[np.ndarray, bool]:
        t, found = self.towers["text"], self.tokenizer.encode(text)
        ids = np.full((1, t.context), t.pad, np.int64)
        ids[0, : len(found.ids)] = found.ids
        return ids, bool(found.overflowing)

    @cached_property
    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        file = self.network.path / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"weights: no such file: {file}")
        made = Tokenizer.from_file(str(file))
        made.no_padding()
        made.enable_truncation(self.towers["text"].context)
        return made

    def sound(self, sound: Sound) -> np.ndarray:
        """[D] of a sound."""
        t = self.towers["sound"]
        mono_S, length = sound.at_rate(t.rate).mono, round(t.rate * t.seconds)
        rows = [
            unit(self.call("sound", window(mono_S, start, length)[None])[0])
            for start in starts(len(mono_S), length, t.clips)
        ]
        return unit(np.mean(rows, axis=0))


def _shapes(batches: tuple[np.ndarray, ...]) -> str:
    return " and ".join(str(list(batch.shape)) for batch in batches)


def read_contract(folder: Path) -> tuple[str, dict[str, Any]]:
    """The model's name and its towers.

    Raises:
        ValueError: for a contract that is missing, or does not say what it must, or names missing files.
    """
    file = folder / "contract.json"
    if not file.is_file():
        raise ValueError(
            f"weights: no such file: {file}; it says what the programs want (docs/evaluation.md)"
        )
    try:
        contract = json.loads(file.read_text(encoding="utf-8"))
        model = contract.pop("model")
        towers = {name: _tower(name, settings) for name, settings in contract.items()}
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"weights: {file}: {' '.join(str(error).split())}") from None
    for tower in towers.values():
        if not (folder / tower.program).is_file():
            raise ValueError(f"weights: {file} names {tower.program}, there is no such file")
    return str(model), towers


def _tower(name: str, settings: dict[str, Any]) -> Any:
    kind = KINDS[name]
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(settings) - known):
        raise KeyError(f"{name}.{unknown[0]} is unknown; known are {', '.join(sorted(known))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
