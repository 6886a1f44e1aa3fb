"""Rewrite terse prompts as Bounce captions: a filter of lines.

    echo "red ball bouncing" | python -m data.bounce.prompt_rewriter [wording=long] [image=true]

Rules, no model: camera, objects and motions are parsed from the prompt; the rest is filled in (without a
word of motion the object stays still; a missing direction or color is sampled, always the same for the
same prompt); then the world's own captions describe it. Captions of any wording become plain wording with
the same meaning. A prompt that names no object of this world, or more than three, is returned unchanged.
"""

import sys
from dataclasses import dataclass
from typing import Literal

from data.bounce.captions import captions_by_wording
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.prompt_parser import Mention, Prompt, parse_prompt
from data.bounce.vocabulary import BACKGROUNDS, COLORS, DIRECTIONS, MATERIALS, SPEEDS, STILL
from data.bounce.world import WORLD_VERSION
from src.core import cli, config
from src.core.fields import Config, opt
from src.core.rng import key

MOST_OBJECTS = 3


@dataclass(frozen=True, kw_only=True)
class RewritingConfig(Config):
    """Wording of the captions."""

    wording: Literal["plain", "short", "long"] = opt(
        "plain", "plain: fixed short sentences; short, long: varied ones, always the same for a prompt"
    )
    image: bool = opt(False, "captions of images, with neither camera nor motion")


def rewrite(prompt: str, settings: RewritingConfig) -> str:
    """Return a prompt as a caption; unchanged where it is not about this world."""
    found = parse_prompt(prompt)
    if not 1 <= len(found.mentions) <= MOST_OBJECTS:
        return prompt
    seed = key(0, f"bounce/rewriting/{prompt}") % (1 << 51)
    facts = _facts(found, seed)
    choices = captions_by_wording(facts.as_image() if settings.image else facts, [settings.wording])
    return choices[seed % len(choices)]


def _facts(found: Prompt, seed: int) -> VideoFacts:
    """Return facts that agree with the prompt, the rest sampled; enough for captions, not for a video."""
    random = PortableRandom(seed, WORLD_VERSION + "/rewriting")
    partners = _partners(found.mentions)
    objects = tuple(_object(m, partners.get(i), random) for i, m in enumerate(found.mentions))
    background = found.background or random.pick(BACKGROUNDS)
    look = (found.camera or "static shot", background)
    return VideoFacts(WORLD_VERSION, seed, *look, 16, 64, 64, 16.0, objects, _impacts(objects, partners))


def _partners(mentions: list[Mention]) -> dict[int, int | None]:
    """Return what each bouncing object bounces off: another's index, or None for a wall. Hits are mutual."""
    partners = {i: m.partner for i, m in enumerate(mentions) if m.bounces}
    for i, other in list(partners.items()):
        if other is not None:
            partners.setdefault(other, i)
    return partners


def _object(mention: Mention, struck_by: int | None, random: PortableRandom) -> ObjectFacts:
    struck = struck_by is not None and not mention.bounces
    moves = mention.moves and not struck
    direction = mention.direction or (random.pick(tuple(DIRECTIONS)) if moves else STILL)
    bounces = mention.bounces or struck
    return ObjectFacts(
        shape=mention.shape,
        color=mention.color or random.pick(tuple(COLORS)),
        size=mention.size or "medium",
        material=mention.material or random.pick(MATERIALS),
        direction=direction,
        speed=STILL if direction == STILL else mention.speed or random.pick(tuple(SPEEDS)),
        bounces=bounces,
        spin=mention.spin,
        appears=mention.appears,
        vanishes=mention.vanishes,
    )


def _impacts(objects: tuple[ObjectFacts, ...], partners: dict[int, int | None]) -> tuple[Impact, ...]:
    """Return every object's first impact; an earlier impact of its partner comes first."""
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
    """Rewrite every line of standard input to one line of standard output."""
    settings = config.from_command_line(RewritingConfig, argv, __doc__)
    if settings is None:
        return
    for line in sys.stdin:
        print(rewrite(line.rstrip("\n"), settings))


if __name__ == "__main__":
    sys.exit(cli.run(main))
