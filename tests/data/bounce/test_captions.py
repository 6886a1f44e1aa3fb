import hashlib
import re

import pytest

from data.bounce.vocabulary import COLORS, STILL
from data.bounce.world import VideoFacts, WorldConfig, caption_variants, make_video

SIZE = {"num_frames": 16, "height": 16, "width": 16, "fps": 16.0}
REST = ("stays still", "rests in place", "does not move", "remains motionless")


@pytest.fixture(scope="module")
def captioned() -> list[tuple[VideoFacts, list[str]]]:
    all_facts = [make_video(s, WorldConfig(), **SIZE).facts for s in range(110)]
    return [(facts, caption_variants(facts)) for facts in all_facts]


def test_every_caption_tells_camera_subjects_and_motion(captioned):
    for facts, texts in captioned:
        for text in texts:
            assert text.startswith(facts.camera.capitalize() + ". ")
            assert text.endswith(".")
            for o in facts.objects:
                # the sentence whose subject is this object
                sentence = next(
                    s for s in re.split(r"(?<=\.) ", text) if _subject(s, f"{o.color}( \\w+)? {o.shape}")
                )
                assert any(rest in sentence for rest in REST) == (o.direction == STILL)
                for word in ("up", "down", "left", "right"):
                    assert _goes(sentence, word) == (word in o.direction.split("-")), sentence
                hits = re.search(r"bounces|rebounds|collides|until it is (hit|struck)", sentence)
                assert bool(hits) == o.bounces, sentence
                assert ("until it is" in sentence) == (o.bounces and o.direction == STILL)


def _subject(sentence: str, name: str) -> bool:
    return (
        re.match(rf"([Oo]n [^,]*, |[Ii]n [^,]*, )?(an?|the) (\S+ )?{name}\b", sentence, re.IGNORECASE)
        is not None
    )


def _goes(sentence: str, word: str) -> bool:
    clause = re.split(r" and (?:bounces|rebounds|collides)| until ", sentence)[0]
    if "from left to right" in clause:
        return word == "right"
    if "from right to left" in clause:
        return word == "left"
    clause = clause.replace("the upper ", "up and ").replace("the lower ", "down and ")
    return re.search(rf"\b{word}(wards)?\b", clause) is not None


def test_first_caption_is_plain():
    facts = make_video(0, WorldConfig(max_objects=1), **SIZE).facts
    o = facts.objects[0]
    assert caption_variants(facts)[0].startswith(f"{facts.camera.capitalize()}. A {o.color} {o.shape} ")


def test_wording_varies_in_words_and_length(captioned):
    lengths = [len(text.split()) for _, texts in captioned for text in texts]
    assert min(lengths) < 9
    assert max(lengths) > 45
    assert all(len(texts) == 6 for _, texts in captioned)
    verbs = {
        v
        for _, texts in captioned
        for t in texts
        for v in re.findall(r"glides|slides|travels|drifts|moves", t)
    }
    assert len(verbs) == 5


def test_captions_are_a_function_of_the_facts(captioned):
    for facts, texts in captioned[:20]:
        assert caption_variants(VideoFacts.from_dict(facts.to_dict())) == texts


def test_things_met_before_are_the_thing(captioned):
    hits = [texts[0] for facts, texts in captioned if any(i.kind == "object" for i in facts.impacts)]
    assert hits
    for text in hits:
        for name in re.findall(rf"\bthe ((?:{'|'.join(COLORS)}) \w+)", text):
            article = "an" if name[0] in "aeiou" else "a"
            known = re.search(rf"\b{article} {name}", text, re.IGNORECASE)
            assert known is not None
            assert known.start() < text.index(f"the {name}")


def test_images_have_no_motion_and_no_camera():
    for seed in range(20):
        facts = make_video(seed, WorldConfig(), num_frames=1, height=16, width=16, fps=16).facts
        for text in caption_variants(facts):
            assert text.startswith(("A picture of a", "A still image of a", "A photo of a"))
            assert not re.search("moves|still |shot|bounces|camera", text.removeprefix("A still image"))
            assert all(o.color in text and o.shape in text for o in facts.objects)


def test_golden_captions():
    """If they change, raise WORLD_VERSION: cached text is keyed by it."""
    said = "\n".join(
        t for s in range(6) for t in caption_variants(make_video(s, WorldConfig(), **SIZE).facts)
    )
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "cf12df789696d83e"
