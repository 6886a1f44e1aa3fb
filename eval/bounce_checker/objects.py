"""Segment objects as blobs of one color in each frame, and track them through the video.

Legend: T frames, H, W frame.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt, label, sum_labels
from scipy.optimize import linear_sum_assignment

from eval.bounce_checker.color import COLOR_NAMES, PALETTE, floor_chroma, nearest_color
from eval.bounce_checker.config import CheckerConfig

DEFAULTS = CheckerConfig()
MAX_LENGTH, MIN_THICKNESS = 0.75, 0.08  # of an object, of the frame's side; the largest spans 0.6
EDGE_AREA, EDGE_DISTANCE = 0.4, 1.3  # of the larger one's area, and of its radius between the centers
WITHIN_FRAME = np.zeros((3, 3, 3), int)
WITHIN_FRAME[1] = 1


@dataclass
class Blob:
    """Connected pixels of one color in one frame; x, y is the center relative to the frame's."""

    frame: int
    color: int
    pixels: np.ndarray  # [n, 2] row, column
    x: float
    y: float
    strength: float  # of its best pixels: 0 floor, 1 the vocabulary's color


@dataclass
class Track:
    """One object's blobs by frame."""

    color: int
    blobs: dict[int, Blob] = field(default_factory=dict)


def find_blobs(lab_THWC: np.ndarray, fg_THW: np.ndarray, settings: CheckerConfig = DEFAULTS) -> list[Blob]:
    """Return the blobs of all frames; touching objects of different colors are separated."""
    colors = _label_pixels(lab_THWC, fg_THW, settings.min_area)
    tint = floor_chroma(lab_THWC)
    _, height, width = fg_THW.shape
    min_area = max(4.0, settings.min_area * height * width)
    blobs = []
    for k in range(len(COLOR_NAMES)):
        mask = colors == k
        if not mask.any():
            continue
        parts, count = label(mask, WITHIN_FRAME)
        areas = sum_labels(mask, parts, np.arange(count + 1))
        t, y, x = np.nonzero(parts)
        ids = parts[t, y, x]
        order = np.argsort(ids, kind="stable")
        ids, t, y, x = ids[order], t[order], y[order], x[order]
        ends = np.flatnonzero(np.diff(ids, prepend=-1, append=-1))
        for start, stop in pairwise(ends):
            if areas[ids[start]] >= min_area:
                pixels = np.column_stack([y[start:stop], x[start:stop]])
                if not _is_baseboard(pixels, min(height, width)):
                    middle = pixels.mean(0) - ((height - 1) / 2, (width - 1) / 2)
                    values = lab_THWC[t[start], pixels[:, 0], pixels[:, 1]]
                    strength = float(np.quantile(_strength(values, np.full(len(values), k), tint), 0.8))
                    blobs.append(Blob(int(t[start]), k, pixels, float(middle[1]), float(middle[0]), strength))
    return blobs


def _is_baseboard(pixels: np.ndarray, side: int) -> bool:
    """Return whether a blob is part of the baseboard: a line, or a frame around the floor."""
    short, long = sorted(np.ptp(pixels, axis=0) + 1)
    return long > MAX_LENGTH * side or (short < MIN_THICKNESS * side and long > 3 * short)


