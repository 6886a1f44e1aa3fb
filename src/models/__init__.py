"""Network architectures; no trainer, data or mesh."""
