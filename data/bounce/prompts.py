"""Prompts that no model was trained on, with the facts that generated videos are scored against.

    python -m data.bounce.prompts out=prompts.jsonl num_prompts=64 seed=1 [world.max_objects=1 ...]

`world` is the world that the model was trained on. Prompts come from that world's *test* split: the
combination that each one describes (camera; every object's shape, color and motion) occurs in no training
video, though every word does. With world.holdout=only each prompt has a pair of words that never occur
together in training at all. Both hold by construction (`data.bounce.splits`) and are checked.
One JSON object per line: id, prompt, facts, tags.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.bounce.captions import captions_by_wording
from data.bounce.config import WORDINGS, PromptsConfig, WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.scene import sample_scene
from data.bounce.splits import is_in_world
from data.bounce.vocabulary import HELD_OUT, STILL
from data.bounce.world import WORLD_VERSION
from src.core import cli, config
from src.core.errors import UserError
from src.core.rng import key

FIRST_SEED = 1 << 40
"""Seeds of prompts start here, above those of training."""

_MAX_REPEATS = 200  # videos in a row without a new prompt until a world counts as exhausted


def make_prompts(num_prompts: int, seed: int, world: WorldConfig, **options: Any) -> list[dict[str, Any]]:
    """Return `num_prompts` different prompts, a pure function of the arguments.

    Args:
        world: the world trained on (`holdout="only"`: prompts for what is held out of it).
        options: further fields of PromptsConfig: wording, num_frames, height, width, fps.

    Raises:
        UserError: the world has fewer than `n` different prompts.
    """
    settings = PromptsConfig(num_prompts=num_prompts, seed=seed, world=world, **options)
    out: dict[str, dict[str, Any]] = {}
    name, repeats = "held-out" if world.holdout == "only" else "test", 0
    for facts in _candidate_facts(settings):
        prompt = _choose_caption(facts, settings)
        assert not in_training(facts, world), facts
        repeats = repeats + 1 if prompt in out else 0
        if repeats > _MAX_REPEATS:
            break
        if not repeats:
            entry = {"id": f"{name}-{len(out):04d}", "prompt": prompt}
            out[prompt] = {**entry, "facts": facts.to_dict(), "tags": tags_of(facts)}
        if len(out) == num_prompts:
            return list(out.values())
    raise UserError(
        f"num_prompts={num_prompts}: this world has only about {len(out)} different prompts; "
        "use fewer or a wider world"
    )


def in_training(facts: VideoFacts, world: WorldConfig) -> bool:
    """Return whether a video with this combination can be in the training split of a world."""
    holdout = "include" if world.holdout == "include" else "exclude"
    return is_in_world(facts, replace(world, split="train", holdout=holdout))


def _candidate_facts(settings: PromptsConfig) -> Iterator[VideoFacts]:
    world = replace(settings.world, split="test")
    size = (settings.num_frames, settings.height, settings.width, settings.fps)
    number = 0
    while True:
        seed = FIRST_SEED + key(settings.seed, "bounce/prompts", number) % (1 << 51)
        yield sample_scene(seed, WORLD_VERSION, world, *size).facts
        number += 1


def _choose_caption(facts: VideoFacts, settings: PromptsConfig) -> str:
    choices = captions_by_wording(facts, WORDINGS if settings.wording == "any" else [settings.wording])
    return choices[key(facts.seed, "bounce/wording") % len(choices)]


def tags_of(facts: VideoFacts) -> list[str]:
    """Return slices for the tables: number of objects, kinds of motion, camera, held-out pairs."""
    out = [f"objects:{len(facts.objects)}", f"camera:{facts.camera}"]
    motions = ("bounce" if o.bounces else "still" if o.direction == STILL else "move" for o in facts.objects)
    out += sorted({f"motion:{m}" for m in motions})
    pairs = {
        "shape-color": {(o.shape, o.color) for o in facts.objects},
        "shape-direction": {(o.shape, o.direction) for o in facts.objects},
    }
    return out + [f"held-out:{name}" for name, found in pairs.items() if found & HELD_OUT[name]]


def require_out(out: str) -> None:
    """Raise UserError unless a file to write is named."""
    if not out:
        raise UserError("out is empty: name the file to write, such as out=prompts.jsonl")


def write_prompts(out: str, entries: list[dict[str, Any]]) -> Path:
    """Write one JSON object per line, making the folder; return the path."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path


def main(argv: list[str]) -> None:
    """Parse the command line and write the prompts."""
    argv = [f"out={word}" if word.endswith(".jsonl") and "=" not in word else word for word in argv]
    settings = config.from_command_line(PromptsConfig, argv, __doc__)
    if settings is None:
        return
    require_out(settings.out)
    options = {name: getattr(settings, name) for name in ("wording", "num_frames", "height", "width", "fps")}
    entries = make_prompts(settings.num_prompts, settings.seed, settings.world, **options)
    path = write_prompts(settings.out, entries)
    print(f"{path}: {len(entries)} prompts, such as: {entries[0]['prompt']}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
