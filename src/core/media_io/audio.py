"""Audio samples with their channels: resampling and mixing down.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

from dataclasses import dataclass

import numpy as np
import soxr

from src.core.media_io.errors import MediaEvent

_HALF = 0.5**0.5
# ITU-R BS.775: what each channel adds to left and right. LFE channels are left out.
_TO_STEREO = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_HALF, _HALF),
    "BL": (_HALF, 0.0), "BR": (0.0, _HALF), "SL": (_HALF, 0.0), "SR": (0.0, _HALF),
    "BC": (0.5, 0.5), "FLC": (1.0, 0.0), "FRC": (0.0, 1.0), "WL": (1.0, 0.0), "WR": (0.0, 1.0),
    "DL": (1.0, 0.0), "DR": (0.0, 1.0), "LFE": (0.0, 0.0), "LFE2": (0.0, 0.0),
}  # fmt: skip
# Channels of files that name none, by their number, as ffmpeg assumes them.
DEFAULT_LAYOUTS = {
    1: ("FC",), 2: ("FL", "FR"), 3: ("FL", "FR", "LFE"), 4: ("FL", "FR", "FC", "BC"),
    5: ("FL", "FR", "FC", "BL", "BR"), 6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}  # fmt: skip


@dataclass(frozen=True)
class Audio:
    """`samples_CS` float32; `rate` in Hz; `channels`: names such as FL (empty: the usual ones)."""

    samples_CS: np.ndarray
    rate: int
    channels: tuple[str, ...] = ()
    events: tuple[MediaEvent, ...] = ()

    @property
    def mono(self) -> np.ndarray:
        """[S], mixed down to one channel."""
        return self.mixdown(1).samples_CS[0]

    def mixdown(self, num_channels: int) -> "Audio":
        """Return the audio mixed down to 1 or 2 channels; see `mixdown_matrix`."""
        if len(self.samples_CS) == num_channels:
            return self
        matrix = mixdown_matrix(self.channels or DEFAULT_LAYOUTS[len(self.samples_CS)], num_channels)
        names = DEFAULT_LAYOUTS[num_channels]
        return Audio(matrix @ self.samples_CS, self.rate, names, self.events)

    def resample(self, rate: int) -> "Audio":
        """Return the complete recording at another rate (soxr, high quality)."""
        if rate == self.rate:
            return self
        samples_SC = soxr.resample(np.ascontiguousarray(self.samples_CS.T, np.float32), self.rate, rate)
        return Audio(np.ascontiguousarray(samples_SC.T), rate, self.channels, self.events)


def mixdown_matrix(channels: tuple[str, ...], num_channels: int) -> np.ndarray:
    """Return float32 [num_channels, C]: stereo by ITU-R BS.775 without LFE, mono as the mean of that stereo.

    Nothing is scaled down, so that a voice keeps its loudness; sums may exceed full scale. One channel
    becomes two by repetition.
    """
    if len(channels) == 1:
        return np.ones((num_channels, 1), np.float32)
    stereo = np.float32([_TO_STEREO.get(name, (0.5, 0.5)) for name in channels]).T
    return stereo if num_channels == 2 else stereo.mean(0, keepdims=True)
