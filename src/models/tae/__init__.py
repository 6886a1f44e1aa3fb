"""The temporal autoencoder (TAE)."""
