"""Which pixels belong to which object: coloured blobs in each frame, followed through the film.

Legend: T frames, H, W, K = number of vocabulary colours.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt, label, sum_labels
from scipy.optimize import linear_sum_assignment

from eval.bounce_checker.color import NAMES, PALETTE, floor_tint, nearest

MIN_AREA = 0.005  # of the frame: what is smaller is a speck
LONGEST, THINNEST = 0.75, 0.08  # of the frame's side; the largest object spans 0.6
FAINT = 0.5  # strength below which a thing is a stain on the floor
RIM_AREA, RIM_REACH = 0.4, 1.3  # of the larger one's area, and of its radius, between the centres
IN_PLANE = np.zeros((3, 3, 3), int)
IN_PLANE[1] = 1


@dataclass
class Blob:
    """Connected pixels of one colour in one frame; x, y is the centre relative to the frame's."""

    frame: int
    colour: int
    pixels: np.ndarray  # [n, 2] row, column
    x: float
    y: float
    strength: float  # of its best pixels: 0 floor, 1 the vocabulary's colour


@dataclass
class Track:
    """One object's blobs by frame."""

    colour: int
    blobs: dict[int, Blob] = field(default_factory=dict)


def find_blobs(lab_THWC: np.ndarray, fg_THW: np.ndarray) -> list[Blob]:
    """Blobs of all frames; touching objects of different colours are told apart."""
    colours = _pixel_colours(lab_THWC, fg_THW)
    tint = floor_tint(lab_THWC)
    _, height, width = fg_THW.shape
    least = max(4.0, MIN_AREA * height * width)
    blobs = []
    for k in range(len(NAMES)):
        mask = colours == k
        if not mask.any():
            continue
        parts, count = label(mask, IN_PLANE)
        areas = sum_labels(mask, parts, np.arange(count + 1))
        t, y, x = np.nonzero(parts)
        ids = parts[t, y, x]
        order = np.argsort(ids, kind="stable")
        ids, t, y, x = ids[order], t[order], y[order], x[order]
        ends = np.flatnonzero(np.diff(ids, prepend=-1, append=-1))
        for start, stop in pairwise(ends):
            if areas[ids[start]] >= least:
                pixels = np.column_stack([y[start:stop], x[start:stop]])
                if not _is_board(pixels, min(height, width)):
                    middle = pixels.mean(0) - ((height - 1) / 2, (width - 1) / 2)
                    values = lab_THWC[t[start], pixels[:, 0], pixels[:, 1]]
                    strength = float(np.quantile(_strength(values, np.full(len(values), k), tint), 0.8))
                    blobs.append(Blob(int(t[start]), k, pixels, float(middle[1]), float(middle[0]), strength))
    return blobs


def _is_board(pixels: np.ndarray, side: int) -> bool:
    """Whether a blob is a piece of skirting board: a line, or a frame around the room."""
    short, long = sorted(np.ptp(pixels, axis=0) + 1)
    return long > LONGEST * side or (short < THINNEST * side and long > 3 * short)