def edge_width(lab_THWC: np.ndarray, blobs: list[Blob]) -> float:
    """Return the width of the objects' edges in pixels: about 1 in a sharp video."""
    floor_3 = np.array([np.median(lab_THWC[..., 0]), *floor_chroma(lab_THWC)])
    widths = []
    for blob in blobs[:: max(1, len(blobs) // 24)]:
        rows, columns = blob.pixels.T
        offset = np.median(lab_THWC[blob.frame, rows, columns], axis=0) - floor_3
        area = np.s_[max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3]
        alpha = (lab_THWC[blob.frame][area] - floor_3) @ offset / max(float(offset @ offset), 1e-6)
        steps = [np.abs(np.diff(alpha, axis=axis)).ravel() for axis in (0, 1)]
        widths.append(1 / max(float(np.quantile(np.concatenate(steps), 0.97)), 0.05))
    return float(np.median(widths)) if widths else 1.0


def stabilize_blobs(blobs: list[Blob], view_T3: np.ndarray) -> list[Blob]:
    """Return the blobs with positions on the canvas, free of camera motion."""
    moved = []
    for blob in blobs:
        vx, vy, s = view_T3[blob.frame]
        moved.append(replace(blob, x=s * blob.x + vx, y=s * blob.y + vy))
    return moved


def _label_pixels(lab: np.ndarray, fg: np.ndarray, min_area: float) -> np.ndarray:
    """Return the color index of each foreground pixel, -1 elsewhere.

    Edges are mixtures with the floor or with a neighbor and may look like a third color. So only the strong
    pixels of a region vote for its colors, and the others join the nearest pixel of a winning color.
    """
    parts, count = label(fg, WITHIN_FRAME)
    colors = np.full(fg.shape, -1, np.int64)
    if not count:
        return colors
    where = np.nonzero(fg)
    values, part = lab[where], parts[where]
    names = nearest_color(values)
    strength = _strength(values, names, floor_chroma(lab))
    group = part * len(COLOR_NAMES) + names
    core = strength > 0.72
    size = np.bincount(part, minlength=count + 1)
    table = np.bincount(group[core], minlength=(count + 1) * len(COLOR_NAMES))
    table = table.reshape(count + 1, len(COLOR_NAMES))
    weak = table.sum(1) < 0.25 * size  # a pale or blurred video: all its pixels vote
    all_votes = np.bincount(group, minlength=table.size).reshape(table.shape)
    table = np.where(weak[:, None], all_votes, table)
    min_votes = np.maximum(0.16 * table.sum(1), 0.5 * min_area * fg.shape[1] * fg.shape[2])
    elected = table >= np.minimum(min_votes, table.max(1))[:, None]
    single = elected.sum(1) <= 1
    colors[where] = np.where(
        single[part], table.argmax(1)[part], np.where(elected[part, names] & core, names, -2)
    )
    return _join_nearest(colors, parts)


def _join_nearest(colors: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Give pixels marked -2 the color of the nearest labeled pixel of their region."""
    for t in np.unique(np.nonzero(colors == -2)[0]):
        for part in np.unique(parts[t][colors[t] == -2]):
            inside = parts[t] == part
            known = inside & (colors[t] >= 0)
            if not known.any():
                colors[t][inside] = -1
                continue
            index = distance_transform_edt(~known, return_distances=False, return_indices=True)
            colors[t] = np.where(inside, colors[t][tuple(index)], colors[t])
    return colors


def _strength(lab: np.ndarray, names: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Return the position of each pixel between the floor (0) and its vocabulary color (1)."""
    target = PALETTE[names, 1:] - tint
    reach = (target**2).sum(-1)
    along = ((lab[..., 1:] - tint) * target).sum(-1) / np.maximum(reach, 1e-6)
    white = np.hypot(PALETTE[names, 1], PALETTE[names, 2]) < 0.02
    return np.where(white, (lab[..., 0] - 0.8) / (0.967 - 0.8), along)


def find_tracks(
    blobs: list[Blob], num_frames: int, side: int, settings: CheckerConfig = DEFAULTS
) -> list[Track]:
    """Track blobs of each color; the number of objects is how many are visible at once for some frames."""
    tracks = []
    for color in sorted({blob.color for blob in blobs}):
        by_frame: list[list[Blob]] = [[] for _ in range(num_frames)]
        for blob in blobs:
            if blob.color == color:
                by_frame[blob.frame].append(blob)
        counts = np.array([len(each) for each in by_frame])
        min_frames = max(1, min(2, num_frames), round(0.15 * num_frames))
        num = max((n for n in range(1, counts.max() + 1) if (counts >= n).sum() >= min_frames), default=0)
        if num:
            tracks += _track_color(by_frame, counts, num, color, side)
    clear = [
        each
        for each in tracks
        if np.median([b.strength for b in each.blobs.values()]) > settings.min_strength
    ]
    return [track for track in clear if not any(_is_edge_artifact(track, other) for other in clear)]


def _is_edge_artifact(small: Track, large: Track) -> bool:
    """Return whether a track is the off-color edge of another: always next to it, and much smaller."""
    shared = small.blobs.keys() & large.blobs.keys()
    if small is large or len(shared) < 0.8 * len(small.blobs):
        return False
    if _median_area(small) > EDGE_AREA * _median_area(large):
        return False
    reach = EDGE_DISTANCE * (_median_area(large) / np.pi) ** 0.5
    gaps = [np.hypot(*(small.blobs[t].pixels.mean(0) - large.blobs[t].pixels.mean(0))) for t in shared]
    return bool(np.mean(np.array(gaps) < reach) > 0.8)


def _track_color(
    by_frame: list[list[Blob]], counts: np.ndarray, num: int, color: int, side: int
) -> list[Track]:
    """Track `num` objects of one color forwards and backwards from a frame that shows all of them."""
    tracks = [Track(color) for _ in range(num)]
    full = np.flatnonzero(counts >= num)
    anchor = int(full[np.abs(full - np.median(full)).argmin()])
    first = sorted(by_frame[anchor], key=lambda blob: -len(blob.pixels))[:num]
    for track, blob in zip(tracks, first, strict=True):
        track.blobs[anchor] = blob
    for frames in (range(anchor + 1, len(by_frame)), range(anchor - 1, -1, -1)):
        for t in frames:
            if by_frame[t]:
                _assign_blobs(tracks, by_frame[t], t, side)
    return tracks


def _assign_blobs(tracks: list[Track], blobs: list[Blob], t: int, side: int) -> None:
    """Assign the blobs of frame t to tracks by distance; split the blob of two merged objects."""
    positions = np.array([_predict(track, t) for track in tracks])
    gaps = np.hypot(*(positions[:, None] - np.array([[b.x, b.y] for b in blobs])).transpose(2, 0, 1))
    rows, columns = linear_sum_assignment(gaps)
    assigned = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    for n, track in enumerate(tracks):
        if n in assigned:
            track.blobs[t] = blobs[assigned[n]]
    for n, track in enumerate(tracks):
        if n in assigned:
            continue
        other = next((m for m in assigned if assigned[m] == int(gaps[n].argmin())), None)
        blob = blobs[int(gaps[n].argmin())]
        if other is None or len(blob.pixels) < 0.7 * (_median_area(track) + _median_area(tracks[other])):
            continue  # absent or hidden
        first, second = _split_blob(blob, positions[n], positions[other])
        if first is not None and second is not None:
            track.blobs[t], tracks[other].blobs[t] = first, second


def _predict(track: Track, t: int) -> tuple[float, float]:
    near = sorted(track.blobs, key=lambda frame: abs(frame - t))[:3]
    last = track.blobs[near[0]]
    if len(near) < 2:
        return last.x, last.y
    before = track.blobs[near[-1]]
    rate = (t - near[0]) / (near[0] - near[-1])
    return last.x + rate * (last.x - before.x), last.y + rate * (last.y - before.y)


def _median_area(track: Track) -> float:
    return float(np.median([len(blob.pixels) for blob in track.blobs.values()]))


def _split_blob(blob: Blob, first: np.ndarray, second: np.ndarray) -> tuple[Blob | None, Blob | None]:
    """Split a blob by 2-means clustering, started at the two expected positions."""
    middle = blob.pixels.mean(0)
    center = np.array([blob.y, blob.x])
    seeds = np.array([first[::-1], second[::-1]]) - center + middle  # canvas to pixels, up to the scale
    side = np.zeros(len(blob.pixels), int)
    for _ in range(4):
        side = ((blob.pixels[:, None] - seeds) ** 2).sum(-1).argmin(1)
        if min((side == 0).sum(), (side == 1).sum()) < 4:
            return None, None
        seeds = np.stack([blob.pixels[side == n].mean(0) for n in (0, 1)])
    halves = []
    for n in (0, 1):
        pixels = blob.pixels[side == n]
        y, x = pixels.mean(0) - middle + center
        halves.append(replace(blob, pixels=pixels, x=float(x), y=float(y)))
    return halves[0], halves[1]
