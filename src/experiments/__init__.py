"""Kinds of run: each module has `run(config)`, which puts one kind together (see src.registry)."""
