"""Terms of the autoencoder's loss and their weights (Movie Gen, sec. 3.1.1); needs no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class TAELossConfig(Config):
    """Weights of the loss terms.

    Pixel terms are means. The weights of the KL divergence and of the outlier penalty are those published for
    a sum over pixel values, and are rescaled to the means (`src.losses.latent.per_pixel_value`): the KL by
    the pixel values of a video, the penalty by those of one frame.
    """

    reconstruction: Literal["l1", "mse"] = opt("l1", "distance of pixels in [-1, 1]; its weight is 1")
    mse_weight: float = opt(0.0, "weight of an additional squared distance of pixels", ge=0)
    gradient_weight: float = opt(
        0.0, "weight of the distance of differences between neighboring pixels and frames", ge=0
    )
    kl_weight: float = opt(1e-6, "weight of the KL divergence (Latent Diffusion: 1e-6)", ge=0)
    opl_weight: float = opt(0.0, "weight of the outlier penalty loss, OPL (Movie Gen: 1e5); 0: none", ge=0)
    opl_r: float = opt(3.0, "standard deviations from the mean beyond which it applies (Movie Gen: 3)")
    perceptual_weight: float = opt(0.0, "weight of the distance of features; needs a feature network", ge=0)
    gan_weight: float = opt(0.0, "weight of the adversarial term; 0: no discriminator", ge=0)
    gan_start: int = opt(1000, "step from which the discriminator trains and its term counts", ge=0)
    adaptive_gan_weight: bool = opt(
        True, "scale the adversarial gradient at the output to the reconstruction's"
    )
