import numpy as np
import pytest

from data.bounce.audio import ambience, strike
from data.bounce.audio import render_audio as render
from data.bounce.audio_config import AudioContentConfig
from data.bounce.config import WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.music import compose, render_music
from data.bounce.scene import sample_scene
from data.bounce.vocabulary import BACKGROUNDS
from data.bounce.world import WORLD_VERSION
from eval.bounce_checker import compare_audio
from eval.bounce_checker.audio import (
    SAMPLE_RATE,
    AudioReading,
    BounceAudioMetric,
    analyze_audio,
    evaluate_audio,
    expected_materials,
    pooled_scores,
)
from eval.bounce_checker.audio_ambience import classify_background
from eval.bounce_checker.audio_impacts import Hit, find_hits
from eval.bounce_checker.audio_tables import HEADS, slice_rows, track_row
from eval.bounce_checker.audio_trials import score_audio
from eval.bounce_checker.config import AudioCheckerConfig
from eval.bounce_checker.validate_audio import draw_facts, main
from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample, write_manifest
from eval.core.results import Item
from src.core.errors import UserError

WORLD = WorldConfig(max_objects=2, holdout="include", split="all")


@pytest.fixture(scope="module")
def scenes():
    """Facts and audio of 24 videos of two seconds."""
    facts = [sample_scene(seed, WORLD_VERSION, WORLD, 32, 32, 32, 16.0).facts for seed in range(1000, 1024)]
    return [(each.to_dict(), render(each)) for each in facts]


@pytest.fixture(scope="module")
def readings(scenes):
    return [analyze_audio(Audio(samples, SAMPLE_RATE)) for _, samples in scenes]


def mean(scenes, readings, next_facts=False):
    found = [
        evaluate_audio(reading, scenes[(i + next_facts) % len(scenes)][0])
        for i, reading in enumerate(readings)
    ]
    keys = ("audio_hits", "audio_materials", "audio_background")
    return {key: np.mean([each[key] for each in found if key in each]) for key in keys}


def test_ground_truth(scenes, readings):
    found = mean(scenes, readings)
    assert found["audio_materials"] > 0.88
    assert found["audio_hits"] > 0.85
    assert found["audio_background"] > 0.95


def test_volume_and_wrong_captions(scenes, readings):
    quieter = [Audio((0.4 * samples).astype(np.float32), SAMPLE_RATE) for _, samples in scenes]
    quiet = mean(scenes, [analyze_audio(audio) for audio in quieter])
    assert quiet["audio_materials"] > 0.88
    assert quiet["audio_background"] > 0.95
    wrong = mean(scenes, readings, next_facts=True)
    assert wrong["audio_materials"] < 0.45
    assert wrong["audio_background"] < 0.4
    assert wrong["audio_hits"] < 0.6
    silence = analyze_audio(Audio(np.zeros_like(scenes[0][1]), SAMPLE_RATE))
    silent = mean(scenes, [silence] * len(scenes))
    assert silent["audio_materials"] == silent["audio_background"] == 0


def test_ambience_under_music_and_noise():
    music_S = render_music(compose(1, WORLD_VERSION), 2 * SAMPLE_RATE, SAMPLE_RATE)
    noise_S = np.random.default_rng(0).normal(0, 10 ** (-50 / 20), len(music_S))
    for background in BACKGROUNDS:
        mono_S = ambience(background, len(music_S), SAMPLE_RATE, 50) + music_S
        assert classify_background(mono_S, music_S)[0] == background
        assert classify_background(mono_S + noise_S, music_S)[0] == background
        if background == "wood":
            assert classify_background(mono_S)[0] != background  # the music has to be known


def test_every_material_by_itself():
    for material in ("wooden", "metal", "glass", "rubber", "stone"):
        world = WorldConfig(max_objects=1, bounce_prob=1.0, still_prob=0.0, materials=(material,))
        facts = sample_scene(3, WORLD_VERSION, world, 32, 32, 32, 16.0).facts
        heard = analyze_audio(Audio(render(facts), SAMPLE_RATE)).hits
        assert heard
        assert all(material in hit.materials for hit in heard)


def test_close_impacts_are_merged():
    hits = [{"time_s": t, "objects": who} for t, who in ((0.9, [0]), (0.2, [1, 0]), (0.22, [1]))]
    facts = {"impacts": hits, "objects": [{"material": "stone"}, {"material": "glass"}], "background": "sand"}
    assert expected_materials(facts) == [("glass", "stone"), ("stone",)]


