"""Test whether audio jumps at the borders of windows more than inside them.

A jump is measured between a stretch before and one after a place: of the spectrum, the mean absolute
difference of band levels in dB; of loudness, the absolute difference of the level in dB. Both are set in
relation to the median of random times of the same track, so that tracks of any content can be pooled. The
ratio of smooth audio is 1.

Legend: S samples, K bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.core.clusters import bootstrap_counts
from eval.core.intervals import percentile_bounds
from src.core.rng import numpy_generator

GUARD_S = 0.01  # before and after a place that is not measured: a cross-fade of 10 ms hides in it
SPECTRUM_S, LOUDNESS_S = 0.06, 0.2  # stretches on each side
NUM_BANDS, LOWEST_HZ, HIGHEST_HZ = 24, 60.0, 16_000.0
FLOOR = 1e-10  # power of a band below which nothing is heard
INSIDE_S = 0.3  # distance of random times from every border
TIMES_PER_TRACK = 200
NUM_RESAMPLES = 1000
BOUNDS = (0.9, 1.1)  # of the ratio of smooth audio
MIN_BORDERS = 200
KINDS = ("spectrum", "loudness")

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class BorderTrack:
    """Audio [S], and the seconds at which windows meet; impacts near a place leave it out."""

    samples_S: Samples
    rate: int
    borders_s: tuple[float, ...]
    impacts_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class BorderJumps:
    """Jumps at one track's borders over the median jump inside, [num, 2]: of KINDS."""

    ratios: Samples
    num_left_out: int


@dataclass(frozen=True)
class BorderRatio:
    """Median ratio of all borders, and its 95 % interval over tracks, for each of KINDS."""

    num_borders: int
    num_tracks: int
    num_left_out: int
    medians: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @property
    def is_smooth(self) -> bool:
        """True if every interval lies inside BOUNDS."""
        return min(self.lows) >= BOUNDS[0] and max(self.highs) <= BOUNDS[1]

    @property
    def is_found(self) -> bool:
        """True if an interval lies above BOUNDS: the borders can be heard in the numbers."""
        return max(self.lows) > BOUNDS[1]


def measure_borders(track: BorderTrack, index: int = 0) -> BorderJumps:
    """Return the jumps of one track.

    Args:
        index: of the track, by which its random times are drawn.

    Raises:
        ValueError: there is no place inside windows to compare with.
    """
    borders = [each for each in track.borders_s if _is_measurable(track, each)]
    inside = [each for each in random_times(track, index) if _is_measurable(track, each)]
    if len(inside) < 10:
        raise ValueError(f"track {index}: only {len(inside)} times inside windows")
    typical = np.median([_jumps(track, each) for each in inside], 0)
    ratios = np.array([_jumps(track, each) / np.maximum(typical, 1e-3) for each in borders])
    return BorderJumps(ratios.reshape(-1, len(KINDS)), len(track.borders_s) - len(borders))


def random_times(track: BorderTrack, index: int) -> Samples:
    """Return times drawn uniformly from the track without the surroundings of borders."""
    rng = numpy_generator(0, "border jumps", index)
    times = rng.uniform(LOUDNESS_S + GUARD_S, len(track.samples_S) / track.rate, 4 * TIMES_PER_TRACK)
    borders = np.array(track.borders_s, float)
    if len(borders):
        times = times[np.abs(times[:, None] - borders).min(1) >= INSIDE_S]
    return np.asarray(times[:TIMES_PER_TRACK], np.float64)


def compare_borders(tracks: Sequence[BorderTrack]) -> BorderRatio:
    """Return the ratio over all tracks.

    Raises:
        ValueError: no borders are left.
    """
    return pool_jumps([measure_borders(track, i) for i, track in enumerate(tracks)])


def pool_jumps(jumps: Sequence[BorderJumps]) -> BorderRatio:
    """Return the ratio of the borders of several tracks, each track a cluster."""
    used = [each.ratios for each in jumps if len(each.ratios)]
    if not used:
        raise ValueError("no borders without impacts near them")
    ratios = np.concatenate(used)
    codes = np.repeat(np.arange(len(used)), [len(each) for each in used])
    drawn = [
        np.median(np.repeat(ratios, counts, 0), 0) for counts in bootstrap_counts([codes], NUM_RESAMPLES)
    ]
    bounds = [percentile_bounds(column) for column in np.transpose(drawn)]
    return BorderRatio(
        num_borders=len(ratios),
        num_tracks=len(used),
        num_left_out=sum(each.num_left_out for each in jumps),
        medians=tuple(float(each) for each in np.median(ratios, 0)),
        lows=tuple(low for low, _ in bounds),
        highs=tuple(high for _, high in bounds),
    )


def _is_measurable(track: BorderTrack, time_s: float) -> bool:
    """Return whether both stretches lie inside the audio and no impact begins in them or just before."""
    reach = LOUDNESS_S + GUARD_S
    if time_s < reach or time_s + reach > len(track.samples_S) / track.rate:
        return False
    return all(abs(each - time_s) > 2 * reach for each in track.impacts_s)


def _jumps(track: BorderTrack, time_s: float) -> Samples:
    left, right = (_band_levels(track, time_s, side) for side in (-1, 1))
    return np.array([np.abs(left - right).mean(), abs(_level(track, time_s, -1) - _level(track, time_s, 1))])


def _stretch(track: BorderTrack, time_s: float, side: int, seconds: float) -> Samples:
    size = round(seconds * track.rate)
    edge = round((time_s + side * GUARD_S) * track.rate)
    start = edge - size if side < 0 else edge
    return track.samples_S[start : start + size]


def _band_levels(track: BorderTrack, time_s: float, side: int) -> Samples:
    """Return levels in dB of bands of equal width in octaves, [K]."""
    samples_S = _stretch(track, time_s, side, SPECTRUM_S)
    power = np.abs(np.fft.rfft(samples_S * np.hanning(len(samples_S)))) ** 2 / len(samples_S)
    hertz = np.fft.rfftfreq(len(samples_S), 1 / track.rate)
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, track.rate / 2), NUM_BANDS + 1)
    starts = np.searchsorted(hertz, edges)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    counts = np.maximum(starts[1:] - starts[:-1], 1)
    means = (sums[starts[:-1] + counts] - sums[starts[:-1]]) / counts
    return np.asarray(10 * np.log10(means + FLOOR), np.float64)


def _level(track: BorderTrack, time_s: float, side: int) -> float:
    """Return the level in dB without the mean, which is inaudible."""
    samples_S = _stretch(track, time_s, side, LOUDNESS_S)
    return float(10 * np.log10(np.var(samples_S) + FLOOR))
