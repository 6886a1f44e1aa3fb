"""Where media comes from: a procedural world, anybody's files, or the clips of an installed package."""

from data.sources.files import ClipConfig, FilesConfig, FilesSource
from data.sources.samples import SamplesConfig, SamplesSource
from data.sources.world import WorldSet, WorldSource

__all__ = [
    "ClipConfig",
    "FilesConfig",
    "FilesSource",
    "SamplesConfig",
    "SamplesSource",
    "WorldSet",
    "WorldSource",
]
