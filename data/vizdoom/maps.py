"""Maps of Freedoom and of ViZDoom's scenarios that were looked at, and what they are licensed under."""

import re

GAMES = ("freedoom1", "freedoom2")
SCENARIOS = ("my_way_home", "health_gathering_supreme")
LICENSE = "BSD-3-Clause (Freedoom's art and audio)"

GORY = re.compile(r"BLOOD|BFALL|SKIN(?!MET)|SKSNAKE|SKSPINE|SP_DUDE|SP_FACE|SLOPPY|SKUL")
"""Names of walls and floors that show blood, flesh or skulls; the maps below have none."""

TRAIN_MAPS = (
    *(f"freedoom2/map{n}" for n in ("01", "02", "03", "04", "07", "12", "14", "17", "18", "19")),
    *(f"freedoom1/e{n}" for n in ("1m1", "1m3", "4m1", "4m3", "4m4")),
    "my_way_home/map01",
)
VAL_MAPS = (
    *(f"freedoom2/map{n}" for n in ("05", "08", "13")),
    *(f"freedoom1/e{n}" for n in ("1m4", "1m6", "4m5")),
)


def check_map(name: str) -> None:
    """Raise ValueError unless a name is that of a map of a known file."""
    pattern = rf"(freedoom1/e[1-4]m[1-9]|freedoom2/map(0[1-9]|[12]\d|3[0-2])|({'|'.join(SCENARIOS)})/map01)"
    if not re.fullmatch(pattern, name):
        raise ValueError(
            f"{name!r} is no map: expected such as freedoom2/map01, freedoom1/e1m1 or {SCENARIOS[0]}/map01"
        )


def game_file(name: str) -> str:
    """Return the file of the game that a map is played in: scenarios use Freedoom 2."""
    game = name.split("/")[0]
    return f"{game if game in GAMES else 'freedoom2'}.wad"


def scenario_file(name: str) -> str | None:
    """Return the scenario's file of a map; None for a map of the game itself."""
    game = name.split("/")[0]
    return None if game in GAMES else f"{game}.wad"


def gory_textures(lumps: list[tuple[str, bytes]], name: str) -> set[str]:
    """Return the gory walls and floors of a map among a file's lumps (of the binary map format)."""
    map_name = name.split("/")[1].upper()
    start = next((i for i, (lump, _) in enumerate(lumps) if lump == map_name), len(lumps))
    parts = dict(lumps[start + 1 : start + 11])
    found = set()
    for part, size, offsets in (("SECTORS", 26, (4, 12)), ("SIDEDEFS", 30, (4, 12, 20))):
        data = parts.get(part, b"")
        for at in range(0, len(data), size):
            names = (data[at + i : at + i + 8] for i in offsets)
            found |= {each.split(b"\0")[0].decode("ascii", "replace") for each in names}
    return {texture for texture in found if GORY.search(texture)}
