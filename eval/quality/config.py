"""Settings of the metrics of quality; this module imports no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class FreezeConfig(Config):
    """Constants of low_level: differences and times that count as no change."""

    same: float = opt(
        0.001, "neighbors that differ by less on average count as equal, as a fraction of full scale", ge=0
    )
    min_freeze_s: float = opt(0.25, "shortest freeze in seconds, as far as it is longer than a frame", ge=0)


@dataclass(frozen=True, kw_only=True)
class FidelityConfig(Config):
    """Constants of PSNR."""

    max_db: float = opt(100.0, "PSNR of equal frames, whose infinity would dominate every mean", gt=0)


@dataclass(frozen=True, kw_only=True)
class LoudnessConfig(Config):
    """Constants of defects of audio."""

    clip_level: float = opt(0.999, "samples from this fraction of full scale on are clipped", gt=0)
    silence_db: float = opt(-60.0, "windows with a lower RMS are silent, in dBFS")
    silence_window_s: float = opt(0.02, "windows of silence, in seconds", gt=0)
    roll_off_db: float = opt(
        -60.0, "the bandwidth ends where the mean spectrum stays this far below its maximum", lt=0
    )
    spectrum_size: int = opt(2048, "samples of a window of the mean spectrum", ge=16)


@dataclass(frozen=True, kw_only=True)
class SpectralConfig(Config):
    """Constants of distances between spectra, and of the alignment of audio with its reference."""

    windows_s: tuple[float, ...] = opt(
        (512 / 48_000, 1024 / 48_000, 2048 / 48_000),
        "windows in seconds; the usual sizes at 48 kHz. Hops are a quarter",
    )
    num_bands: int = opt(80, "mel bands", ge=1)
    max_hz: float = opt(24_000.0, "upper end of the bands; those above half the rate count as equal", gt=0)
    floor: float = opt(1e-5, "amplitudes are at least this before the logarithm", gt=0)
    min_common: float = opt(
        0.5, "shortest part that audio and reference have in common, as a fraction of the longer", gt=0, le=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.windows_s or min(self.windows_s) <= 0:
            raise ValueError("windows_s: expected one or more positive numbers")


@dataclass(frozen=True, kw_only=True)
class SpeechConfig(Config):
    """Constants of PESQ and STOI."""

    part_s: float = opt(
        30.0, "longer audio is measured in parts of this many seconds, whose values are averaged", ge=1
    )


@dataclass(frozen=True, kw_only=True)
class PitchConfig(Config):
    """Constants of the comparison of pitch."""

    voiced: float = opt(0.5, "activation from which on a window is voiced", gt=0, lt=1)
    silence_db: float = opt(-60.0, "windows with this RMS or less are unvoiced, in dBFS")
    near_cents: float = opt(50.0, "largest error of a window that counts as right, in cents", ge=0)


@dataclass(frozen=True, kw_only=True)
class VoiceConfig(Config):
    """Constants of the detection of speech."""

    threshold: float = opt(0.5, "probability from which on a step is speech", gt=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class QualityConfig(Config):
    """Constants of metrics of quality."""

    low_level: FreezeConfig = opt(FreezeConfig(), "of low_level")
    fidelity: FidelityConfig = opt(FidelityConfig(), "of fidelity and vmaf")
    audio: LoudnessConfig = opt(LoudnessConfig(), "of audio")
    audio_fidelity: SpectralConfig = opt(SpectralConfig(), "of audio_fidelity; min_common of f0_crepe too")
    speech: SpeechConfig = opt(SpeechConfig(), "of speech")
    f0: PitchConfig = opt(PitchConfig(), "of f0_crepe")
    voice: VoiceConfig = opt(VoiceConfig(), "of speech_silero")
