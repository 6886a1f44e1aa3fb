"""Tell from stereo levels whether a source is left or right.

Legend: C = 2 channels, T steps, F mel bands.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.vizdoom_checker.spectrum import HOP_S, mel_magnitudes
from src.core.media_io.audio import Audio

AFTER_S, BEFORE_S = 0.25, 0.05
MIN_RATIO = 1.06  # louder by less than half a decibel is no side
MIN_AZIMUTH_DEG = 20.0


def off_axis_events(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of one source more than 20 degrees off the axis through the player."""
    return [
        event
        for event in facts["events"]
        if event["azimuth_deg"] is not None
        and MIN_AZIMUTH_DEG < abs(event["azimuth_deg"]) < 180 - MIN_AZIMUTH_DEG
        and event.get("count", 1) == 1
    ]


def find_side(magnitudes_CTF: NDArray[np.float32], time_s: float) -> int:
    """Return 1 for right, -1 for left, 0 for neither, of what begins at a time: which channel rises more."""
    start, stop = round(time_s / HOP_S), round((time_s + AFTER_S) / HOP_S)
    first = max(start - round(BEFORE_S / HOP_S), 0)
    after_CF = (magnitudes_CTF[:, start + 1 : stop] ** 2).mean(1)
    before_CF = (magnitudes_CTF[:, first : max(start - 1, first + 1)] ** 2).mean(1)
    left, right = np.sqrt(np.maximum(after_CF - before_CF, 0).sum(1))
    if right > MIN_RATIO * left:
        return 1
    return -1 if left > MIN_RATIO * right else 0


def check_sides(audio: Audio, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the off-axis events with the side that was found; [] for audio of one channel has sides 0."""
    events = off_axis_events(facts)
    if not events:
        return []
    magnitudes_CTF = mel_magnitudes(audio.mixdown(2))
    return [
        {
            "time_s": event["time_s"],
            "kind": event["kind"],
            "expected": 1 if event["azimuth_deg"] > 0 else -1,
            "found": find_side(magnitudes_CTF, event["time_s"]),
        }
        for event in events
    ]
