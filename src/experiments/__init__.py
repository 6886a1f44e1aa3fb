"""Kinds of run: each module has `run(config)` and puts everything together for one kind (see src.registry)."""
