"""Terms of the autoencoder's loss and their weights (paper section 3.1.1; spec 1.2, 1.3)."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class TAELossConfig:
    """Weights of the terms. Pixel terms are means; weights of the KL and of the outlier penalty are those
    published beside a sum over pixel values, and are brought to the same footing (`per_pixel_value`).
    """

    reconstruction: Literal["l1", "mse"] = opt("l1", "distance of pixels in [-1, 1]; its weight is 1")
    mse: float = opt(0.0, "weight of the squared distance of pixels beside it")
    edges: float = opt(0.0, "weight of the distance of differences between neighbouring pixels and frames")
    kl: float = opt(1e-6, "weight of the KL divergence (Latent Diffusion: 1e-6)")
    outlier: float = opt(0.0, "weight of the outlier penalty (the paper: 1e5); 0: none")
    outlier_r: float = opt(3.0, "deviations from the mean beyond which it applies (the paper: 3)")
    perceptual: float = opt(0.0, "weight of the distance of features; needs a feature network")
    adversarial: float = opt(0.0, "weight of the adversarial term; 0: no discriminator at all")
    adversarial_start: int = opt(1000, "step from which the discriminator trains and counts")
    adaptive: bool = opt(True, "scale the adversarial gradient at the output to the reconstruction's")

    def __post_init__(self) -> None:
        for name in ("mse", "edges", "kl", "outlier", "perceptual", "adversarial", "adversarial_start"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
