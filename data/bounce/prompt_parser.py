"""What a sentence about the Bounce world says: camera, objects, and what each of them does.

A small grammar over words, made for terse prompts and for the world's own captions. An object is a shape's
name with the colour and adjectives before it; the words up to the next object are about it. An object
after "off", "with", "by" is what the one before it meets.
"""

import re
from dataclasses import dataclass, field

from data.bounce.vocabulary import CAMERAS, COLORS, MATERIALS, SHAPES, STILL

_SHAPES = {s: s for s in SHAPES}
_SHAPES |= dict.fromkeys(("ball", "disc", "disk", "dot"), "circle") | {"box": "square", "cube": "square"}
_SHAPES |= dict.fromkeys(("donut", "doughnut", "hoop"), "ring") | {"plus": "cross"}
_PLURALS = {f"{word}es" if word[-1] in "sx" else f"{word}s": shape for word, shape in _SHAPES.items()}
_COLOURS = {c: c for c in COLORS} | {"violet": "purple", "turquoise": "cyan"}
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
    """One object as a prompt names it; None and False: nothing is said."""

    shape: str
    colour: str | None = None
    size: str | None = None
    material: str | None = None
    partner: int | None = None  # index of the object that it bounces off; None: a wall
    words: list[str] = field(default_factory=list)  # what is said about it

    def says(self, meaning: str) -> bool:
        """Whether a word about it has a meaning (a pattern of whole words)."""
        return any(re.fullmatch(meaning, word) for word in self.words)

    def which(self, meanings: dict[str, str]) -> str | None:
        """The meaning of the first word about it that has one."""
        found = (name for word in self.words for name, m in meanings.items() if re.fullmatch(m, word))
        return next(found, None)

    @property
    def direction(self) -> str | None:
        """Its course, "still", or None where nothing tells."""
        course = "-".join(filter(None, (self.which(_HEIGHTS), self.which(_SIDES))))
        return course or (STILL if self.says(_STILL) else None)

    @property
    def speed(self) -> str | None:
        return self.which(_SPEEDS)

    @property
    def bounces(self) -> bool:
        return self.says(_BOUNCES)

    @property
    def moves(self) -> bool:
        return self.says(_MOVES) or self.bounces

    @property
    def spin(self) -> bool:
        return self.says(_SPINS)

    @property
    def appears(self) -> bool:
        return self.says(_APPEARS)

    @property
    def vanishes(self) -> bool:
        return self.says(_VANISHES)


@dataclass(frozen=True)
class Prompt:
    """What was read. `camera` and `background`: words of the vocabulary, None where nothing is said."""

    camera: str | None
    background: str | None
    mentions: list[Mention]


def read(prompt: str) -> Prompt:
    """Read one prompt; words that mean nothing here are passed over."""
    text = prompt.lower()
    camera, text = _camera(text)
    background = next((name for name, words in _BACKGROUNDS.items() if re.search(words, text)), None)
    text = text.replace("from left to right", "right").replace("from right to left", "left")
    text = _WALL.sub(" wall", text)
    return Prompt(camera, background, _mentions(re.findall(r"[a-z0-9]+", text)))


def _camera(text: str) -> tuple[str | None, str]:
    """The camera's label, and the text without what is said about the camera."""
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
    start = 0  # of what is said about the subject
    for at, word in enumerate(words):
        first = _first_adjective(words, at, start)
        before = words[first:at]
        plural = word in _PLURALS and bool(_COUNTS.keys() & set(before) or _COLOURS.keys() & set(before))
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
    """Where the words begin that describe the shape at a place."""
    known = _COLOURS.keys() | _SIZES.keys() | _COUNTS.keys() | set(MATERIALS) | {"sized"}
    while at > start and words[at - 1] in known:
        at -= 1
    return at


def _add(mentions: list[Mention], word: str, before: list[str], article: str) -> int:
    """The index of the object meant: a known one, or one more (or as many as are counted)."""
    shape = _SHAPES.get(word) or _PLURALS[word]
    colour = next((_COLOURS[w] for w in before if w in _COLOURS), None)
    count = next((_COUNTS[w] for w in before if w in _COUNTS), 1)
    if article not in ("a", "an") and count == 1:
        for index, known in enumerate(mentions):
            if known.shape == shape and colour in (known.colour, None):
                return index
    size = next((_SIZES[w] for w in before if w in _SIZES), None)
    material = next((w for w in before if w in MATERIALS), None)
    shared: list[str] = []
    mentions += [Mention(shape, colour, size, material, words=shared) for _ in range(count)]
    return len(mentions) - count
