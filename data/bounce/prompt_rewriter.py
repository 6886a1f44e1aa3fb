"""Terse prompts in the words of Bounce captions: a filter of lines.

    echo "red ball bouncing" | python -m data.bounce.prompt_rewriter [wording=long] [picture=true]

Rules, no model: the camera, the objects and what each does are read from the prompt; what it leaves open
is decided (no word of motion: the object stays still; a motion without a course, a shape without a colour:
drawn, always the same for the same prompt); then the world's own captions tell it. Captions of any wording
come out in plain wording with the same meaning. A prompt that names no object of this world, or more than
three, comes out as it went in.
"""

import sys
from dataclasses import dataclass
from typing import Literal

from data.bounce.captions import worded
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.prompt_parser import Mention, Prompt, read
from data.bounce.vocabulary import BACKGROUNDS, COLORS, DIRECTIONS, MATERIALS, SPEEDS, STILL
from data.bounce.world import WORLD_VERSION
from src.core import cli, config
from src.core.fields import opt
from src.core.rng import key

MOST_OBJECTS = 3


@dataclass(frozen=True, kw_only=True)
class RewritingConfig:
    """How the captions sound."""

    wording: Literal["plain", "short", "long"] = opt(
        "plain", "plain: fixed short sentences; short, long: varied ones, always the same for a prompt"
    )
    picture: bool = opt(False, "captions of pictures, which tell of neither camera nor motion")


def rewrite(prompt: str, settings: RewritingConfig) -> str:
    """One prompt as a caption; itself where it is not about this world."""
    found = read(prompt)
    if not 1 <= len(found.mentions) <= MOST_OBJECTS:
        return prompt
    seed = key(0, f"bounce/rewriting/{prompt}") % (1 << 51)
    facts = _facts(found, seed)
    choices = worded(facts.as_image() if settings.picture else facts, [settings.wording])
    return choices[seed % len(choices)]


def _facts(found: Prompt, seed: int) -> VideoFacts:
    """Facts that say what the prompt says, the rest drawn; enough for captions, not a film's truth."""
    dice = PortableRandom(seed, WORLD_VERSION + "/rewriting")
    partners = _partners(found.mentions)
    objects = tuple(_object(m, partners.get(i), dice) for i, m in enumerate(found.mentions))
    background = found.background or dice.pick(BACKGROUNDS)
    look = (found.camera or "static shot", background)
    return VideoFacts(WORLD_VERSION, seed, *look, 16, 64, 64, 16.0, objects, _impacts(objects, partners))


def _partners(mentions: list[Mention]) -> dict[int, int | None]:
    """What each bouncing object bounces off: another's index, or None for a wall. Hits are mutual."""
    partners = {i: m.partner for i, m in enumerate(mentions) if m.bounces}
    for i, other in list(partners.items()):
        if other is not None:
            partners.setdefault(other, i)
    return partners


def _object(mention: Mention, struck_by: int | None, dice: PortableRandom) -> ObjectFacts:
    struck = struck_by is not None and not mention.bounces
    moves = mention.moves and not struck
    direction = mention.direction or (dice.pick(tuple(DIRECTIONS)) if moves else STILL)
    bounces = mention.bounces or struck
    return ObjectFacts(
        shape=mention.shape,
        colour=mention.colour or dice.pick(tuple(COLORS)),
        size=mention.size or "medium",
        material=mention.material or dice.pick(MATERIALS),
        direction=direction,
        speed=STILL if direction == STILL else mention.speed or dice.pick(tuple(SPEEDS)),
        bounces=bounces,
        spin=mention.spin,
        appears=mention.appears,
        vanishes=mention.vanishes,
    )


def _impacts(objects: tuple[ObjectFacts, ...], partners: dict[int, int | None]) -> tuple[Impact, ...]:
    """Every object's first impact; what an object's partner met before comes before."""
    impacts: list[Impact] = []
    done: set[int] = set()

    def add(index: int) -> None:
        if index in done:
            return
        done.add(index)
        other = partners[index]
        if other is None:
            dx, dy = DIRECTIONS.get(objects[index].direction, (0.0, 0.0))
            at = (0.5 + dx / 2, 0.5 + dy / 2)
            impacts.append(Impact(0.5, "wall", (index,), 0.5, at))
        else:
            add(other)
            impacts.append(Impact(0.5, "object", (index, other), 0.5, (0.5, 0.5)))

    for index in partners:
        add(index)
    return tuple(impacts)


def main(argv: list[str]) -> None:
    """Every line of the standard input to one line of the standard output."""
    settings = config.from_command_line(RewritingConfig, argv, __doc__)
    if settings is None:
        return
    for line in sys.stdin:
        print(rewrite(line.rstrip("\n"), settings))


if __name__ == "__main__":
    sys.exit(cli.run(main))
