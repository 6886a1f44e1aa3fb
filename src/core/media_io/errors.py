"""Faults of media files: errors that end reading, and events that are counted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# Faults that raise by default; a caller that leaves one out of `raise_on` gets it as an event instead.
STRICT = frozenset({"damaged", "truncated", "changed while it was read"})
ONE_CLOCK = STRICT | {"clock jump"}  # for those who take a file as one stretch of time


class MediaError(ValueError):
    """A file that cannot be used: `reason` is short and countable, `detail` adds specifics."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class MediaEvent:
    """Something in a file that was left out, replaced or guessed: `reason` is short and countable."""

    reason: str
    detail: str = ""
    time_s: float | None = None


class EventLog:
    """Collects the events of one pass over a file, and raises those that the caller does not accept."""

    def __init__(self, raise_on: frozenset[str]) -> None:
        self.raise_on = raise_on
        self.events: list[MediaEvent] = []

    def add(self, reason: str, detail: str, time_s: float | None = None) -> None:
        """Record an event; raise MediaError if its reason is in `raise_on`."""
        if reason in self.raise_on:
            raise MediaError(reason, detail)
        self.events.append(MediaEvent(reason, detail, time_s))


def summarize_events(events: Iterable[MediaEvent]) -> list[str]:
    """Return a line for each reason: how often it was met, and the detail of the first time."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for event in events:
        first.setdefault(event.reason, event.detail)
        counts[event.reason] += 1
    return [f"{counts[reason]} x {reason} ({detail})" for reason, detail in first.items()]


def one_line(error: BaseException) -> str:
    """Return an error's message in one line of at most 200 characters, without the file's path."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
