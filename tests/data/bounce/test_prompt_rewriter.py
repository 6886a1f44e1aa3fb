"""Terse prompts become captions; captions of any wording become plain ones that mean the same."""

import io
import sys

import pytest

from data.bounce import prompt_rewriter
from data.bounce.captions import caption_variants
from data.bounce.config import WorldConfig
from data.bounce.prompt_rewriter import RewritingConfig, rewrite
from data.bounce.scene import sample_scene
from data.bounce.vocabulary import BACKGROUNDS
from data.bounce.world import WORLD_VERSION

PLAIN = RewritingConfig()
WORLD = WorldConfig(holdout="include", split="all", appear_prob=0.2, vanish_prob=0.2)


@pytest.mark.parametrize("seed", range(24))
def test_a_caption_of_any_wording_becomes_the_plain_one(seed: int) -> None:
    every = caption_variants(sample_scene(seed, WORLD_VERSION, WORLD, 16, 48, 48, 16.0).facts)
    assert [rewrite(caption, PLAIN) for caption in every] == [every[0]] * len(every)


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("red star", "Static shot. A red star stays still."),
        ("a green square falling", "Static shot. A green square moves down."),
        ("Zooming in: violet hoop, rising to the left", "Zoom in. A purple ring moves up and to the left."),
        (
            "two white boxes flying right",
            "Static shot. A white square moves right. A white square moves right.",
        ),
        ("pans left, a cyan dot bounces up", "Pan left. A cyan circle moves up and bounces off the wall."),
        ("handheld. blue cross vanishing", "Handheld shot. A blue cross stays still and vanishes."),
        (
            "red ball going right hits blue ring",
            "Static shot. A red circle moves right and bounces off a blue ring. "
            "The blue ring stays still until it is hit by the red circle.",
        ),
        ("a cat plays the piano", "a cat plays the piano"),
        ("four red stars", "four red stars"),
    ],
)
def test_terse_prompts(prompt: str, caption: str) -> None:
    assert rewrite(prompt, PLAIN) == caption


def test_what_is_open_is_decided_once() -> None:
    drawn = [rewrite(f"{word} bouncing", PLAIN) for word in ("star", "ring", "cross", "square")]
    assert drawn == [rewrite(f"{word} bouncing", PLAIN) for word in ("star", "ring", "cross", "square")]
    assert len({caption.split("moves")[1] for caption in drawn}) > 1
    assert all("bounces off the wall" in caption for caption in drawn)


def test_longer_wordings_keep_what_is_said_and_add_the_place() -> None:
    long = rewrite("small red star sliding left slowly on a lawn", RewritingConfig(wording="long"))
    assert any(word in long for word in ("small", "little"))
    assert "red" in long
    assert any(word in long for word in ("lawn", "grass"))
    assert "left" in long
    assert len(BACKGROUNDS) > 1


def test_images_have_no_motion() -> None:
    assert rewrite("red star moves right", RewritingConfig(image=True)) == "A picture of a red star."


def test_the_command_filters_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("red star\n\nhello\n"))
    prompt_rewriter.main(["image=true"])
    assert capsys.readouterr().out == "A picture of a red star.\n\nhello\n"
