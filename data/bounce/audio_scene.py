"""Sample scenes by what is heard: parts, music, number of impacts, combinations kept for tests."""

import hashlib
from dataclasses import replace

from data.bounce.audio import HIGH_QUALITY, LOW_QUALITY
from data.bounce.audio_config import AudioContentConfig
from data.bounce.config import WorldConfig
from data.bounce.facts import AudioFacts, VideoFacts
from data.bounce.music import compose, mood_of_background
from data.bounce.portable_random import PortableRandom
from data.bounce.scene import Scene, sample_scene
from src.core.errors import UserError

TEST_ONE_IN = 8
SEED_STEP = 1 << 44  # between the seeds tried for one video, beyond all first ones
MAX_TRIES = 200


def sample_audio_scene(
    seed: int,
    version: str,
    world: WorldConfig,
    audio: AudioContentConfig,
    num_frames: int,
    height: int,
    width: int,
    fps: float,
) -> Scene:
    """Return the first scene of seed, seed + SEED_STEP, ... with the audio that the config asks for.

    Raises:
        UserError: none of 200 is, or the world allows no scene.
    """
    for number in range(MAX_TRIES):
        scene = sample_scene(seed + number * SEED_STEP, version, world, num_frames, height, width, fps)
        facts = add_audio(scene.facts, audio)
        if is_in_audio(facts, audio):
            return replace(scene, facts=facts)
    raise UserError(
        f"no video for seed {seed} in {MAX_TRIES} tries: min_impacts={audio.min_impacts}, "
        f"max_impacts={audio.max_impacts} or split={audio.split!r} of its audio leave too few"
    )


def add_audio(facts: VideoFacts, audio: AudioContentConfig) -> VideoFacts:
    """Return facts with the content of their audio, drawn from their own seed."""
    random = PortableRandom(facts.seed, facts.version + "/quality")
    quality = LOW_QUALITY if random.chance(audio.low_quality_prob) else HIGH_QUALITY
    music = None
    if "music" in audio.parts:
        mood = mood_of_background(facts.background) if audio.music_mood == "background" else ""
        music = compose(facts.seed, facts.version, mood, audio.instruments)
    return replace(facts, audio=AudioFacts(audio.parts, quality, music))


def is_in_audio(facts: VideoFacts, audio: AudioContentConfig) -> bool:
    """Return whether facts are in the distribution of audio that a config describes."""
    few = len(facts.impacts) < audio.min_impacts
    many = 0 <= audio.max_impacts < len(facts.impacts)
    return not few and not many and (audio.split == "all" or is_test_audio(facts) == (audio.split == "test"))


def audio_combination(facts: VideoFacts) -> tuple:
    """Return what every caption of the audio states: materials and sizes heard, ambience, music.

    The split into training videos and test prompts hashes its `repr`, so its form must not change.
    """
    heard = sorted((facts.objects[i].material, facts.objects[i].size) for i in facts.heard_objects)
    ambience = facts.background if "ambience" in facts.audio_parts else ""
    music = (facts.music.instrument, facts.music.tempo_bpm) if facts.music else ()
    return (heard, ambience, music)


def is_test_audio(facts: VideoFacts) -> bool:
    """Return whether the combination is reserved for tests; ambience alone never is."""
    heard, ambience, music = audio_combination(facts)
    if not heard and not music:
        return False
    digest = hashlib.blake2b(repr((heard, ambience, music)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") % TEST_ONE_IN == 0
