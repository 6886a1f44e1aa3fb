"""Settings of the metrics of alignment; this module imports no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class OnsetsConfig(Config):
    """Constants of the onsets in audio and of their match with expected times."""

    tolerance_s: float = opt(0.05, "largest distance of a match in seconds", gt=0)
    max_offset_s: float = opt(1.0, "largest offset of audio and video that is searched, in seconds", gt=0)
    min_gap_s: float = opt(0.05, "closer onsets count as one, in seconds", gt=0)
    hop_s: float = opt(0.005, "step of the spectral flux in seconds", gt=0)
    window_s: float = opt(0.02, "window of the spectral flux in seconds", gt=0)
    around_s: float = opt(0.3, "surroundings that a peak of the flux must exceed, in seconds", gt=0)
    above_around: float = opt(2.5, "a peak exceeds the median of its surroundings this many times ...", ge=0)
    above_silence: float = opt(0.02, "... by this much", ge=0)
    of_strongest: float = opt(0.12, "and this fraction of the strongest peak", ge=0, le=1)
    compression: float = opt(1000.0, "factor of magnitudes before the logarithm", gt=0)


@dataclass(frozen=True, kw_only=True)
class OcrConfig(Config):
    """Constants of the recognition of text."""

    num_frames: int = opt(8, "frames that are read, evenly over the video", ge=1)


@dataclass(frozen=True, kw_only=True)
class SyncConfig(Config):
    """Constants of Synchformer's offset."""

    near_s: float = opt(0.2, "largest offset of a window that counts as in time, in seconds", ge=0)


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig(Config):
    """Constants of metrics of alignment."""

    onsets: OnsetsConfig = opt(OnsetsConfig(), "of bounce_onsets and onsets")
    ocr: OcrConfig = opt(OcrConfig(), "of ocr_rapidocr")
    sync: SyncConfig = opt(SyncConfig(), "of desync")
