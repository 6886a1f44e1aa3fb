import json

import pytest

from data.bounce.facts import VideoFacts
from data.bounce.prompts import FIRST_SEED, in_training, main, make_prompts
from data.bounce.splits import has_held_out
from data.bounce.world import WorldConfig, caption_variants, make_video
from src.core import cli

WORLD = WorldConfig(max_objects=1, cameras=("static shot",))


def test_prompts_are_different_and_reproducible():
    prompts = make_prompts(40, 1, WORLD)
    assert len({p["prompt"] for p in prompts}) == len({p["id"] for p in prompts}) == 40
    assert prompts == make_prompts(40, 1, WORLD)
    assert prompts[:20] == make_prompts(20, 1, WORLD)
    assert {p["prompt"] for p in prompts} != {p["prompt"] for p in make_prompts(40, 2, WORLD)}
    assert json.loads(json.dumps(prompts)) == prompts


def test_no_prompt_is_a_training_caption():
    said = set()
    for seed in range(400):
        said.update(
            caption_variants(make_video(seed, WORLD, num_frames=16, height=16, width=16, fps=16).facts)
        )
    for wording in ("plain", "short", "long", "any"):
        prompts = make_prompts(30, 0, WORLD, wording=wording)
        assert not said & {p["prompt"] for p in prompts}
    for p in prompts:
        facts = VideoFacts.from_dict(p["facts"])
        assert p["prompt"] in caption_variants(facts)
        assert facts.seed >= FIRST_SEED
        assert not in_training(facts, WORLD)
        assert not has_held_out(facts)


def test_held_out_prompts_for_composition():
    prompts = make_prompts(20, 0, WorldConfig(holdout="only"))
    for p in prompts:
        assert has_held_out(VideoFacts.from_dict(p["facts"]))
        assert p["id"].startswith("held-out-")
        assert {"held-out:shape-color", "held-out:shape-direction"} & set(p["tags"])


def test_tags_cut_by_what_is_visible():
    for p in make_prompts(20, 3, WorldConfig()):
        objects = p["facts"]["objects"]
        assert f"objects:{len(objects)}" in p["tags"]
        assert f"camera:{p['facts']['camera']}" in p["tags"]
        assert ("motion:bounce" in p["tags"]) == any(o["bounces"] for o in objects)


def test_a_small_world_runs_out():
    with pytest.raises(ValueError, match="num_prompts=500: this world has only about"):
        make_prompts(
            500,
            0,
            WorldConfig(max_objects=1, shapes=("star",), colors=("red", "white"), cameras=("pan left",)),
        )


def test_command_writes_lines_for_a_manifest(tmp_path, capsys):
    out = tmp_path / "sub" / "prompts.jsonl"
    assert cli.run(main, [str(out), "num_prompts=5", "seed=2", "world.max_objects=1"]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [set(line) for line in lines] == [{"id", "prompt", "facts", "tags"}] * 5
    assert "5 prompts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["num_prompts=3"], "out is empty"),
        (["out=a.jsonl", "num_prompts=0"], "num_prompts must be at least 1, got 0"),
        (["out=a.jsonl", "world.colors=[mauve]"], "colors must be one of red, orange"),
        (["out=a.jsonl", "num=3"], "num"),
    ],
)
def test_command_names_mistakes(argv, message, capsys):
    assert cli.run(main, argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_eval_reads_them_as_a_manifest(tmp_path):
    manifest = pytest.importorskip("eval.core.manifest")
    out = tmp_path / "prompts.jsonl"
    main([str(out), "num_prompts=3"])
    samples = list(manifest.iter_manifest(out))
    assert [s.id for s in samples] == ["test-0000", "test-0001", "test-0002"]
    assert samples[0].facts["objects"]
