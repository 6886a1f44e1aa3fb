"""The Bounce world: small films of coloured shapes that move and bounce in a room, and their whole truth.

    from data.bounce.world import WorldConfig, captions, film, sound

    clip = film(7, WorldConfig(), num_frames=32, height=64, width=64, fps=16)
    clip.video_THWC      # uint8 pixels
    clip.facts           # who, where to, when it hits: `data.bounce.facts.VideoFacts`
    captions(clip.facts) # from short to long, in the paper's style
    sound(clip.facts)    # 48 kHz, every impact at its sample

A film is a pure function of (WORLD_VERSION, seed, config, size): the same on every machine and in every
process. The same seed gives the same scene at any resolution of one aspect ratio.
"""

from dataclasses import dataclass

import numpy as np

from data.bounce.audio import sound
from data.bounce.backgrounds import draw_floor
from data.bounce.camera import camera_path
from data.bounce.captions import captions
from data.bounce.config import WorldConfig
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.render import render, trace
from data.bounce.scene import draw_scene
from src.core.errors import UserError

WORLD_VERSION = "bounce-1"
"""Changes whenever any film, sound or caption changes."""

__all__ = [
    "WORLD_VERSION",
    "Film",
    "VideoFacts",
    "Impact",
    "ObjectFacts",
    "WorldConfig",
    "captions",
    "film",
    "sound",
]


@dataclass(frozen=True)
class Film:
    """Pixels and truth."""

    video_THWC: np.ndarray  # uint8
    facts: VideoFacts
    tracks_NTXYRA: (
        np.ndarray
    )  # float32 [N, T, 4]: x, y, radius in pixels (radius 0: not there), angle in radians
    view_T3: np.ndarray  # float32 [T, 3]: the camera's centre x, y and scale in room units


def film(seed: int, config: WorldConfig, *, num_frames: int, height: int, width: int, fps: float) -> Film:
    """Make one film; with num_frames=1 a picture, whose facts know no motion.

    Args:
        seed: any integer; the film's identity.
        num_frames, height, width: at least 1, 8, 8.
        fps: frames per second.

    Raises:
        UserError (a ValueError): a size out of range, or a config that allows no legible film.
    """
    for name, value, least in (("num_frames", num_frames, 1), ("height", height, 8), ("width", width, 8)):
        if value < least:
            raise UserError(f"{name}={value}: a film needs at least {least}")
    if not fps > 0:
        raise UserError(f"fps={fps}: must be positive")
    scene = draw_scene(seed, WORLD_VERSION, config, num_frames, height, width, float(fps))
    dice = PortableRandom(seed, WORLD_VERSION + "/look")
    floor = draw_floor(scene.facts.background, dice)
    view = camera_path(scene.facts.camera, num_frames, fps, scene.room, dice)
    tracks = trace(scene, view)
    video = render(scene, floor, view, tracks)
    return Film(video, scene.facts, tracks.astype(np.float32), view.astype(np.float32))
