"""The temporal autoencoder (TAE)."""

from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE, Reconstruction
from src.models.tae.posterior import Posterior

__all__ = ["TAE", "Posterior", "Reconstruction", "TAEConfig"]
