"""Which films a world makes: the distribution, not the single film."""

from dataclasses import dataclass
from typing import Literal

from data.bounce.vocabulary import BACKGROUNDS, CAMERAS, COLOURS, DIRECTIONS, MATERIALS, SHAPES, SIZES, SPEEDS
from src.core.fields import opt

_SUBSETS: dict[str, tuple[str, ...]] = {
    "colours": tuple(COLOURS),
    "shapes": SHAPES,
    "sizes": tuple(SIZES),
    "directions": tuple(DIRECTIONS),
    "speeds": tuple(SPEEDS),
    "materials": MATERIALS,
    "backgrounds": BACKGROUNDS,
    "cameras": CAMERAS,
}


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """The distribution of Bounce films."""

    min_objects: int = opt(1, "fewest objects in a film")
    max_objects: int = opt(3, "most objects in a film (at most 3)")
    colours: tuple[str, ...] = opt(tuple(COLOURS), "colours to use")
    shapes: tuple[str, ...] = opt(SHAPES, "shapes to use")
    sizes: tuple[str, ...] = opt(tuple(SIZES), "sizes to use")
    directions: tuple[str, ...] = opt(tuple(DIRECTIONS), "directions of movers")
    speeds: tuple[str, ...] = opt(tuple(SPEEDS), "speeds of movers")
    materials: tuple[str, ...] = opt(MATERIALS, "materials (heard, not seen)")
    backgrounds: tuple[str, ...] = opt(BACKGROUNDS, "backgrounds to use")
    cameras: tuple[str, ...] = opt(CAMERAS, "camera moves to use")
    still_prob: float = opt(0.2, "chance that an object does not move by itself")
    bounce_prob: float = opt(0.4, "chance that a mover bounces off a wall")
    collide_prob: float = opt(0.25, "chance that two objects of a film hit each other (if it has two)")
    spin_prob: float = opt(0.15, "chance that an object that shows it spins")
    appear_prob: float = opt(0.05, "chance that an object appears during the film")
    vanish_prob: float = opt(0.05, "chance that an object vanishes during the film")
    moving_camera_prob: float = opt(0.5, "chance of a camera move, if `cameras` holds static and moving ones")
    holdout: Literal["exclude", "only", "include"] = opt(
        "exclude", "combinations held out of training: leave out, at least one in each film, or do not care"
    )
    split: Literal["train", "test", "all"] = opt(
        "train",
        "one combination in eight is kept for test prompts; 'train' never shows one, 'test' only those",
    )

    def __post_init__(self) -> None:
        if not 1 <= self.min_objects <= self.max_objects <= 3:
            raise ValueError(
                f"min_objects={self.min_objects}, max_objects={self.max_objects}: need 1 <= min <= max <= 3"
            )
        for name, known in _SUBSETS.items():
            chosen = tuple(getattr(self, name))
            object.__setattr__(self, name, chosen)
            if not chosen:
                raise ValueError(f"{name} is empty; choose from {', '.join(known)}")
            for word in chosen:
                if word not in known:
                    raise ValueError(f"{name}: unknown word {word!r}; choose from {', '.join(known)}")
        for name in (n for n in self.__dataclass_fields__ if n.endswith("_prob")):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}={getattr(self, name)}: a probability is between 0 and 1")
        for name, choices in (
            ("holdout", ("exclude", "only", "include")),
            ("split", ("train", "test", "all")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose from {', '.join(choices)}")
