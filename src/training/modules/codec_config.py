"""Terms of the codec's loss and their weights (Movie Gen, sec. 6); needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class CodecLossConfig(Config):
    """Weights of the loss terms.

    The defaults are those of DAC without its quantizer, to which the DAC-VAE's authors add the KL term only;
    the terms of DAC that are not in its loss have weight 0 here.
    """

    mel_weight: float = opt(15.0, "weight of the distance of log mel spectra (DAC: 15)", ge=0)
    mel_windows: tuple[int, ...] = opt(
        (32, 64, 128, 256, 512, 1024, 2048), "windows of the mel spectra in samples", ge=8
    )
    mel_bands: tuple[int, ...] = opt((5, 10, 20, 40, 80, 160, 320), "mel bands of each window", ge=1)
    mel_floor: float = opt(1e-5, "magnitudes below it count as it (DAC: 1e-5)", gt=0)
    mel_square: float = opt(
        0.0, "factor of the squared difference that is added to it: what is missing counts for more", ge=0
    )
    root_mel_weight: float = opt(0.0, "weight of the distance of roots of mel magnitudes", ge=0)
    root_mel_windows: tuple[int, ...] = opt((4096, 1024), "windows of those in samples", ge=8)
    root_mel_bands: tuple[int, ...] = opt((320, 80), "mel bands of each window", ge=1)
    stft_weight: float = opt(0.0, "weight of the distance of magnitudes and their logs", ge=0)
    complex_weight: float = opt(0.0, "weight of the distance of compressed complex spectra", ge=0)
    stft_windows: tuple[int, ...] = opt((2048, 512), "windows of both, in samples", ge=8)
    waveform_weight: float = opt(0.0, "weight of the relative error of the samples", ge=0)
    ratio_weight: float = opt(0.0, "weight of the log of the error's power over the signal's", ge=0)
    num_windows: int = opt(
        0,
        "windows that each distance draws for a step, which saves time; 0: all. Sums are scaled to all",
        ge=0,
    )
    kl_weight: float = opt(1e-3, "weight of the KL term of a latent frame (the authors: insensitive)", ge=0)
    gan_weight: float = opt(1.0, "weight of the adversarial term (DAC: 1); 0: no discriminators", ge=0)
    feature_weight: float = opt(2.0, "weight of feature matching (DAC: 2); needs gan_weight", ge=0)
    gan_start: int = opt(0, "step from which discriminators train and their terms count", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mel", "root_mel"):
            windows, bands = getattr(self, f"{name}_windows"), getattr(self, f"{name}_bands")
            if len(windows) != len(bands):
                raise ValueError(
                    f"{name}_windows={list(windows)} and {name}_bands={list(bands)} must be equally many"
                )
        distances = ("mel", "root_mel", "stft", "complex", "waveform", "ratio")
        if not any(getattr(self, f"{name}_weight") for name in distances):
            raise ValueError("no distance has a weight: set mel_weight, stft_weight or another one above 0")
