"""Parse a sentence about the Bounce world: camera, objects, and their motions.

A small grammar over words, for terse prompts and for the world's own captions. An object is a shape's
name with the color and adjectives before it; the words up to the next object describe it. An object
after "off", "with", "by" is the one that the object before it meets.
"""

import re
from dataclasses import dataclass, field

from data.bounce.vocabulary import CAMERAS, COLORS, MATERIALS, SHAPES, STILL

_SHAPES = {s: s for s in SHAPES}
_SHAPES |= dict.fromkeys(("ball", "disc", "disk", "dot"), "circle") | {"box": "square", "cube": "square"}
_SHAPES |= dict.fromkeys(("donut", "doughnut", "hoop"), "ring") | {"plus": "cross"}
_PLURALS = {f"{word}es" if word[-1] in "sx" else f"{word}s": shape for word, shape in _SHAPES.items()}
_COLORS = {c: c for c in COLORS} | {"violet": "purple", "turquoise": "cyan"}
_SIZES = dict.fromkeys(("small", "little", "tiny"), "small") | {"medium": "medium"}
_SIZES |= dict.fromkeys(("large", "big"), "large")
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "2": 2, "3": 3, "4": 4, "5": 5}
_SIDES = {"right": r"right(wards?)?", "left": r"left(wards?)?"}
_HEIGHTS = {
    "up": r"up(wards?|per)?|ris(es|ing)|climb(s|ing)",
    "down": r"down(wards?)?|lower|(fall|drop)p?(s|ing)",
}
_STILL = r"still|stays|rest(s|ing)|motionless|remains|sits|not"
_MOVES = r"(mov|glid|slid)(es?|ing)|(travell?|drift|roll|float|fly|go|cross)(e?s|ing)?|flies"
_BOUNCES = r"(bounc|rebound|collid|strik)(es?|s|ing)|(hit|crash)t?(e?s|ing)?|struck"
_MEETS = r"off|with|by|into|against|hit(s|ting)|strik(es|ing)"
_SPEEDS = {"slow": r"slow(ly)?", "medium": r"steadily", "fast": r"fast|quickly"}
_SPINS = r"spin(s|ning)|rotat(es|ing)"
_APPEARS = r"appear(s|ing)"
_VANISHES = r"vanish(es|ing)|disappear(s|ing)|shrinks"
_BACKGROUNDS = {
    "plain": r"plain (grey )?(room|floor)",
    "tiles": r"tiled floor|tiles",
    "bricks": r"bricks?\b",
    "sand": r"sandy?\b",
    "wood": r"wooden floor|floorboards",
    "grass": r"lawn|grass",
    "carpet": r"carpet",
}
_CAMERA = re.compile(
    r"\b(?P<move>pan|tilt|zoom)(?:n?ing|s)?(?: to the| towards the)? (?P<way>right|left|up|down|in|out)\b"
)
_SENTENCE = re.compile(
    r"\bthe camera\b[^.]*|\b(static|handheld|still) (shot|camera|image|picture)\b|\bhandheld\b"
)
_WALL = re.compile(r"\b(?:the )?(?:left|right|upper|lower)? ?walls?\b")


@dataclass
class Mention:
    """One object of a prompt; None and False where the prompt is silent."""

    shape: str
    color: str | None = None
    size: str | None = None
    material: str | None = None
    partner: int | None = None  # index of the object that it bounces off; None: a wall
    words: list[str] = field(default_factory=list)  # that describe it

    def matches(self, meaning: str) -> bool:
        """Return whether a describing word matches a pattern."""
        return any(re.fullmatch(meaning, word) for word in self.words)

    def first_match(self, meanings: dict[str, str]) -> str | None:
        """Return the name of the pattern that the first matching word matches."""
        found = (name for word in self.words for name, m in meanings.items() if re.fullmatch(m, word))
        return next(found, None)

    @property
    def direction(self) -> str | None:
        """One of DIRECTIONS, "still", or None where the prompt is silent."""
        course = "-".join(filter(None, (self.first_match(_HEIGHTS), self.first_match(_SIDES))))
        return course or (STILL if self.matches(_STILL) else None)

    @property
    def speed(self) -> str | None:
        return self.first_match(_SPEEDS)

    @property
    def bounces(self) -> bool:
        return self.matches(_BOUNCES)

    @property
    def moves(self) -> bool:
        return self.matches(_MOVES) or self.bounces

    @property
    def spin(self) -> bool:
        return self.matches(_SPINS)

    @property
    def appears(self) -> bool:
        return self.matches(_APPEARS)

    @property
    def vanishes(self) -> bool:
        return self.matches(_VANISHES)


