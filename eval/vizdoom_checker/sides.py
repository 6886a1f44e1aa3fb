"""Tell from stereo levels whether a source is left or right.

Legend: C channels, T steps, F mel bands.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.vizdoom_checker.spectrum import HOP_S, mel_magnitudes
from src.core.media_io.audio import Audio

AFTER_S = 0.1
ALONE_BEFORE_S, ALONE_AFTER_S = 1.0, 0.25  # an earlier source is still heard for most of a second
MIN_SHIFT = 1e-4  # fraction of the magnitudes; less is no side
MIN_AZIMUTH_DEG = 20.0


def off_axis_events(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sources more than 20 degrees off the axis through the player that are heard alone."""
    placed = [event for event in facts["events"] if event["azimuth_deg"] is not None]
    return [
        event
        for event in placed
        if MIN_AZIMUTH_DEG < abs(event["azimuth_deg"]) < 180 - MIN_AZIMUTH_DEG
        and event.get("count", 1) == 1
        and not any(e is not event and _overlaps(event, e) for e in placed)
    ]


def _overlaps(event: dict[str, Any], other: dict[str, Any]) -> bool:
    return -ALONE_BEFORE_S < other["time_s"] - event["time_s"] < ALONE_AFTER_S


def find_side(magnitudes_CTF: NDArray[np.float32], time_s: float) -> int:
    """Return 1 for right, -1 for left, 0 for neither, of what begins at a time.

    Sources in the middle, such as the player's shots, are equal in both channels: their difference has none.
    It therefore weighs the steps and bands, each of which counts for its louder channel.

    Args:
        magnitudes_CTF: of left, right, and their difference.
    """
    start, stop = round(time_s / HOP_S), round((time_s + AFTER_S) / HOP_S)
    left, right, difference = magnitudes_CTF[:, start + 1 : stop].astype(np.float64)
    power = left**2 + right**2
    shift = (difference * (right**2 - left**2) / (power + 1e-14)).sum()
    if abs(shift) <= MIN_SHIFT * np.sqrt(power).sum():
        return 0
    return 1 if shift > 0 else -1


def check_sides(audio: Audio, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the off-axis events with the side that was found; [] for audio of one channel has sides 0."""
    events = off_axis_events(facts)
    if not events:
        return []
    left_S, right_S = audio.mixdown(2).samples_CS
    three_CS = np.stack([left_S, right_S, right_S - left_S])
    magnitudes_CTF = mel_magnitudes(Audio(three_CS, audio.rate, ("FL", "FR", "FC")))
    return [
        {
            "time_s": event["time_s"],
            "kind": event["kind"],
            "expected": 1 if event["azimuth_deg"] > 0 else -1,
            "found": find_side(magnitudes_CTF, event["time_s"]),
        }
        for event in events
    ]
