"""Caption sensitivity: zero for a model that ignores its captions, nonzero otherwise; word substitution."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.bounce.captions import caption_variants
from data.bounce.config import WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.scene import sample_scene
from data.bounce.vocabulary import COLORS, DIRECTIONS, SHAPES
from data.bounce.world import WORLD_VERSION
from src import train
from src.core import config
from src.core.config import ConfigError
from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.runs.config import VideoRunConfig
from src.runs.modules import build_video_module
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.records import LatentRecord
from src.streaming.schema.writer import LatentWriter
from src.studies.config import CaptionSensitivityConfig
from src.studies.word_substitution import WordSubstitution
from src.training.checkpoint_paths import checkpoint_dir

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "studies" / "caption_sensitivity.yaml"
TEXTS = (
    "Static shot. A red star moves right and bounces off the wall.",
    "Static shot. An orange ring moves down and to the left.",
    "Static shot. A blue cross moves up.",
)


def test_shipped_words_change_one_fact_of_a_caption() -> None:
    """The new caption is what the world would generate for the same video with that fact changed."""
    shipped = config.load(CaptionSensitivityConfig, SHIPPED, ["run=x"]).words
    words = {name: WordSubstitution(name, tuple(phrases)) for name, phrases in shipped.items()}
    changed = dict.fromkeys(words, 0)
    for seed in range(60):
        facts = one_object(seed)
        o, caption = facts.objects[0], caption_variants(facts)[0]
        wrong = {
            "color": {"color": opposite(COLORS, o.color)},
            "shape": {"shape": opposite(SHAPES, o.shape)},
            "direction": {"direction": opposite(DIRECTIONS, o.direction)}
            if o.direction in DIRECTIONS
            else None,
            "bounce": {"bounces": False} if o.bounces else None,
        }
        for name, fact in wrong.items():
            altered = words[name](caption)
            changed[name] += altered is not None
            if fact is None:
                assert altered is None, caption
            else:
                assert altered == caption_variants(replace(facts, objects=(replace(o, **fact),)))[0]
    assert min(changed.values()) > 10


def one_object(seed: int) -> VideoFacts:
    world = WorldConfig(max_objects=1, cameras=("static shot",), appear_prob=0.0, vanish_prob=0.0)
    return sample_scene(seed, WORLD_VERSION, world, 16, 48, 48, 16.0).facts


def opposite(words: object, word: str) -> str:
    names = list(words)  # type: ignore[call-overload]
    return names[(names.index(word) + len(names) // 2) % len(names)]


def test_substitution_of_custom_words() -> None:
    animals = WordSubstitution("animal", ("cat", "owl"))
    assert animals("A cat sleeps beside a cat.") == "An owl sleeps beside a cat."
    assert animals("Owl by night") == "Cat by night"
    assert animals("A category of towels") is None
    assert WordSubstitution("end", (", at night", ""))("A street, at night.") == "A street."
    with pytest.raises(ValueError, match=r"words.animal: needs at least two phrases, got \['cat'\]"):
        WordSubstitution("animal", ("cat",))
    with pytest.raises(ValueError, match=r"words.animal: duplicate phrase 'cat'"):
        WordSubstitution("animal", ("cat", "Cat", "dog"))
    with pytest.raises(ConfigError, match=r"words.animal: needs at least two phrases"):
        config.load(CaptionSensitivityConfig, None, ["run=x", "words.animal=[cat]"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents with captions, an untrained run and one whose output depends on the text."""
    root = tmp_path_factory.mktemp("sensitivity")
    with LatentWriter(root / "latents" / "val", "k") as writer:
        with writer.part(0) as part:
            for i in range(12):
                bucket = Bucket(16, 32, 32) if i % 4 else Bucket(1, 32, 32)
                moments = torch.rand(8, 2 if i % 4 else 1, 4, 4, generator=torch.Generator().manual_seed(i))
                part.add(
                    LatentRecord(
                        id=str(i), moments_2CTHW=moments.half(), bucket=bucket, fps=16.0,
                        captions=(TEXTS[i % 3],), content_sha256="c" * 64,
                    )
                )  # fmt: skip
        writer.finish(1, {})
    overrides = [
        "name=toy", "latents=latents", "transformer.hidden_size=32", "transformer.depth=1",
        "transformer.num_heads=2", "transformer.ffn_dim=32", "transformer.latent_channels=4",
        "transformer.patch=[1,1,1]", "transformer.max_positions=[2,4,4]", "transformer.context_dim=32",
        "text.hidden_size=32", "text.depth=1", "text.num_heads=2", "text.ffn_dim=32", "data.val.all.path=" +
        str(root / "latents" / "val"), "data.val.all.batch_size=5", "data.streams.all.path=none",
    ]  # fmt: skip
    for name in ("untrained", "sensitive"):
        stage = config.load(VideoRunConfig, None, overrides)
        module = build_video_module(stage)
        module.configure_model()
        if name == "sensitive":
            for parameter in (*module.transformer.parameters(), *module.text.parameters()):
                torch.nn.init.normal_(parameter, std=0.18, generator=torch.Generator().manual_seed(1))
        module.reset_ema()
        (root / name).mkdir()
        (root / name / "config.yaml").write_text(config.to_yaml(stage))
        checkpoint_io.write_checkpoint(
            {"state_dict": module.state_dict()}, checkpoint_dir(root / name) / "step-00000001.ckpt"
        )
    return root


