"""Settings of the Bounce world: the distribution of its videos, prompt files, previews."""

from dataclasses import dataclass
from typing import Literal

from data.bounce.vocabulary import BACKGROUNDS, CAMERAS, COLORS, DIRECTIONS, MATERIALS, SHAPES, SIZES, SPEEDS
from src.core.fields import Config, opt

WORDINGS = ("plain", "short", "long")
"""Kinds of captions: fixed short sentences, varied short ones, varied long ones."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig(Config):
    """The distribution of Bounce videos."""

    min_objects: int = opt(1, "minimum number of objects in a video", ge=1, le=3)
    max_objects: int = opt(3, "maximum number of objects in a video", ge=1, le=3)
    colors: tuple[str, ...] = opt(tuple(COLORS), "colors to use", choices=tuple(COLORS))
    shapes: tuple[str, ...] = opt(SHAPES, "shapes to use", choices=SHAPES)
    sizes: tuple[str, ...] = opt(tuple(SIZES), "sizes to use", choices=tuple(SIZES))
    directions: tuple[str, ...] = opt(
        tuple(DIRECTIONS), "directions of moving objects", choices=tuple(DIRECTIONS)
    )
    speeds: tuple[str, ...] = opt(tuple(SPEEDS), "speeds of moving objects", choices=tuple(SPEEDS))
    materials: tuple[str, ...] = opt(MATERIALS, "materials (audible, not visible)", choices=MATERIALS)
    backgrounds: tuple[str, ...] = opt(BACKGROUNDS, "backgrounds to use", choices=BACKGROUNDS)
    cameras: tuple[str, ...] = opt(CAMERAS, "camera moves to use", choices=CAMERAS)
    still_prob: float = opt(0.2, "probability that an object does not move by itself", ge=0, le=1)
    bounce_prob: float = opt(0.4, "probability that a moving object bounces off a wall", ge=0, le=1)
    collide_prob: float = opt(
        0.25, "probability that two objects of a video collide (if it has two)", ge=0, le=1
    )
    spin_prob: float = opt(0.15, "probability that an object spins (if its shape shows it)", ge=0, le=1)
    appear_prob: float = opt(0.05, "probability that an object appears during the video", ge=0, le=1)
    vanish_prob: float = opt(0.05, "probability that an object vanishes during the video", ge=0, le=1)
    moving_camera_prob: float = opt(
        0.5, "probability of a camera move, if `cameras` holds static and moving ones", ge=0, le=1
    )
    holdout: Literal["exclude", "only", "include"] = opt(
        "exclude",
        "combinations held out of training: exclude them, only videos with one of them, or include them",
        choices=("exclude", "only", "include"),
    )
    split: Literal["train", "test", "all"] = opt(
        "train",
        "one combination in eight is kept for test prompts; 'train' never shows one, 'test' only those",
        choices=("train", "test", "all"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_objects > self.max_objects:
            raise ValueError(f"min_objects={self.min_objects} is more than max_objects={self.max_objects}")
        for name in WORD_FIELDS:
            words = tuple(getattr(self, name))
            object.__setattr__(
                self, name, words
            )  # lists in code become tuples, so that configs compare equal
            if not words:
                raise ValueError(f"{name} is empty: choose one or more")


WORD_FIELDS = ("colors", "shapes", "sizes", "directions", "speeds", "materials", "backgrounds", "cameras")

# Of the sets with audio: one or two objects, of which only impacts are heard.
AUDIO_WORLD = WorldConfig(
    max_objects=2,
    cameras=("static shot",),
    spin_prob=0.0,
    appear_prob=0.0,
    vanish_prob=0.0,
    holdout="include",
    split="all",
)


@dataclass(frozen=True, kw_only=True)
class PromptsConfig(Config):
    """A file of prompts."""

    out: str = opt("", "JSONL file to write")
    num_prompts: int = opt(64, "number of prompts, all different", ge=1)
    seed: int = opt(0, "another seed gives other prompts")
    wording: Literal["plain", "short", "long", "any"] = opt(
        "plain", "plain: fixed short sentences; short, long: varied ones; any: one of them at random"
    )
    num_frames: int = opt(16, "frames of the videos that the facts describe", ge=2)
    height: int = opt(32, "their height in pixels", ge=8)
    width: int = opt(32, "their width in pixels", ge=8)
    fps: float = opt(16.0, "their frames per second", gt=0)
    world: WorldConfig = opt(WorldConfig(), "the world trained on; its split is not used")


@dataclass(frozen=True, kw_only=True)
class PreviewConfig(Config):
    """Settings of `data.bounce.preview`."""

    out: str = opt("bounce.png", "file to write: .png for a contact sheet, .mp4 for a video with sound")
    seed: int = opt(0, "seed of the first video; the next have the next seeds")
    num_videos: int = opt(8, "number of videos", ge=1)
    size: int = opt(64, "height of a video in pixels", ge=16)
    width: int = opt(0, "its width in pixels; 0 for square", ge=0)
    seconds: float = opt(0.0, "length of a video; 0: one second on a sheet, three in a video", ge=0)
    fps: float = opt(16.0, "frames per second", gt=0)
    columns: int = opt(8, "frames in a row of the sheet", ge=1)
    world: WorldConfig = opt(WorldConfig(split="all", holdout="include"), "distribution of the videos")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.out.endswith((".png", ".mp4")):
            raise ValueError(f"out={self.out!r}: name a .png or an .mp4 file")
