"""Captions of Bounce videos in the paper's style: camera label first, then the motion.

Every caption, short or long, names the camera's move and each object's color, shape and motion
(direction or rest, and whether it bounces): everything that the checker scores. Size, speed, spin,
background and material come with length. The wording is sampled from the video's own seed.
"""

from collections.abc import Iterable

from data.bounce.config import WORDINGS
from data.bounce.facts import ObjectFacts, VideoFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.vocabulary import STILL

_COURSE = {
    "right": ("right", "to the right", "from left to right"),
    "left": ("left", "to the left", "from right to left"),
    "up": ("up", "upwards", "straight up"),
    "down": ("down", "downwards", "straight down"),
    "up-right": ("up and to the right", "diagonally up and to the right", "towards the upper right"),
    "up-left": ("up and to the left", "diagonally up and to the left", "towards the upper left"),
    "down-right": ("down and to the right", "diagonally down and to the right", "towards the lower right"),
    "down-left": ("down and to the left", "diagonally down and to the left", "towards the lower left"),
}
_VERBS = ("moves", "glides", "slides", "travels", "drifts")
_SPEED = {"slow": ("slowly", "at a slow pace"), "medium": ("steadily",), "fast": ("quickly", "fast")}
_REST = ("stays still", "rests in place", "does not move", "remains motionless")
_LOCATION = {
    "plain": ("in a plain grey room", "on a plain floor"),
    "tiles": ("on a tiled floor", "in a room with checkered tiles"),
    "wood": ("on a wooden floor", "on dark floorboards"),
    "grass": ("on a lawn", "on dark green grass"),
    "sand": ("on rippled sand", "on a sandy beach"),
    "bricks": ("in front of a brick wall", "on a floor of bricks"),
    "carpet": ("on a dotted carpet", "on a dark carpet with dots"),
}
_MOVE = {
    "pan right": "The camera pans to the right",
    "pan left": "The camera pans to the left",
    "tilt up": "The camera tilts up",
    "tilt down": "The camera tilts down",
    "zoom in": "The camera zooms in",
    "zoom out": "The camera zooms out",
    "handheld shot": "The camera shakes a little, as if held by hand",
    "static shot": "The camera does not move",
}
_NUMBER = {1: "one", 2: "two", 3: "three"}


def caption_variants(facts: VideoFacts) -> list[str]:
    """Return captions from short to long; the first is in fixed plain wording, the others vary.

    Captions of videos (six) start with the camera label ("Pan right. ..."); those of images (five) have
    neither label nor motion.
    """
    random = PortableRandom(facts.seed, facts.version + "/captions")
    if facts.is_image:
        return [_image_caption(facts, random, detail) for detail in (0, 1, 1, 2, 2)]
    label = facts.camera.capitalize() + ". "
    return [label + CaptionBuilder(facts, random, detail).text() for detail in (0, 1, 1, 2, 2, 3)]


_WORDING_SLICES = {
    "plain": slice(0, 1),
    "short": slice(1, 3),
    "long": slice(3, None),
}  # in `caption_variants`, by wording


def captions_by_wording(facts: VideoFacts, wordings: Iterable[str]) -> list[str]:
    """Return the captions in the chosen wordings (of `WORDINGS`), from short to long."""
    every = caption_variants(facts)
    return [caption for name in WORDINGS if name in wordings for caption in every[_WORDING_SLICES[name]]]