def edge_width(lab_THWC: np.ndarray, blobs: list[Blob]) -> float:
    """How many pixels the objects' edges take, from full colour to floor: about 1 in a crisp film."""
    floor_3 = np.array([np.median(lab_THWC[..., 0]), *floor_tint(lab_THWC)])
    widths = []
    for blob in blobs[:: max(1, len(blobs) // 24)]:
        rows, columns = blob.pixels.T
        offset = np.median(lab_THWC[blob.frame, rows, columns], axis=0) - floor_3
        area = np.s_[max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3]
        share = (lab_THWC[blob.frame][area] - floor_3) @ offset / max(float(offset @ offset), 1e-6)
        steps = [np.abs(np.diff(share, axis=axis)).ravel() for axis in (0, 1)]
        widths.append(1 / max(float(np.quantile(np.concatenate(steps), 0.97)), 0.05))
    return float(np.median(widths)) if widths else 1.0


def on_canvas(blobs: list[Blob], view_T3: np.ndarray) -> list[Blob]:
    """The blobs with the camera's move taken out of their places."""
    moved = []
    for blob in blobs:
        vx, vy, s = view_T3[blob.frame]
        moved.append(replace(blob, x=s * blob.x + vx, y=s * blob.y + vy))
    return moved


def _pixel_colours(lab: np.ndarray, fg: np.ndarray) -> np.ndarray:
    """Colour index of each foreground pixel, -1 elsewhere.

    Edges are mixtures with the floor or with a neighbour and may look like a third colour. So only an
    area's strong pixels vote, and the others join the nearest pixel of a colour that was elected.
    """
    parts, count = label(fg, IN_PLANE)
    colours = np.full(fg.shape, -1, np.int64)
    if not count:
        return colours
    where = np.nonzero(fg)
    values, part = lab[where], parts[where]
    names = nearest(values)
    strength = _strength(values, names, floor_tint(lab))
    group = part * len(NAMES) + names
    core = strength > 0.72
    size = np.bincount(part, minlength=count + 1)
    table = np.bincount(group[core], minlength=(count + 1) * len(NAMES))
    table = table.reshape(count + 1, len(NAMES))
    weak = table.sum(1) < 0.25 * size  # a pale or blurred film: all its pixels vote
    everything = np.bincount(group, minlength=table.size).reshape(table.shape)
    table = np.where(weak[:, None], everything, table)
    least = np.maximum(0.16 * table.sum(1), 0.5 * MIN_AREA * fg.shape[1] * fg.shape[2])
    elected = table >= np.minimum(least, table.max(1))[:, None]
    single = elected.sum(1) <= 1
    colours[where] = np.where(
        single[part], table.argmax(1)[part], np.where(elected[part, names] & core, names, -2)
    )
    return _join_nearest(colours, parts)


def _join_nearest(colours: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Give pixels marked -2 the colour of the nearest coloured pixel of their own area."""
    for t in np.unique(np.nonzero(colours == -2)[0]):
        for part in np.unique(parts[t][colours[t] == -2]):
            inside = parts[t] == part
            known = inside & (colours[t] >= 0)
            if not known.any():
                colours[t][inside] = -1
                continue
            index = distance_transform_edt(~known, return_distances=False, return_indices=True)
            colours[t] = np.where(inside, colours[t][tuple(index)], colours[t])
    return colours


def _strength(lab: np.ndarray, names: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """How far a pixel is from the floor to its vocabulary colour: 0 floor, 1 the colour itself."""
    target = PALETTE[names, 1:] - tint
    reach = (target**2).sum(-1)
    along = ((lab[..., 1:] - tint) * target).sum(-1) / np.maximum(reach, 1e-6)
    white = np.hypot(PALETTE[names, 1], PALETTE[names, 2]) < 0.02
    return np.where(white, (lab[..., 0] - 0.8) / (0.967 - 0.8), along)


def find_tracks(blobs: list[Blob], num_frames: int, side: int) -> list[Track]:
    """Follow blobs of one colour; as many objects of a colour as are seen at once for some frames."""
    tracks = []
    for colour in sorted({blob.colour for blob in blobs}):
        by_frame: list[list[Blob]] = [[] for _ in range(num_frames)]
        for blob in blobs:
            if blob.colour == colour:
                by_frame[blob.frame].append(blob)
        counts = np.array([len(each) for each in by_frame])
        lasting = max(1, min(2, num_frames), round(0.15 * num_frames))
        number = max((n for n in range(1, counts.max() + 1) if (counts >= n).sum() >= lasting), default=0)
        if number:
            tracks += _follow(by_frame, counts, number, colour, side)
    clear = [each for each in tracks if np.median([b.strength for b in each.blobs.values()]) > FAINT]
    return [track for track in clear if not any(_is_rim(track, other) for other in clear)]


def _is_rim(small: Track, large: Track) -> bool:
    """Whether a track is but the off-colour edge of another: always beside it, and much smaller."""
    shared = small.blobs.keys() & large.blobs.keys()
    if small is large or len(shared) < 0.8 * len(small.blobs):
        return False
    if _usual_area(small) > RIM_AREA * _usual_area(large):
        return False
    reach = RIM_REACH * (_usual_area(large) / np.pi) ** 0.5
    gaps = [np.hypot(*(small.blobs[t].pixels.mean(0) - large.blobs[t].pixels.mean(0))) for t in shared]
    return bool(np.mean(np.array(gaps) < reach) > 0.8)


def _follow(
    by_frame: list[list[Blob]], counts: np.ndarray, number: int, colour: int, side: int
) -> list[Track]:
    tracks = [Track(colour) for _ in range(number)]
    full = np.flatnonzero(counts >= number)
    anchor = int(full[np.abs(full - np.median(full)).argmin()])
    first = sorted(by_frame[anchor], key=lambda blob: -len(blob.pixels))[:number]
    for track, blob in zip(tracks, first, strict=True):
        track.blobs[anchor] = blob
    for frames in (range(anchor + 1, len(by_frame)), range(anchor - 1, -1, -1)):
        for t in frames:
            if by_frame[t]:
                _extend(tracks, by_frame[t], t, side)
    return tracks


def _extend(tracks: list[Track], blobs: list[Blob], t: int, side: int) -> None:
    """Hand the blobs of frame t to tracks, nearest first; a blob of two merged objects is cut in two."""
    places = np.array([_predict(track, t) for track in tracks])
    gaps = np.hypot(*(places[:, None] - np.array([[b.x, b.y] for b in blobs])).transpose(2, 0, 1))
    rows, columns = linear_sum_assignment(gaps)
    given = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    for n, track in enumerate(tracks):
        if n in given:
            track.blobs[t] = blobs[given[n]]
    for n, track in enumerate(tracks):
        if n in given:
            continue
        other = next((m for m in given if given[m] == int(gaps[n].argmin())), None)
        blob = blobs[int(gaps[n].argmin())]
        if other is None or len(blob.pixels) < 0.7 * (_usual_area(track) + _usual_area(tracks[other])):
            continue  # not there, or hidden
        mine, theirs = _cut(blob, places[n], places[other])
        if mine is not None and theirs is not None:
            track.blobs[t], tracks[other].blobs[t] = mine, theirs


def _predict(track: Track, t: int) -> tuple[float, float]:
    near = sorted(track.blobs, key=lambda frame: abs(frame - t))[:3]
    last = track.blobs[near[0]]
    if len(near) < 2:
        return last.x, last.y
    before = track.blobs[near[-1]]
    rate = (t - near[0]) / (near[0] - near[-1])
    return last.x + rate * (last.x - before.x), last.y + rate * (last.y - before.y)


def _usual_area(track: Track) -> float:
    return float(np.median([len(blob.pixels) for blob in track.blobs.values()]))


def _cut(blob: Blob, mine: np.ndarray, theirs: np.ndarray) -> tuple[Blob | None, Blob | None]:
    """Split a blob at equal distance from two expected places, moved to where the halves really are."""
    middle = blob.pixels.mean(0)
    centre = np.array([blob.y, blob.x])
    seeds = np.array([mine[::-1], theirs[::-1]]) - centre + middle  # canvas to pixels, near enough here
    side = np.zeros(len(blob.pixels), int)
    for _ in range(4):
        side = ((blob.pixels[:, None] - seeds) ** 2).sum(-1).argmin(1)
        if min((side == 0).sum(), (side == 1).sum()) < 4:
            return None, None
        seeds = np.stack([blob.pixels[side == n].mean(0) for n in (0, 1)])
    halves = []
    for n in (0, 1):
        pixels = blob.pixels[side == n]
        y, x = pixels.mean(0) - middle + centre
        halves.append(replace(blob, pixels=pixels, x=float(x), y=float(y)))
    return halves[0], halves[1]
