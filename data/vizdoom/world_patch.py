"""Changes to the game, as a small WAD file that the engine loads: nothing bloody, and truth about audio.

Every corpse and other gory decoration becomes invisible. Barrels, and flashes that the recorder requests,
leave a short-lived invisible mark in the list of objects at the tic in which they are heard. Audio and art
that come with the engine instead of Freedoom are left out: recordings hold Freedoom's work only.
"""

import struct
from pathlib import Path

GORE = (
    *("GibbedMarine", "GibbedMarineExtra", "DeadMarine", "DeadZombieMan", "DeadShotgunGuy", "DeadDoomImp"),
    *("DeadDemon", "DeadCacodemon", "DeadLostSoul", "SkullColumn", "HeartColumn", "EvilEye", "FloatingSkull"),
    *("BloodyTwitch", "Meat2", "Meat3", "Meat4", "Meat5", "NonsolidMeat2", "NonsolidMeat3", "NonsolidMeat4"),
    *(
        "NonsolidMeat5",
        "NonsolidTwitch",
        "HeadOnAStick",
        "HeadsOnAStick",
        "HeadCandles",
        "DeadStick",
        "LiveStick",
    ),
    *("HangNoGuts", "HangBNoBrain", "HangTLookingDown", "HangTLookingUp", "HangTSkull", "HangTNoBrain"),
    *("ColonGibs", "SmallBloodPool", "BrainStem"),
)
SECOND_SHOTGUN = "SuperShotgun"  # the same key selects it once it is found: shots would be of two kinds
EXPLOSION_MARK = "AudibleExplosion"
FLASHES = {"TeleportFog": "teleport flash", "ItemFlash": "item flash"}
CUES = {"TeleportFog": "CueTeleport", "ItemFlash": "CueItem", "ExplosiveBarrel": "CueBarrel"}
"""Commands `summon CUE` put an object at a random place in sight of the player, or fail without a trace."""

_HIDDEN = """
actor Hidden {
  +NOBLOCKMAP
  +NOGRAVITY
  states {
  Spawn:
    TNT1 A -1
    stop
  }
}
"""
_BARREL = f"""
actor {EXPLOSION_MARK} {{
  +NOBLOCKMAP
  +NOGRAVITY
  states {{
  Spawn:
    TNT1 A 2
    stop
  }}
}}
actor MarkedBarrel : ExplosiveBarrel replaces ExplosiveBarrel {{
  states {{
  Death:
    BEXP A 5 Bright
    BEXP B 0 Bright A_SpawnItemEx("{EXPLOSION_MARK}")
    BEXP B 5 Bright A_Scream
    BEXP C 5 Bright
    BEXP D 5 Bright A_Explode
    BEXP E 10 Bright
    stop
  }}
}}
actor ItemFlash : ItemFog {{
  states {{
  Spawn:
    IFOG A 6 Bright NoDelay A_PlaySound("misc/spawn")
    IFOG BABCDE 6 Bright
    stop
  }}
}}
"""
_CUE = """
actor {cue} {{
  +NOBLOCKMAP
  +NOGRAVITY
  states {{
  Spawn:
    TNT1 A 1 NoDelay A_SpawnItemEx("{cue}Place", random({near}, {far}), random(-{side}, {side}), 0)
    stop
  }}
}}
actor {cue}Place {{
  radius 16
  height 40
  states {{
  Spawn:
    TNT1 A 1
    TNT1 A 0 A_CheckSight("Hidden")
    TNT1 A 1 A_SpawnItemEx("{name}")
    stop
  Hidden:
    TNT1 A 1
    stop
  }}
}}
"""
_SILENT = "misc/secret dsempty\n"  # the engine's own file
_NO_MESSAGES = "[enu default]\n" + "".join(
    f'{name} = "";\n'
    for name in (
        *("SECRETMESSAGE", "PD_ANY", "PD_ALL3", "PD_ALL6"),
        *(
            f"PD_{color}{kind}"
            for color in ("BLUE", "RED", "YELLOW")
            for kind in ("O", "K", "CO", "CK", "SO", "SK")
        ),
    )
)


def decorate() -> str:
    """Return the actors of the patch in the engine's language DECORATE."""
    hidden = (*GORE, SECOND_SHOTGUN)
    gore = "".join(f"actor Hidden{name} : Hidden replaces {name} {{}}\n" for name in hidden)
    ranges = {
        "TeleportFog": (-320, 320, 320),
        "ItemFlash": (-320, 320, 320),
        "ExplosiveBarrel": (150, 360, 200),
    }
    cues = [
        _CUE.format(cue=CUES[name], name=name, near=near, far=far, side=side)
        for name, (near, far, side) in ranges.items()
    ]
    return _HIDDEN + gore + _BARREL + "".join(cues)


def wad_bytes(lumps: list[tuple[str, bytes]]) -> bytes:
    """Return a PWAD: a header, the lumps, and a directory of their offsets, lengths and names."""
    data, directory = b"", b""
    for name, lump in lumps:
        directory += struct.pack("<ii8s", 12 + len(data), len(lump), name.encode("ascii"))
        data += lump
    return b"PWAD" + struct.pack("<ii", len(lumps), 12 + len(data)) + data + directory


def read_lumps(wad: bytes) -> list[tuple[str, bytes]]:
    """Return the lumps of a WAD file in their order."""
    count, start = struct.unpack_from("<ii", wad, 4)
    entries = [struct.unpack_from("<ii8s", wad, start + 16 * i) for i in range(count)]
    return [(name.rstrip(b"\0").decode("ascii"), wad[at : at + size]) for at, size, name in entries]


def write_patch(path: Path, scenario: Path | None = None) -> None:
    """Write the patch, after the lumps of a scenario's WAD file if there is one."""
    lumps = read_lumps(scenario.read_bytes()) if scenario else []
    patch = [("DECORATE", decorate()), ("SNDINFO", _SILENT), ("LANGUAGE", _NO_MESSAGES)]
    lumps += [(name, text.encode()) for name, text in patch]
    path.write_bytes(wad_bytes(lumps))
