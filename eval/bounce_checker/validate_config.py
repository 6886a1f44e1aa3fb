"""Settings of `eval.bounce_checker.validate`: kinds of videos, degradations, how many."""

from dataclasses import dataclass
from typing import Any

from eval.core.degradations import DEGRADATIONS
from eval.reports.tables import require_parent_dir
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of videos: frame size, and settings of `data.bounce.config.WorldConfig`."""

    side: int
    settings: dict[str, Any]
    num_frames: int = 16
    fps: float = 16.0


_SINGLE_STATIC = {"max_objects": 1, "cameras": ("static shot",)}
_NO_EFFECTS = {"spin_prob": 0.0, "appear_prob": 0.0, "vanish_prob": 0.0}
WORLDS = {
    "tiny": World(side=32, settings=_SINGLE_STATIC | _NO_EFFECTS),
    "full": World(side=64, settings={"spin_prob": 0.25, "appear_prob": 0.1, "vanish_prob": 0.1}),
    "tiny-all": World(side=32, settings={}),
    "long": World(side=64, settings={}, num_frames=32),
}


@dataclass(frozen=True, kw_only=True)
class ValidateCheckerConfig(Config):
    """Settings of `eval.bounce_checker.validate`."""

    worlds: tuple[str, ...] = opt(("tiny", "full"), "kinds of videos", choices=tuple(WORLDS))
    degradations: tuple[str, ...] = opt(
        (), "degradations by name; empty takes all", choices=tuple(DEGRADATIONS)
    )
    num: int = opt(500, "videos of each kind", ge=1)
    first_seed: int = opt(1_000_000, "seed of the first video", ge=0)
    num_workers: int = opt(2, "processes", ge=0)
    failures: str = opt("", "folder for contact sheets of misjudged videos; empty draws none")
    out: str = opt("", "Markdown file for the table; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)
