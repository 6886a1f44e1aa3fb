"""Audio captions from ground truth: what is heard, in the four sentences of `src.core.audio_caption`.

Objects that make no sound are not mentioned. Materials and sizes are named by object, with the looks that
tell objects apart in a video; audio without video has no looks. Every choice of words is drawn from the
video's own seed.
"""

from collections import Counter
from collections.abc import Iterable

from data.bounce.captions import add_article, join_items, upper_first
from data.bounce.config import WORDINGS
from data.bounce.facts import MusicFacts, VideoFacts
from data.bounce.music_vocabulary import TEMPOS
from data.bounce.portable_random import PortableRandom
from src.core.audio_caption import NO_MUSIC, AudioCaption

MUSIC_LIKELIHOOD = {True: 0.99, False: 0.01}
NUM_LONG = 2  # captions in long wording
_AMBIENCE = {
    "plain": ("the quiet of an empty room", "faint room tone"),
    "tiles": ("the hum of lamps in a hall", "humming lamps in a large hall"),
    "wood": ("a crackling fireplace", "a fire crackling in the fireplace"),
    "grass": ("wind and singing birds", "birds singing in the wind"),
    "sand": ("the surf of the sea", "waves breaking on a beach"),
    "bricks": ("street noise", "the rumble of a street"),
    "carpet": ("the hum of ventilation", "a ventilation humming"),
}
_TIMES = {1: "once", 2: "twice"}
_WALL = ("hits a wall", "strikes a wall", "knocks against a wall")
_MEET = ("hit each other", "collide", "knock together")


def audio_captions(
    facts: VideoFacts, wordings: Iterable[str] = WORDINGS, with_looks: bool = True
) -> list[str]:
    """Return captions from short to long; `with_looks` names the color and shape of objects too."""
    random = PortableRandom(facts.seed, facts.version + "/audio captions")
    music = describe_music(facts.music) if facts.music else NO_MUSIC
    out = []
    for name, count in (("plain", 1), ("short", 1), ("long", NUM_LONG)):
        texts = [_description(facts, random, name, with_looks) for _ in range(count)]
        out += texts if name in wordings else []
    return [
        AudioCaption(
            description=text,
            quality=facts.audio.quality if facts.audio else 8.0,
            music_likelihood=MUSIC_LIKELIHOOD[facts.music is not None],
            music_description=music,
        ).text()
        for text in out
    ]


def describe_music(music: MusicFacts) -> str:
    """Return one sentence with instrument, tempo, key and mood."""
    return (
        f"{upper_first(add_article(music.mood))} {music.instrument} piece in {music.key} at a "
        f"{TEMPOS[music.tempo_bpm]} tempo of {music.tempo_bpm} beats per minute"
    )


def _description(facts: VideoFacts, random: PortableRandom, wording: str, with_looks: bool) -> str:
    clauses = _impact_clauses(facts, random, wording, with_looks)
    ambience = ""
    if "ambience" in facts.audio_parts:
        choices = _AMBIENCE[facts.background]
        ambience = choices[0] if wording == "plain" else random.pick(choices)
    music = "music" if facts.music else ""
    behind = " and ".join(filter(None, (ambience, music)))
    if not clauses:
        return upper_first(behind or "silence")
    text = "; ".join(clauses)
    if not behind:
        return upper_first(text)
    if wording == "long" and random.chance(0.5):
        return f"{upper_first(behind)}, over which {text}"
    return f"{upper_first(text)}, with {behind} in the background"


def _impact_clauses(facts: VideoFacts, random: PortableRandom, wording: str, with_looks: bool) -> list[str]:
    """Return a clause for each object that hits walls, and for each pair that collides."""
    hits = Counter(impact.objects for impact in facts.impacts if "impacts" in facts.audio_parts)
    names = {i: _name(facts, i, random, wording, with_looks) for i in facts.heard_objects}
    clauses = []
    for objects, count in sorted(hits.items(), key=lambda each: (len(each[0]), each[0])):
        verb = (_WALL if len(objects) == 1 else _MEET)[0 if wording == "plain" else random.integer(0, 2)]
        times = _TIMES.get(count, f"{count} times")
        ending = f" {times}" if wording != "long" or random.chance(0.5) else ""
        clauses.append(f"{join_items(names[i] for i in objects)} {verb}{ending}")
    return clauses


def _name(facts: VideoFacts, index: int, random: PortableRandom, wording: str, with_looks: bool) -> str:
    one = facts.objects[index]
    sizes = {"small": ("small", "little"), "medium": ("medium-sized",), "large": ("large", "big")}[one.size]
    size = sizes[0] if wording == "plain" else random.pick(sizes)
    looks = (one.color, one.material, one.shape) if with_looks else (one.material, "object")
    return add_article(" ".join((size, *looks)))
