"""Bases of metrics that listen to audio: the pass over an item's audio feeds all of them from one decode."""

from functools import partial

from eval.core.audio_pass import AudioInfo, AudioPairTask, AudioTask, run_audio_pass
from eval.core.results import Item, Measurement


class AudioMetric:
    """A metric of a sample's audio."""

    name: str

    def observe_audio(self, item: Item, info: AudioInfo) -> AudioTask:
        """Receive samples [C, S] in pieces, then None, and return the Measurement."""
        raise NotImplementedError

    def measure(self, item: Item) -> Measurement:
        """Score one sample in a pass of its own."""
        tasks = {self.name: partial(self.observe_audio, item)}
        return _only(run_audio_pass(item.audio_path, tasks)[self.name])


class AudioPairMetric:
    """A metric of a sample's audio and its reference; see `eval.core.audio_pass` for the pieces."""

    name: str

    def observe_audio_pairs(self, item: Item, info: AudioInfo) -> AudioPairTask:
        """Receive pairs of pieces, then None, and return the Measurement; `info` is of the reference."""
        raise NotImplementedError

    def measure(self, item: Item) -> Measurement:
        """Score one sample in a pass of its own."""
        tasks = {self.name: partial(self.observe_audio_pairs, item)}
        found = run_audio_pass(item.audio_path, {}, tasks, lambda: item.path("reference"))
        return _only(found[self.name])


class CommonPart:
    """Lengths of audio and its reference, and whether what they have in common is long enough."""

    def __init__(self, rate: int, min_common: float) -> None:
        self.rate, self.min_common = rate, min_common
        self.lengths = [0, 0]

    def count(self, *pieces: object) -> bool:
        """Count a pair of pieces, and return whether both have it."""
        sizes = [len(piece) for piece in pieces]  # type: ignore[arg-type]
        self.lengths = [length + size for length, size in zip(self.lengths, sizes, strict=True)]
        return all(sizes)

    def seconds(self) -> list[float]:
        """Return both lengths in seconds, for the detail of a measurement.

        Raises:
            ValueError: one is shorter than `min_common` of the other.
        """
        seconds = [length / self.rate for length in self.lengths]
        if min(self.lengths) < self.min_common * max(self.lengths):
            raise ValueError("audio and reference differ in length: {:.3f} s, {:.3f} s".format(*seconds))
        return [round(each, 3) for each in seconds]


def _only(result: Measurement | Exception) -> Measurement:
    if isinstance(result, Exception):
        raise result
    return result
