"""The Bounce world: short videos of colored shapes that move and bounce in a room, with their ground truth.

    from data.bounce.world import WorldConfig, caption_variants, make_video, render_audio

    video = make_video(7, WorldConfig(), num_frames=32, height=64, width=64, fps=16)
    video.video_THWC               # uint8 pixels
    video.facts                    # objects, directions, impacts: `data.bounce.facts.VideoFacts`
    caption_variants(video.facts)  # from short to long, in the paper's style
    render_audio(video.facts)      # 48 kHz, every impact at its sample

A video is a pure function of (WORLD_VERSION, seed, config, size): the same on every machine and in every
process. The same seed gives the same scene at any resolution of one aspect ratio.
"""

from dataclasses import dataclass

import numpy as np

from data.bounce.audio import render_audio
from data.bounce.backgrounds import sample_floor
from data.bounce.camera import camera_path
from data.bounce.captions import caption_variants
from data.bounce.config import WorldConfig
from data.bounce.facts import Impact, ObjectFacts, VideoFacts
from data.bounce.portable_random import PortableRandom
from data.bounce.render import render, trace
from data.bounce.scene import Scene, sample_scene
from src.core.errors import UserError

WORLD_VERSION = "bounce-1"
"""Changes whenever any video, sound or caption changes."""

__all__ = [
    "WORLD_VERSION",
    "BounceVideo",
    "Impact",
    "ObjectFacts",
    "VideoFacts",
    "WorldConfig",
    "caption_variants",
    "make_video",
    "render_audio",
    "render_scene",
]


@dataclass(frozen=True)
class BounceVideo:
    """Pixels and ground truth."""

    video_THWC: np.ndarray  # uint8
    facts: VideoFacts
    # float32 [N, T, 4]: x, y, radius in pixels (radius 0: not visible), angle in radians
    tracks_NTXYRA: np.ndarray
    view_T3: np.ndarray  # float32 [T, 3]: x, y of the camera's center and its scale in room units


def make_video(
    seed: int, config: WorldConfig, *, num_frames: int, height: int, width: int, fps: float
) -> BounceVideo:
    """Render one video; with num_frames=1 an image, whose facts hold no motion.

    Args:
        seed: any integer; the video's identity.
        num_frames, height, width: at least 1, 8, 8.
        fps: frames per second.

    Raises:
        UserError (a ValueError): a size out of range, or a config that allows no legible video.
    """
    for name, value, minimum in (("num_frames", num_frames, 1), ("height", height, 8), ("width", width, 8)):
        if value < minimum:
            raise UserError(f"{name}={value}: a video needs at least {minimum}")
    if not fps > 0:
        raise UserError(f"fps={fps}: must be positive")
    return render_scene(sample_scene(seed, WORLD_VERSION, config, num_frames, height, width, float(fps)))


def render_scene(scene: Scene) -> BounceVideo:
    """Render a scene, such as one that was chosen by its audio (`data.bounce.audio_scene`)."""
    facts = scene.facts
    random = PortableRandom(facts.seed, WORLD_VERSION + "/look")
    floor = sample_floor(facts.background, random)
    view = camera_path(facts.camera, facts.num_frames, facts.fps, scene.room, random)
    tracks = trace(scene, view)
    video = render(scene, floor, view, tracks)
    return BounceVideo(video, facts, tracks.astype(np.float32), view.astype(np.float32))
