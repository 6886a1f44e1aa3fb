"""Layers and kernels shared by the transformers."""
