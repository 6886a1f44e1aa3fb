"""Text-to-audio prompts that no model was trained on, with the facts that generated audio is scored against.

    python -m data.bounce.audio_prompts out=prompts.jsonl num_prompts=200 [parts=[music] ...]

Prompts are audio captions of Bounce videos whose combination of materials, sizes, ambience, instrument and
tempo is kept for tests (`data.bounce.audio_scene`): it is heard in no set with `audio.split: train`, though
every word is. One JSON object per line: id, prompt, facts, tags.
"""

import sys
from dataclasses import dataclass
from typing import Any

from data.bounce.audio_captions import audio_captions
from data.bounce.audio_config import AudioContentConfig
from data.bounce.audio_scene import sample_audio_scene
from data.bounce.config import AUDIO_WORLD, WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.music_vocabulary import PARTS
from data.bounce.prompts import FIRST_SEED, require_out, write_prompts
from data.bounce.world import WORLD_VERSION
from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.rng import key

FPS, SIDE = 16.0, 32  # of the videos that are never rendered
MAX_REPEATS = 200  # prompts in a row that are there already until a world counts as exhausted


@dataclass(frozen=True, kw_only=True)
class AudioPromptsConfig(Config):
    """Settings of `data.bounce.audio_prompts`."""

    out: str = opt("", "JSONL file to write")
    num_prompts: int = opt(200, "number of prompts, all different", ge=1)
    seed: int = opt(0, "another seed gives other prompts")
    seconds: float = opt(3.0, "length of the audio that the facts describe", gt=0)
    parts: tuple[str, ...] = opt(PARTS, "parts of the audio", choices=PARTS)
    max_impacts: int = opt(8, "impacts that a prompt describes at most", ge=1)
    quality: float = opt(8.0, "quality that the prompts ask for", ge=1, le=10)
    world: WorldConfig = opt(AUDIO_WORLD, "world trained on")


def make_audio_prompts(settings: AudioPromptsConfig) -> list[dict[str, Any]]:
    """Return different prompts, a pure function of the settings.

    Raises:
        UserError: the world has fewer prompts.
    """
    wants_impacts = "impacts" in settings.parts
    audio = AudioContentConfig(
        parts=settings.parts,
        music_mood="background" if "ambience" in settings.parts else "any",
        min_impacts=1 if wants_impacts else 0,
        max_impacts=settings.max_impacts if wants_impacts else -1,
        split="test",
    )
    size = (round(settings.seconds * FPS), SIDE, SIDE, FPS)
    found: dict[str, dict[str, Any]] = {}
    number = repeats = 0
    while len(found) < settings.num_prompts:
        seed = FIRST_SEED + key(settings.seed, "bounce/audio prompts", number) % (1 << 40)
        facts = sample_audio_scene(seed, WORLD_VERSION, settings.world, audio, *size).facts
        prompt = audio_captions(facts, ["plain"], with_looks=False)[0]
        prompt = prompt.replace("quality: 8.0", f"quality: {settings.quality:.1f}")
        number, repeats = number + 1, repeats + 1 if prompt in found else 0
        if repeats > MAX_REPEATS:
            raise UserError(
                f"num_prompts={settings.num_prompts}: this world has only about {len(found)} "
                "different prompts"
            )
        entry = {"id": f"audio-{len(found):04d}", "prompt": prompt}
        found.setdefault(prompt, entry | {"facts": facts.to_dict(), "tags": tags_of(facts)})
    return list(found.values())


def tags_of(facts: VideoFacts) -> list[str]:
    """Return slices for the tables: materials, sizes, ambience, instrument, tempo."""
    heard = [facts.objects[i] for i in facts.heard_objects]
    tags = {f"material:{one.material}" for one in heard} | {f"size:{one.size}" for one in heard}
    if "ambience" in facts.audio_parts:
        tags.add(f"ambience:{facts.background}")
    if facts.music:
        tags |= {f"instrument:{facts.music.instrument}", f"tempo:{facts.music.tempo_bpm}"}
    return sorted(tags)


def main(argv: list[str]) -> None:
    """Parse the command line and write the prompts."""
    argv = [f"out={word}" if word.endswith(".jsonl") and "=" not in word else word for word in argv]
    settings = config.from_command_line(AudioPromptsConfig, argv, __doc__)
    if settings is None:
        return
    require_out(settings.out)
    entries = make_audio_prompts(settings)
    path = write_prompts(settings.out, entries)
    print(f"{path}: {len(entries)} prompts, such as: {entries[0]['prompt']}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
