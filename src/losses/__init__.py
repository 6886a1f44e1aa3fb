"""Losses of the autoencoders."""

from src.losses.adversarial import (
    adaptive_weight,
    discriminator_hinge,
    generator_hinge,
    squared_gradient_norms,
)
from src.losses.latent import distances, outlier_fraction, outlier_penalty, per_pixel_value
from src.losses.perceptual import PerceptualLoss
from src.losses.reconstruction import gradient, l1, mse, psnr

__all__ = [
    "PerceptualLoss",
    "adaptive_weight",
    "discriminator_hinge",
    "distances",
    "generator_hinge",
    "gradient",
    "l1",
    "mse",
    "outlier_fraction",
    "outlier_penalty",
    "per_pixel_value",
    "psnr",
    "squared_gradient_norms",
]
