"""Audio codec: waveforms to a continuous latent of 25 frames per second and back."""