@dataclass(frozen=True)
class Prompt:
    """A parsed prompt; `camera` and `background` are None where it is silent."""

    camera: str | None
    background: str | None
    mentions: list[Mention]


def parse_prompt(prompt: str) -> Prompt:
    """Parse one prompt; unknown words are skipped."""
    text = prompt.lower()
    camera, text = _camera(text)
    background = next((name for name, words in _BACKGROUNDS.items() if re.search(words, text)), None)
    text = text.replace("from left to right", "right").replace("from right to left", "left")
    text = _WALL.sub(" wall", text)
    return Prompt(camera, background, _mentions(re.findall(r"[a-z0-9]+", text)))


def _camera(text: str) -> tuple[str | None, str]:
    """Return the camera's label, and the text without the words about the camera."""
    found = _CAMERA.search(text)
    label = f"{found['move']} {found['way']}" if found else None
    if label not in CAMERAS:
        held = re.search(r"\bhandheld\b|camera shakes", text)
        still = re.search(r"\bstatic (shot|camera)\b|camera does not move", text)
        label = "handheld shot" if held else "static shot" if still else None
    return label, _SENTENCE.sub(" ", _CAMERA.sub(" ", text))


def _mentions(words: list[str]) -> list[Mention]:
    mentions: list[Mention] = []
    subject: Mention | None = None
    start = 0  # of the words that describe the subject
    for at, word in enumerate(words):
        first = _first_adjective(words, at, start)
        before = words[first:at]
        plural = word in _PLURALS and bool(_COUNTS.keys() & set(before) or _COLORS.keys() & set(before))
        if word not in _SHAPES and not plural:
            continue
        lead = words[start:first]
        article = lead.pop() if lead and lead[-1] in ("a", "an", "the") else ""
        if subject is not None:
            subject.words += lead
        index = _add(mentions, word, before, article)
        if subject is not None and lead and re.fullmatch(_MEETS, lead[-1]):
            subject.partner = index
        else:
            subject = mentions[index]
        start = at + 1
    if subject is not None:
        subject.words += words[start:]
    return mentions


def _first_adjective(words: list[str], at: int, start: int) -> int:
    """Return the index of the first adjective of the shape at index `at`."""
    known = _COLORS.keys() | _SIZES.keys() | _COUNTS.keys() | set(MATERIALS) | {"sized"}
    while at > start and words[at - 1] in known:
        at -= 1
    return at


def _add(mentions: list[Mention], word: str, before: list[str], article: str) -> int:
    """Return the index of the object: a known one, or a new one (or as many as are counted)."""
    shape = _SHAPES.get(word) or _PLURALS[word]
    color = next((_COLORS[w] for w in before if w in _COLORS), None)
    count = next((_COUNTS[w] for w in before if w in _COUNTS), 1)
    if article not in ("a", "an") and count == 1:
        for index, known in enumerate(mentions):
            if known.shape == shape and color in (known.color, None):
                return index
    size = next((_SIZES[w] for w in before if w in _SIZES), None)
    material = next((w for w in before if w in MATERIALS), None)
    shared: list[str] = []
    mentions += [Mention(shape, color, size, material, words=shared) for _ in range(count)]
    return len(mentions) - count
