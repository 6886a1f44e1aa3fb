"""Prompts of the Bounce world: the words of the page's builder, and unseen ones by chance."""

from typing import Any

from data.bounce.config import WorldConfig
from data.bounce.prompts import make_prompts
from data.bounce.vocabulary import COLORS, DIRECTIONS, SHAPES, STILL

MOTIONS = {
    STILL: "stays still",
    **{name: f"moves {name}" for name in DIRECTIONS if "-" not in name},
    **{
        f"{height}-{side}": f"moves {height} and to the {side}"
        for height in ("up", "down")
        for side in ("right", "left")
    },
}
FLOORS = {"any floor": "", "plain": "on a plain floor", "wood": "on a wooden floor", "grass": "on a lawn"}
WORLD = WorldConfig(  # that of weights/small: configs/data/bounce_small.yaml
    max_objects=1,
    cameras=("static shot",),
    backgrounds=("plain", "wood", "grass"),
    spin_prob=0.0,
    appear_prob=0.0,
    vanish_prob=0.0,
)


def builder_words() -> dict[str, Any]:
    """Return the choices of the builder; values of motions and floors are their words in a prompt."""
    return {"colors": list(COLORS), "shapes": list(SHAPES), "motions": MOTIONS, "floors": FLOORS}


def build_prompt(color: str, shape: str, motion: str, *, bounces: bool = False, floor: str = "") -> str:
    """Return a prompt in the wording of training captions; the page's script builds the same text."""
    article = "an" if color[0] in "aeiou" else "a"
    clause = f"{article} {color} {shape} {MOTIONS[motion]}"
    if bounces and motion != STILL:
        clause += " and bounces off the wall"
    text = f"{FLOORS[floor]}, {clause}" if FLOORS.get(floor) else clause
    return f"Static shot. {text[0].upper()}{text[1:]}."


def random_prompt(seed: int) -> str:
    """Return a prompt for a combination that occurs in no training video."""
    return str(make_prompts(1, seed, WORLD, num_frames=16, height=64, width=64, fps=16)[0]["prompt"])
