"""Settings of the ViZDoom source; needs neither torch nor the engine."""

from dataclasses import dataclass
from typing import Literal

from data.vizdoom.maps import TRAIN_MAPS, VAL_MAPS, check_map
from src.core.fields import Config, opt

PLAYS = ("wander", "stand", "collect", "door", "barrel")
WEAPONS = ("pistol", "shotgun", "plasma rifle")
RENDER_SIZE = (192, 256)  # height and width that the engine renders


@dataclass(frozen=True, kw_only=True)
class VizdoomConfig(Config):
    """Clips of played episodes. Training and validation use different maps."""

    num_clips: int = opt(640, "training clips", ge=0)
    num_val_clips: int = opt(96, "validation clips, on maps of their own", ge=0)
    clips_per_episode: int = opt(8, "clips recorded in one start of the engine, each at another place", ge=1)
    maps: tuple[str, ...] = opt(TRAIN_MAPS, "maps of the training clips, FILE/MAP")
    val_maps: tuple[str, ...] = opt(VAL_MAPS, "maps of the validation clips; none of them is a training map")
    first_seed: int = opt(0, "seed of the first episode")
    seconds: float = opt(3.0, "length of a clip", gt=0)
    fps: float = opt(
        16.0, "frames per second: at each tick the frame on the screen; the game has 35", gt=0, le=35
    )
    height: int = opt(48, "height in pixels, of frames rendered at 192 x 256", ge=8, le=192)
    width: int = opt(64, "width in pixels", ge=8, le=256)
    audio: Literal["mono", "stereo"] = opt("stereo", "channels of the audio, at 48 kHz")
    plays: tuple[str, ...] = opt(
        PLAYS,
        "the player wanders at random, stands and looks, collects items, opens a door, shoots a barrel",
        choices=PLAYS,
    )
    weapons: tuple[str, ...] = opt(WEAPONS, "weapons; only walls and barrels are shot at", choices=WEAPONS)
    show_weapon: bool = opt(True, "show the player's weapon; without it only the flash lights up the room")
    shot_free_fraction: float = opt(0.3, "fraction of the clips in which no shot is fired", ge=0, le=1)
    cue_prob: float = opt(
        0.5, "probability of audible flashes at random directions from the player", ge=0, le=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*self.maps, *self.val_maps):
            check_map(name)
        for name in ("plays", "weapons"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: choose one or more")
        for field, count in (("maps", self.num_clips), ("val_maps", self.num_val_clips)):
            if count and not getattr(self, field):
                raise ValueError(f"{field} is empty: name at least one map, such as freedoom2/map01")
        shared = sorted(set(self.maps) & set(self.val_maps))
        if shared:
            raise ValueError(f"val_maps: {shared[0]} is a training map; choose another")