def measure(root: Path, name: str, *overrides: str) -> dict[tuple[str, float], dict]:
    train.main([str(SHIPPED), f"run={root / name}", f"out={root / name}.json", *overrides])
    found = json.loads((root / f"{name}.json").read_text())
    return {(row["words"], row["time"]): row for row in found["sensitivities"]}


def test_untrained_model_is_insensitive(root: Path) -> None:
    rows = measure(root, "untrained")
    assert {name for name, _ in rows} == {"color", "shape", "direction", "bounce", "empty"}
    assert all(row["loss"] > 0.1 and abs(row["sensitivity"]) < 1e-9 for row in rows.values())


def test_sensitive_model_is_measured(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measure(root, "sensitive", "times=[0.2,0.6]")
    assert sorted({time for _, time in rows}) == [0.2, 0.6]
    assert all(abs(row["sensitivity"]) > 1e-6 for row in rows.values())
    assert {name: rows[name, 0.2]["num_samples"] for name in ("color", "bounce", "empty")} == {
        "color": 9, "bounce": 3, "empty": 9,
    }  # fmt: skip
    color = rows["color", 0.6]
    assert color["sensitivity"] == pytest.approx(color["changed_loss"] / color["loss"] - 1)
    assert "rise of the loss, %" in capsys.readouterr().out
    assert measure(root, "sensitive", "times=[0.2]")["color", 0.2] == rows["color", 0.2]
    given = measure(root, "sensitive", "times=[0.2]", f"latents={root / 'latents'}", "batch_size=2")
    assert given["color", 0.2]["loss"] == pytest.approx(rows["color", 0.2]["loss"], rel=1e-5)
    few = measure(root, "sensitive", "times=[0.2]", "media=all", "num_samples=7")
    assert few["empty", 0.2]["num_samples"] == 7


def test_errors_name_words_and_settings(root: Path) -> None:
    with pytest.raises(
        UserError, match=r"words.animal: none of 9 captions contains any of \['cat', 'dog'\]; the first"
    ):
        measure(root, "untrained", "words.animal=[cat,dog]")
    with pytest.raises(ConfigError, match="times must be less than 1"):
        measure(root, "untrained", "times=[1.5]")
    stage = config.load(VideoRunConfig, root / "untrained" / "config.yaml")
    (root / "empty").mkdir()
    (root / "empty" / "config.yaml").write_text(
        config.to_yaml(replace(stage, data=replace(stage.data, val={})))
    )
    (root / "empty" / "checkpoints").symlink_to(root / "untrained" / "checkpoints")
    with pytest.raises(UserError, match="has no validation data; give latents="):
        measure(root, "empty")
