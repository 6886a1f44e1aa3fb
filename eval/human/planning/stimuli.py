"""Requests for media: which clip, degraded how, made alike to the other clips of which prompt."""

import hashlib
from dataclasses import dataclass

from eval.human.degradations import REPLACEMENTS
from eval.human.planning.samples import Clips
from eval.human.schema import Axis
from src.core.rng import key, numpy_generator


@dataclass(frozen=True)
class Stimulus:
    """One file to prepare: the clip of `system` for `sample`, degraded, in the format of its prompt.

    `copy` tells apart files with equal contents. With a replacement as `degradation`, `other` is the sample
    whose clip or audio is used. `role`: "clip", or "source" and "reference" for what is shown next to clips.
    """

    sample: str
    system: str
    medium: str
    degradation: str = ""
    other: str = ""
    copy: int = 0
    role: str = "clip"

    def media_id(self, seed: int) -> str:
        """Return the opaque id, which is also the name of the file."""
        return opaque_id(seed, "media", *map(str, vars(self).values()))


@dataclass(frozen=True)
class Degraded:
    """A clip and its degraded copy."""

    sample: str
    system: str
    clip: Stimulus
    degraded: Stimulus


def opaque_id(seed: int, *parts: str) -> str:
    """Return 16 hexadecimal digits that say nothing about the parts they are derived from."""
    return hashlib.blake2b("\0".join((str(seed), *parts)).encode(), digest_size=8).hexdigest()


def degraded_pairs(clips: Clips, axis: Axis, degradation: str, num: int, seed: int) -> list[Degraded]:
    """Return at most `num` pairs of a clip and its degraded copy, spread over systems and prompts.

    Axes that share a degradation and a medium get the same pairs, so that nothing is encoded twice.
    """
    rng = numpy_generator(seed, f"human/degraded/{degradation}/{axis.media}")
    names = list(clips)
    systems = list(clips[names[0]])
    choices = [(names[index], system) for index in rng.permutation(len(names)) for system in systems]
    # every prompt once, with alternating systems, before a prompt comes a second time
    at = {name: index for index, name in enumerate(names)}
    choices.sort(key=lambda choice: (systems.index(choice[1]) - at[choice[0]]) % len(systems))
    pairs = []
    for sample, system in choices[:num]:
        other = ""
        if degradation in REPLACEMENTS and degradation != "unedited":
            others = [name for name in names if name != sample]
            if not others:
                return []
            other = others[key(seed, f"human/other/{degradation}/{sample}/{system}") % len(others)]
        clip = Stimulus(sample, system, axis.media)
        pairs.append(
            Degraded(
                sample,
                system,
                clip,
                Stimulus(sample, system, axis.media, degradation=degradation, other=other),
            )
        )
    return pairs
