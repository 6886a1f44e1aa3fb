"""Render a scene to pixels: antialiased, and fast because each object is drawn in its bounding box only."""

import math

import numpy as np

from data.bounce.backgrounds import Floor, paint
from data.bounce.physics import Body
from data.bounce.scene import Scene
from data.bounce.vocabulary import COLORS, circumradius, coverage

_POP_S = 0.12  # seconds in which an appearing object grows
_CHUNK = 1 << 22  # values rendered at once; bounds the memory of large videos


def trace(scene: Scene, view_T3: np.ndarray) -> np.ndarray:
    """Return the position of each object in the frames.

    Returns:
        float64 [N, T, 4]: x, y of the center (pixels, pixel centers at .5), radius (pixels, 0 while the
        object is not visible), angle (radians, clockwise).
    """
    facts = scene.facts
    tracks = np.zeros((len(scene.bodies), facts.num_frames, 4))
    for n, body in enumerate(scene.bodies):
        for t in range(facts.num_frames):
            time = t / facts.fps
            x, y = body.position(time)
            tracks[n, t] = (
                x,
                y,
                body.radius * _presence(time, scene.visible[n]),
                body.angle + body.spin * time,
            )
    px_T = view_T3[:, 2] / min(facts.height, facts.width)
    half = np.array([facts.width / 2, facts.height / 2])
    tracks[:, :, :2] = (tracks[:, :, :2] - view_T3[:, :2]) / px_T[:, None] + half
    tracks[:, :, 2] /= px_T
    return tracks


def _presence(time: float, visible: tuple[float, float]) -> float:
    """Return the fraction of its full size that an object has: it grows and shrinks quickly."""
    return min(max(min((time - visible[0]) / _POP_S, (visible[1] - time) / _POP_S), 0.0), 1.0)


def render(scene: Scene, floor: Floor, view_T3: np.ndarray, tracks_NT4: np.ndarray) -> np.ndarray:
    """Return the video, uint8 [T, H, W, 3]."""
    facts = scene.facts
    video = np.empty((facts.num_frames, facts.height, facts.width, 3), np.uint8)
    is_static = bool((view_T3 == view_T3[0]).all())
    step = max(1, _CHUNK // (facts.height * facts.width * 3))
    canvas = _room(scene, floor, view_T3[:1]) if is_static else None
    for t in range(0, facts.num_frames, step):
        part = slice(t, min(t + step, facts.num_frames))
        if canvas is not None:
            frames = np.repeat(canvas, part.stop - t, axis=0)
        else:
            frames = _room(scene, floor, view_T3[part])
        for n, body in enumerate(scene.bodies):
            _draw(frames, body, facts.objects[n].color, tracks_NT4[n, part])
        video[part] = frames + np.float32(0.5)
    return video


def _room(scene: Scene, floor: Floor, view_T3: np.ndarray) -> np.ndarray:
    height, width = scene.facts.height, scene.facts.width
    px = (view_T3[:, 2] / min(height, width)).astype(np.float32)[:, None, None]
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2))[None, None, :] * px
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2))[None, :, None] * px
    center = view_T3.astype(np.float32)[:, :, None, None]
    return paint(floor, x + center[:, 0], y + center[:, 1], px, scene.room)


def _draw(frames: np.ndarray, body: Body, color: str, track_T4: np.ndarray) -> None:
    """Blend one object into float32 [T, H, W, 3] frames, in place."""
    visible = [t for t in range(len(track_T4)) if track_T4[t, 2] > 0.0]
    if not visible:
        return
    track = track_T4[visible]
    height, width = frames.shape[1:3]
    half = math.ceil(float(track[:, 2].max()) * circumradius(body.shape)) + 2
    corner = np.floor(track[:, :2]).astype(np.int64) - half
    grid = np.arange(2 * half + 1, dtype=np.float64) + 0.5
    dx = (grid + (corner[:, 0] - track[:, 0])[:, None]).astype(np.float32)[:, None, :]
    dy = (grid + (corner[:, 1] - track[:, 1])[:, None]).astype(np.float32)[:, :, None]
    radius = track[:, 2].astype(np.float32)[:, None, None]
    angle = track[:, 3].astype(np.float32)[:, None, None] if body.spin else 0.0
    alpha = coverage(body.shape, dx, dy, radius, angle)[..., None]
    paint_3 = np.asarray(COLORS[color], np.float32)
    for k, (t, (x, y)) in enumerate(zip(visible, corner.tolist(), strict=True)):
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + 2 * half + 1, width), min(y + 2 * half + 1, height)
        if x0 < x1 and y0 < y1:
            box = frames[t, y0:y1, x0:x1]
            box += alpha[k, y0 - y : y1 - y, x0 - x : x1 - x] * (paint_3 - box)