def test_any_sample_rate(tmp_path, scenes):
    facts, samples = scenes[0]
    write_audio(tmp_path / "a.wav", Audio(samples, SAMPLE_RATE).resample(44_100).samples_CS, 44_100)
    found = BounceAudioMetric().measure(Item(Sample(id="", prompt="", audio="a.wav", facts=facts), tmp_path))
    assert found.values["audio_background"] == 1
    top, bottom = found.pooled["hit_f1"]
    assert 1 < top <= bottom
    assert found.values["hit_f1"] == top / bottom
    times = [hit["time_s"] for hit in found.detail["reading"]["hits"]]
    assert times == pytest.approx(
        [hit.time_s for hit in analyze_audio(Audio(samples, SAMPLE_RATE)).hits], abs=0.01
    )
    assert times[-1] > 0.5  # late enough for a wrong rate to show
    with pytest.raises(ValueError, match="sample has no `facts` with impacts"):
        BounceAudioMetric().measure(Item(Sample(id="", prompt="", audio="a.wav"), tmp_path))


def test_objects_of_every_impact(scenes, readings):
    """Materials and sizes at impacts that no other is near to; where two collide, both."""
    sums: dict[str, list[float]] = {}
    for (facts, _), reading in zip(scenes, readings, strict=True):
        trial = score_audio(reading, facts, AudioCheckerConfig())
        for name, numbers in pooled_scores(trial).items():
            before = sums.get(name, [0.0, 0.0])
            sums[name] = [before[0] + numbers[0], before[1] + numbers[1]]
    rates = {name: top / bottom for name, (top, bottom) in sums.items() if bottom}
    assert rates["hit_material"] > 0.97
    assert rates["hit_size"] > 0.97
    assert rates["hit_f1"] > 0.93
    assert rates["hit_f1_fine"] > 0.93
    assert rates["hit_lag"] < 0.005
    assert rates["false_hits"] < 0.2


def test_tails_and_pairs_are_distinguished():
    """A metal object rings on while a small wooden one and a large rubber one collide."""
    count = 2 * SAMPLE_RATE
    audio = np.random.default_rng(0).normal(0, 0.001, count)
    for start, objects in ((0.5, [("metal", "medium")]), (0.9, [("wooden", "small"), ("rubber", "large")])):
        for material, size in objects:
            audio[round(start * SAMPLE_RATE) :] += strike(
                material, size, 0.3, count - round(start * SAMPLE_RATE), SAMPLE_RATE
            )
    hits = find_hits(audio, 1.0)
    assert [hit.time_s for hit in hits] == pytest.approx([0.5, 0.9], abs=0.01)
    assert [hit.materials for hit in hits] == [("metal",), ("rubber", "wooden")]
    assert [hit.sizes for hit in hits] == [("medium",), ("large", "small")]
    assert hits[0].level == pytest.approx(0.3, rel=0.3)


def test_a_crackling_fire_is_no_impact():
    for seed in range(3):
        fire = ambience("wood", 3 * SAMPLE_RATE, SAMPLE_RATE, seed)
        for volume in (1.0, 0.2):
            reading = analyze_audio(Audio((volume * fire)[None].astype(np.float32), SAMPLE_RATE))
            assert not reading.hits
            assert reading.background == "wood"


def fake_reading(*hits):
    rendered = tuple(Hit(t, tuple(m for m, _ in o), tuple(s for _, s in o), 0.3, 0.9) for t, o in hits)
    return AudioReading(rendered, "sand")


FAKE_FACTS = {
    "impacts": [
        {"time_s": 0.5, "objects": [0]},
        {"time_s": 1.0, "objects": [0, 1]},
        {"time_s": 1.06, "objects": [1]},
    ],
    "objects": [{"material": "stone", "size": "small"}, {"material": "glass", "size": "large"}],
    "background": "sand",
}


