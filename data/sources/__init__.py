"""Where media comes from: a procedural world, anybody's files, or the clips of an installed package."""

from data.sources.world import WorldSet, WorldSource

__all__ = ["WorldSet", "WorldSource"]
