"""Losses and metrics of the autoencoders."""
