"""Content that is heard: parts, stems, music, quality, captions, and the combinations kept for tests."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from data.bounce.audio import SAMPLE_RATE, narrow_band, render_audio, render_stems
from data.bounce.audio_captions import audio_captions
from data.bounce.audio_config import AudioContentConfig
from data.bounce.audio_scene import audio_combination, is_test_audio, sample_audio_scene
from data.bounce.config import WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.music_vocabulary import PARTS
from data.bounce.world import WORLD_VERSION, make_video
from src.core.audio_caption import AudioCaption
from src.core.errors import UserError

WORLD = WorldConfig(max_objects=2, cameras=("static shot",), appear_prob=0.0, vanish_prob=0.0)
ALL = AudioContentConfig(parts=PARTS)


def facts_of(seed: int, audio: AudioContentConfig = ALL, world: WorldConfig = WORLD) -> VideoFacts:
    return sample_audio_scene(seed, WORLD_VERSION, world, audio, 32, 32, 32, 16.0).facts


def test_stems_add_up_to_the_audio():
    facts = facts_of(1, AudioContentConfig(parts=PARTS, min_impacts=2))
    audio, stems = render_audio(facts), render_stems(facts)
    assert set(stems) == set(PARTS)
    assert all(np.abs(stem).max() > 0.001 for stem in stems.values())
    assert np.abs(audio).max() < 0.8
    np.testing.assert_allclose(sum(stems.values()), audio, atol=1e-6)
    first = round(facts.impacts[0].time_s * SAMPLE_RATE)
    assert (stems["impacts"][0, : first - 1] == 0).all()


def test_a_part_that_is_left_out_is_silent():
    facts = facts_of(1, AudioContentConfig(parts=("ambience",)))
    stems = render_stems(facts)
    assert not stems["impacts"].any()
    assert not stems["music"].any()
    assert render_audio(facts).tobytes() == stems["ambience"].tobytes()


def test_default_parts_are_the_audio_of_the_plain_world():
    scene = make_video(3, WORLD, num_frames=32, height=32, width=32, fps=16).facts
    facts = facts_of(3, AudioContentConfig())
    assert scene.audio is None
    assert "audio" not in scene.to_dict()
    assert replace(facts, audio=None) == scene
    assert render_audio(facts).tobytes() == render_audio(scene).tobytes()
    assert VideoFacts.from_dict(json.loads(json.dumps(facts_of(3).to_dict()))) == facts_of(3)


def test_low_quality_is_narrow_band_and_named():
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE)
    before, after = (np.abs(np.fft.rfft(each)) ** 2 for each in (noise, narrow_band(noise, SAMPLE_RATE)))
    assert after[8000:].sum() < 0.05 * before[8000:].sum()
    assert after[:500].sum() > 0.9 * before[:500].sum()
    low = facts_of(2, AudioContentConfig(low_quality_prob=1.0))
    clean = replace(low, audio=replace(low.audio, quality=8.0))
    assert np.abs(render_audio(low) - render_audio(clean)).max() > 1e-3
    qualities = [AudioCaption.parse(audio_captions(each)[0]).quality for each in (low, clean)]
    assert qualities == [3.0, 8.0]


def test_number_of_impacts_and_impossible_wishes():
    assert all(len(facts_of(seed, AudioContentConfig(min_impacts=3)).impacts) >= 3 for seed in range(3))
    assert not facts_of(0, AudioContentConfig(max_impacts=0)).impacts
    with pytest.raises(UserError, match="min_impacts=90"):
        facts_of(0, AudioContentConfig(min_impacts=90))


def test_test_combinations_are_never_heard_in_training():
    train = [facts_of(seed, AudioContentConfig(split="train")) for seed in range(40)]
    test = [facts_of(seed, AudioContentConfig(split="test")) for seed in range(8)]
    assert not {repr(audio_combination(f)) for f in train} & {repr(audio_combination(f)) for f in test}
    assert all(map(is_test_audio, test))
    fraction = np.mean([is_test_audio(facts_of(seed)) for seed in range(40)])
    assert 0.02 < fraction < 0.35


def test_captions_state_what_is_heard():
    seen: Counter[str] = Counter()
    for seed in range(12):
        facts = facts_of(seed)
        for with_looks in (True, False):
            for text in audio_captions(facts, with_looks=with_looks):
                caption = AudioCaption.parse(text)
                assert caption is not None
                assert facts.music.instrument in caption.music_description
                assert f"{facts.music.tempo_bpm} beats" in caption.music_description
                assert facts.music.key in caption.music_description
                for index, one in enumerate(facts.objects):
                    heard = index in facts.heard_objects
                    assert (one.material in caption.description) >= heard
                    assert (f"{one.color} {one.material} {one.shape}" in caption.description) == (
                        heard and with_looks
                    )
                    seen["heard" if heard else "unheard"] += 1
    assert min(seen["heard"], seen["unheard"]) > 5


def test_captions_count_impacts_and_name_ambience():
    facts = facts_of(1, AudioContentConfig(min_impacts=2))
    caption = AudioCaption.parse(audio_captions(facts, ["plain"])[0])
    assert caption.music_description == "none"
    assert caption.music_likelihood < 0.5
    text = caption.description
    total = sum(
        int(words[0]) if words[0].isdigit() else {"once": 1, "twice": 2}[words[0]]
        for words in (clause.split(", with")[0].split()[-2:] for clause in text.split("; "))
        for words in [words if words[0].isdigit() else words[1:]]
    )
    assert total == len(facts.impacts)
    assert len(set(audio_captions(facts))) > 1
    quiet = facts_of(1, AudioContentConfig(parts=("ambience",)))
    assert "hits" not in audio_captions(quiet)[0]


def test_settings_that_contradict_each_other():
    for values, message in (
        ({"parts": ()}, "parts is empty"),
        ({"min_impacts": 3, "max_impacts": 1}, "more than"),
    ):
        with pytest.raises(ValueError, match=message):
            AudioContentConfig(**values)
