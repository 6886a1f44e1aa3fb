"""Settings of the audio of Bounce videos: its parts, music, quality, and what is kept for tests."""

from dataclasses import dataclass
from typing import Literal

from data.bounce.music_vocabulary import INSTRUMENTS, PARTS
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class AudioContentConfig(Config):
    """Content of the audio of a set of Bounce videos."""

    parts: tuple[str, ...] = opt(("impacts", "ambience"), "parts of the audio", choices=PARTS)
    instruments: tuple[str, ...] = opt(INSTRUMENTS, "instruments of the music", choices=INSTRUMENTS)
    music_mood: Literal["background", "any"] = opt(
        "background", "background: the mood of the scene, as music from outside it; any: drawn freely"
    )
    low_quality_prob: float = opt(
        0.0, "probability of a narrow-band clip, whose caption says so by its quality", ge=0, le=1
    )
    min_impacts: int = opt(0, "videos with fewer impacts are left out", ge=0)
    max_impacts: int = opt(-1, "videos with more impacts are left out; -1: no limit", ge=-1)
    split: Literal["train", "test", "all"] = opt(
        "all",
        "one combination of materials, sizes, ambience, instrument and tempo in eight is kept for test "
        "prompts; 'train' never sounds one, 'test' only those",
        choices=("train", "test", "all"),
    )
    stems: bool = opt(False, "also store each part alone, for levels and SI-SDR")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("parts", "instruments"):
            words = tuple(getattr(self, name))
            object.__setattr__(self, name, words)
            if not words:
                raise ValueError(f"{name} is empty: choose one or more")
        if 0 <= self.max_impacts < self.min_impacts:
            raise ValueError(f"min_impacts={self.min_impacts} is more than max_impacts={self.max_impacts}")