def test_tolerances_gaps_and_sizes_are_counted():
    stone, glass, large = ("stone", "small"), ("glass", "large"), ("stone", "large")
    reading = fake_reading((0.53, [large]), (1.0, [stone, glass]), (2.0, [glass]))
    trial = score_audio(reading, FAKE_FACTS, AudioCheckerConfig())
    pooled = pooled_scores(trial)
    assert pooled["hit_f1"] == (4, 6)
    assert pooled["hit_f1_fine"] == (2, 6)  # 30 ms late is within 40, not within 20
    assert pooled["hit_material"] == (1, 1)  # the other two are 60 ms apart
    assert pooled["hit_size"] == (0, 1)
    assert [each.kind for each in trial.impacts] == ["stone", "two objects", "glass"]
    assert pooled["text_material"] == (1, 1)
    assert pooled["text_size"] == (0, 1)
    strict = score_audio(reading, FAKE_FACTS, AudioCheckerConfig(tolerance_s=0.02))
    assert pooled_scores(strict)["hit_f1"] == (2, 6)
    rare = [(0.1 * i, [stone, glass]) for i in range(9)] + [(2.0, [("metal", "large")])]
    heard = score_audio(fake_reading(*rare), FAKE_FACTS, AudioCheckerConfig())
    assert heard.objects == {"material": 1, "size": 1}  # a tenth of the hits are no object of the track
    often = score_audio(fake_reading(*rare[-5:]), FAKE_FACTS, AudioCheckerConfig())
    assert often.objects == {"material": 0, "size": 0}  # a fifth are
    silent = FAKE_FACTS | {"audio": {"parts": ["ambience"], "quality": 8.0, "music": None}}
    assert pooled_scores(score_audio(reading, silent, AudioCheckerConfig()))["false_hits"] == (3, 1)


def test_tables_by_background_material_and_gap():
    reading = fake_reading((0.53, [("stone", "small")]), (1.0, [("stone", "small"), ("glass", "large")]))
    trials = [score_audio(reading, FAKE_FACTS, AudioCheckerConfig())]
    rows = {row[0]: row[1:] for row in slice_rows(trials, AudioCheckerConfig())}
    assert rows["over sand"][0] == "3"
    assert rows["stone"][2:] == ["0.0", "100.0", "100.0"]
    assert rows["glass"][1].startswith("0.0")
    assert rows["0 to 0.1 s to the next"][0] == "2"
    row = dict(zip(HEADS, track_row("x", trials, AudioCheckerConfig()), strict=True))
    assert row["F1 of hits"] == "80.0"
    assert row["instrument"] == "–"


@pytest.mark.parametrize("parts", [("music",), ("impacts", "ambience", "music")])
def test_music_is_recognized(parts):
    for seed in range(4):
        facts = draw_facts(seed, 3.0, AudioContentConfig(parts=parts))
        reading = analyze_audio(Audio(render(facts), SAMPLE_RATE))
        trial = score_audio(reading, facts.to_dict(), AudioCheckerConfig())
        assert trial.music == dict.fromkeys(("instrument", "tempo_bpm", "key", "mood"), 1.0)
        if parts == ("music",):
            assert not reading.hits


def test_no_music_in_impacts_and_ambience(readings):
    assert all(reading.music is None for reading in readings)


def test_validation_through_the_command_line(tmp_path, capsys):
    out = tmp_path / "table.md"
    main(["num=2", "seconds=2.0", "degradations=[none,detuned by 1.5 %]", f"out={out}"])
    text = out.read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "detuned by 1.5 %" in text
    assert "facts of the next video" in text
    assert "over " in text


def test_samples_with_the_truth(tmp_path, capsys):
    facts = draw_facts(3, 2.0, AudioContentConfig(min_impacts=2)).to_dict()
    samples = []
    for name, change in (("same", 1.0), ("silent", 0.0)):
        write_audio(tmp_path / f"{name}.wav", change * render(VideoFacts.from_dict(facts)), SAMPLE_RATE)
        samples.append(Sample(id=name, prompt="", audio=f"{name}.wav", facts=facts))
    write_manifest(tmp_path / "both.jsonl", samples)
    compare_audio.main([f"manifest={tmp_path / 'both.jsonl'}"])
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith("| F1 of hits"))
    cells = row.strip("| ").split(" | ")
    assert cells[1].startswith("66.7 [")  # one of two tracks, pooled: 2 * n / (2 * n + n)
    assert cells[2] == "100.0"  # the truth
    assert cells[3].startswith("66.7 [")
    row = next(line for line in text.splitlines() if line.startswith("| materials of track"))
    assert row.split(" | ")[1:] == ["50.0 [0.0, 100.0]", "100.0", "50.0 [0.0, 100.0] |"]
    write_manifest(tmp_path / "bare.jsonl", [Sample(id="bare", prompt="", audio="same.wav")])
    with pytest.raises(UserError, match="'bare' has no `facts`"):
        compare_audio.main([f"manifest={tmp_path / 'bare.jsonl'}"])
