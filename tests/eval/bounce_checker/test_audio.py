import numpy as np
import pytest

from data.bounce.audio import render_audio as render
from data.bounce.config import WorldConfig
from data.bounce.scene import sample_scene
from data.bounce.world import WORLD_VERSION
from eval.bounce_checker.audio import (
    SAMPLE_RATE,
    BounceAudioMetric,
    analyze_audio,
    evaluate_audio,
    expected_materials,
)
from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample
from eval.core.results import Item

WORLD = WorldConfig(max_objects=2, holdout="include", split="all")


@pytest.fixture(scope="module")
def scenes():
    """Facts and audio of 40 videos of two seconds."""
    facts = [sample_scene(seed, WORLD_VERSION, WORLD, 32, 32, 32, 16.0).facts for seed in range(1000, 1040)]
    return [(each.to_dict(), render(each)) for each in facts]


def mean(scenes, change=lambda samples: samples, next_facts=False):
    found = [
        evaluate_audio(
            analyze_audio(Audio(change(samples), SAMPLE_RATE)), scenes[(i + next_facts) % len(scenes)][0]
        )
        for i, (_, samples) in enumerate(scenes)
    ]
    keys = ("audio_hits", "audio_materials", "audio_background")
    return {key: np.mean([each[key] for each in found if key in each]) for key in keys}


def test_ground_truth(scenes):
    found = mean(scenes)
    assert found["audio_materials"] > 0.88
    assert found["audio_hits"] > 0.85
    assert found["audio_background"] > 0.95


def test_volume_and_wrong_captions(scenes):
    quiet = mean(scenes, lambda samples: (0.4 * samples).astype(np.float32))
    assert quiet["audio_materials"] > 0.88
    assert quiet["audio_background"] > 0.95
    wrong = mean(scenes, next_facts=True)
    assert wrong["audio_materials"] < 0.45
    assert wrong["audio_background"] < 0.4
    assert wrong["audio_hits"] < 0.6
    silent = mean(scenes, np.zeros_like)
    assert silent["audio_materials"] == silent["audio_background"] == 0


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
    times = [hit["time_s"] for hit in found.detail["reading"]["hits"]]
    assert times == pytest.approx(
        [hit.time_s for hit in analyze_audio(Audio(samples, SAMPLE_RATE)).hits], abs=0.01
    )
    assert times[-1] > 0.5  # late enough for a wrong rate to show
    with pytest.raises(ValueError, match="sample has no `facts` with impacts"):
        BounceAudioMetric().measure(Item(Sample(id="", prompt="", audio="a.wav"), tmp_path))
