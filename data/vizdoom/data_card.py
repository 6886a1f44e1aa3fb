"""Sources and licenses of recorded clips, for DATA.md."""

from data.vizdoom.config import VizdoomConfig
from data.vizdoom.maps import LICENSE


def describe_sources(config: VizdoomConfig) -> str:
    """Return the card's section on sources."""
    maps, val_maps = ", ".join(config.maps), ", ".join(config.val_maps)
    return f"""Clips played by a program in the ViZDoom engine (`source=vizdoom`, docs/vizdoom.md).

- Training maps: {maps}.
- Validation maps, never trained on: {val_maps}.
- Pixels and audio of every record come from Freedoom's maps, art and audio: {LICENSE}, Copyright the Freedoom
  project's contributors. Recorded clips keep that license; a copy must carry its notice.
- The engine is run and not part of the data: ViZDoom's own code is MIT, that of ZDoom below it under several
  licenses (BSD, LGPL, the Doom source license, the Build license), some of which forbid commercial use of the
  engine: https://zdoom.org/wiki/license.
- No creature appears in any clip, corpses and other gory decorations are invisible, and only walls and
  barrels are shot at.
  Weapons ({", ".join(config.weapons)}) are {"in view" if config.show_weapon else "not in view"}.
"""
