"""Clips of one episode: the engine is started once, and each clip begins at a place of its own.

A clip depends on the episode's map and seed and on the clips before it, never on the process that records it.

Legend: T frames, H height, W width, C channels, S samples.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.vizdoom.captions import describe_motion, list_objects
from data.vizdoom.config import VizdoomConfig
from data.vizdoom.engine import AMMO, BARREL, Engine
from data.vizdoom.events import find_events
from data.vizdoom.observation import Action, Media, Tic
from data.vizdoom.play import Player, draw_cues, draw_shots, weapon_slot
from data.vizdoom.spots import Spot, door_spots, go_to, open_spots
from data.vizdoom.timing import ALIGNED_TICS, RATE, count_tics, frame_tics, resample_clip
from data.vizdoom.world_patch import CUES
from src.core.errors import UserError
from src.core.rng import numpy_generator

WORLD = "vizdoom-1"
"""Changes whenever any clip changes."""
LEAD_TICS = 6 * ALIGNED_TICS  # the weapon is drawn, and audio from before the clip fades
TAIL_TICS = 2
ATTEMPTS, SPOT_ATTEMPTS, DOOR_ATTEMPTS = 3, 12, 5
DOOR_WAIT = 150  # tics that a door stays open


@dataclass(frozen=True)
class RecordedClip:
    """Frames uint8 [T, H, W, 3], audio float32 [C, S] at 48 kHz, and the ground truth."""

    video_THWC: NDArray[np.uint8]
    audio_CS: NDArray[np.float32]
    facts: dict[str, Any]


@dataclass
class Take:
    """Record of one clip: all tics, and the pixels of those that become frames."""

    tics: list[Tic] = field(default_factory=list)
    samples: list[NDArray[np.int16]] = field(default_factory=list)
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, tic: Tic, media: Media, keep_frame: bool) -> None:
        if keep_frame:
            self.frames[len(self.tics)] = media.rgb_HWC
        self.tics.append(tic)
        self.samples.append(media.samples_SC)


def record_episode(
    config: VizdoomConfig, name: str, seed: int, num_clips: int
) -> Iterator[tuple[int, RecordedClip | None]]:
    """Yield the number of each clip and its recording, None if the player left the map at every attempt.

    Raises:
        UserError: the audio of the recordings is all zeros.
    """
    heard = False
    with Engine(name, seed, config.show_weapon) as engine:
        for number in range(num_clips):
            clip = None
            for attempt in range(ATTEMPTS):
                random = numpy_generator(seed, f"vizdoom/{name}", number, attempt)
                take, player = _record(engine, config, random)
                if take is not None and player is not None:
                    heard = heard or any(samples.any() for samples in take.samples)
                    clip = _clip_of(take, player, config, name, engine)
                    break
                engine.restart()
            if clip is not None and not heard:
                raise UserError(
                    f"{name}: the game's audio is all zeros; OpenAL is missing: apt-get install libopenal1"
                )
            yield number, clip


def _record(
    engine: Engine, config: VizdoomConfig, random: np.random.Generator
) -> tuple[Take | None, Player | None]:
    """Record one clip; nothing if the player leaves the map."""
    player, spot_seen = _draw_player(engine, config, random)
    if spot_seen is None:
        return None, None
    if player.kind == "door" and not _prepare_door(engine, player, random):
        return None, None
    take, num_tics = Take(), count_tics(config.seconds)
    kept = set(frame_tics(round(config.seconds * config.fps), config.fps) + LEAD_TICS)
    for command in AMMO:
        engine.command(command)
    for i in range(LEAD_TICS):
        if player.kind == "barrel" and i % 4 == 1 and not _sees_barrel(take):
            engine.command(f"summon {CUES['ExplosiveBarrel']}")
        seen = engine.act(Action(weapon=weapon_slot(player.weapon) if i < 3 else 0))
        if seen is None:
            return None, None
        take.add(*seen, keep_frame=False)
    for i in range(LEAD_TICS, LEAD_TICS + num_tics + TAIL_TICS):
        action = player.act(*seen)
        while player.commands:
            engine.command(player.commands.pop())
        seen = engine.act(action)
        if seen is None:
            return None, None
        take.add(*seen, keep_frame=i in kept)
    return take, player


def _draw_player(
    engine: Engine, config: VizdoomConfig, random: np.random.Generator
) -> tuple[Player, tuple[Tic, Media] | None]:
    """Draw what the player does, and move it to where that is possible."""
    fires = bool(random.random() >= config.shot_free_fraction)
    kinds = [kind for kind in config.plays if fires or kind != "barrel"] or ["stand"]
    kind, weapon = str(random.choice(kinds)), str(random.choice(list(config.weapons)))
    num_tics = count_tics(config.seconds)
    shots = draw_shots(random, weapon, num_tics) if fires and kind != "barrel" else []
    cues = draw_cues(random, num_tics) if random.random() < config.cue_prob else {}
    player = Player(kind, weapon, random, shots, cues)
    seen = engine.act(Action())
    if seen is None:
        return player, None
    doors = door_spots(engine, seen[0]) if kind == "door" else []
    if doors:
        for i in random.permutation(len(doors))[:DOOR_ATTEMPTS]:
            at_door = go_to(engine, doors[i], random)
            if at_door is not None and _opens(engine):
                return player, at_door
    if kind == "door":
        player.kind = "wander"
    return player, _go_to_view(engine, open_spots(engine, seen[0]), random)


def _go_to_view(engine: Engine, spots: list[Spot], random: np.random.Generator) -> tuple[Tic, Media] | None:
    """Move to a place with a view; if there is none in several tries, stay where the last one led to."""
    for _ in range(SPOT_ATTEMPTS):
        seen = go_to(engine, spots[int(random.integers(len(spots)))], random)
        if seen is not None:
            return seen
    return engine.act(Action())


def _opens(engine: Engine) -> bool:
    """Press the use key; return whether a ceiling begins to rise."""
    before = engine.act(Action())
    after = engine.act(Action(use=True))
    for _ in range(2):
        if before is None or after is None:
            return False
        pairs = zip(before[0].heights, after[0].heights, strict=True)
        if any(new[1] > old[1] for old, new in pairs):
            return True
        after = engine.act(Action())
    return False


def _prepare_door(engine: Engine, player: Player, random: np.random.Generator) -> bool:
    """Let the opened door close again, so that the clip opens it; or turn aside while it is about to close.

    Returns whether the player is still on the map.
    """
    if random.random() < 0.5:
        player.use_tic = int(random.integers(8, 40))
        return engine.skip(2 * DOOR_WAIT)
    seen, last = engine.act(Action()), -1.0
    while seen is not None:  # until the door is open
        height = sum(ceiling for _, ceiling in seen[0].heights)
        if height <= last:
            break
        last, seen = height, engine.act(Action())
    player.kind = "stand"
    turn = float(random.uniform(30, 150)) * float(random.choice([-1, 1]))
    if engine.act(Action(turn=turn)) is None:
        return False
    return engine.skip(DOOR_WAIT - LEAD_TICS - int(random.integers(10, 70)))


def _sees_barrel(take: Take) -> bool:
    return bool(take.tics) and any(
        thing.name == BARREL and number in take.tics[-1].visible
        for number, thing in take.tics[-1].things.items()
    )


def _clip_of(take: Take, player: Player, config: VizdoomConfig, name: str, engine: Engine) -> RecordedClip:
    num_frames, num_tics = round(config.seconds * config.fps), count_tics(config.seconds)
    frames = [take.frames[LEAD_TICS + int(tic)] for tic in frame_tics(num_frames, config.fps)]
    audio_CS = resample_clip(
        np.concatenate(take.samples),
        LEAD_TICS,
        round(num_frames / config.fps * RATE),
        {"mono": 1, "stereo": 2}[config.audio],
    )
    stop = LEAD_TICS + num_tics
    events = find_events(take.tics, engine.sectors, LEAD_TICS, stop)
    facts = {
        "world": WORLD,
        "map": name,
        "play": player.kind,
        "weapon": player.weapon,
        "weapon_shown": config.show_weapon,
        "num_frames": num_frames,
        "fps": config.fps,
        "events": [event.to_dict() for event in events],
        "motion": dataclasses.asdict(describe_motion(take.tics[LEAD_TICS:stop])),
        "objects": list_objects(take.tics[LEAD_TICS:stop]),
    }
    video_THWC = np.stack([resize(frame, config.height, config.width) for frame in frames])
    return RecordedClip(video_THWC, audio_CS, facts)


def resize(rgb_HWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a frame of another size, each pixel the mean of the area that it covers."""
    if rgb_HWC.shape[:2] == (height, width):
        return rgb_HWC
    return np.asarray(Image.fromarray(rgb_HWC).resize((width, height), Image.Resampling.BOX))