def add_article(words: str) -> str:
    """Return words with an indefinite article."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def join_items(items: Iterable[str]) -> str:
    """Return items with commas and "and"."""
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last


def upper_first(text: str) -> str:
    """Return a text that begins with a capital."""
    return text[0].upper() + text[1:]


def _short_name(o: ObjectFacts) -> str:
    return f"{o.color} {o.shape}"


def _name(o: ObjectFacts, random: PortableRandom, detail: int) -> str:
    size = {"small": ("small", "little"), "medium": ("medium-sized",), "large": ("large", "big")}[o.size]
    words = [random.pick(size)] if detail and (o.size != "medium" or detail > 1) else []
    words.append(o.color)
    if detail > 2 or (detail == 2 and random.chance(0.4)):
        words.append(o.material)
    return " ".join([*words, o.shape])


def _image_caption(facts: VideoFacts, random: PortableRandom, detail: int) -> str:
    names = join_items(add_article(_name(o, random, detail)) for o in facts.objects)
    clause = f" {random.pick(_LOCATION[facts.background])}" if detail else ""
    opening = (
        "A picture of" if not detail else random.pick(("A picture of", "A still image of", "A photo of"))
    )
    return f"{opening} {names}{clause}."


class CaptionBuilder:
    """One caption: `detail` 0 is fixed wording, 1 short, 2 medium, 3 long."""

    def __init__(self, facts: VideoFacts, random: PortableRandom, detail: int) -> None:
        self.facts, self.random, self.detail = facts, random, detail
        self.mentioned: set[int] = set()

    def text(self) -> str:
        sentences = [self._object(i) for i in range(len(self.facts.objects))]
        if self.detail:
            clause = self.random.pick(_LOCATION[self.facts.background])
            if self.detail > 1 or self.random.chance(0.5):
                sentences[0] = f"{clause}, {sentences[0]}"
        if self.detail == 3:
            count = len(self.facts.objects)
            plural = "s" if count > 1 else ""
            sentences.insert(
                0, f"there {'are' if plural else 'is'} {_NUMBER[count]} object{plural} in the room"
            )
            sentences.append(_MOVE[self.facts.camera])
        return " ".join(upper_first(s) + "." for s in sentences)

    def _object(self, index: int) -> str:
        o, random = self.facts.objects[index], self.random
        name = self._mention(index, _name(o, random, self.detail))
        manner = (
            f" {random.pick(_SPEED[o.speed])}"
            if o.speed != STILL and self.detail and random.chance(0.6)
            else ""
        )
        if o.direction == STILL:
            motion = random.pick(_REST) if self.detail else _REST[0]
        else:
            course = random.pick(_COURSE[o.direction]) if self.detail else _COURSE[o.direction][0]
            motion = f"{random.pick(_VERBS) if self.detail else _VERBS[0]}{manner} {course}"
        motion = f"{motion}{self._bounce(index)}"
        if o.spin and self.detail:
            motion += (
                random.pick((" while spinning", ", spinning as it goes"))
                if o.direction != STILL
                else " but spins"
            )
        parts = [motion]
        if o.appears:
            parts.insert(0, "appears")
        if o.vanishes:
            parts.append(
                "vanishes" if not self.detail else random.pick(("vanishes", "disappears", "shrinks away"))
            )
        return f"{name} {join_items(parts)}"

    def _mention(self, index: int, name: str) -> str:
        """Return 'a red star' the first time, 'the red star' afterwards."""
        known = index in self.mentioned
        self.mentioned.add(index)
        return f"the {name}" if known else add_article(name)

    def _bounce(self, index: int) -> str:
        """Return the clause about the object's first impact."""
        o, random = self.facts.objects[index], self.random
        if not o.bounces:
            return ""
        hit = next(impact for impact in self.facts.impacts if index in impact.objects)
        if hit.kind == "wall":
            wall = (
                random.pick(("the wall", f"the {self._wall(hit.position)} wall"))
                if self.detail
                else "the wall"
            )
            return f" and {random.pick(('bounces', 'rebounds')) if self.detail else 'bounces'} off {wall}"
        met = hit.objects[0] if hit.objects[1] == index else hit.objects[1]
        other = self._mention(met, _short_name(self.facts.objects[met]))
        if o.direction == STILL:
            verb = random.pick(("hit", "struck")) if self.detail else "hit"
            return f" until it is {verb} by {other}"
        verb = random.pick(("bounces off", "collides with")) if self.detail else "bounces off"
        return f" and {verb} {other}"

    def _wall(self, position: tuple[float, float]) -> str:
        unit = min(self.facts.height, self.facts.width)
        gaps = {
            "left": abs(position[0]),
            "right": abs(self.facts.width / unit - position[0]),
            "upper": abs(position[1]),
            "lower": abs(self.facts.height / unit - position[1]),
        }
        return min(gaps, key=lambda k: gaps[k])
