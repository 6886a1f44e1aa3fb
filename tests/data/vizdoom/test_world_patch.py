"""The patch's WAD file, and maps that are fit for a classroom."""

import struct
from pathlib import Path

import pytest

from data.vizdoom.config import VizdoomConfig
from data.vizdoom.maps import gory_textures
from data.vizdoom.world_patch import CUES, FLASHES, GORE, decorate, read_lumps, wad_bytes, write_patch


def test_lumps_survive(tmp_path: Path) -> None:
    lumps = [("MAP01", b""), ("THINGS", b"abc"), ("THINGS", b"again")]
    assert read_lumps(wad_bytes(lumps)) == lumps
    (tmp_path / "scenario.wad").write_bytes(wad_bytes(lumps))
    write_patch(tmp_path / "patch.wad", tmp_path / "scenario.wad")
    assert [name for name, _ in read_lumps((tmp_path / "patch.wad").read_bytes())] == [
        *("MAP01", "THINGS", "THINGS", "DECORATE", "SNDINFO", "LANGUAGE")
    ]


def test_every_gory_thing_is_replaced_and_every_cue_defined() -> None:
    text = decorate()
    assert all(f"replaces {name} {{" in text for name in GORE)
    assert all(f"actor {cue} {{" in text for cue in CUES.values())
    assert set(FLASHES) < set(CUES)


def test_gory_textures_of_a_map() -> None:
    sector = struct.pack("<hh8s8shhh", 0, 128, b"BLOOD1", b"CEIL1_1", 160, 0, 0)
    side = struct.pack("<hh8s8s8sh", 0, 0, b"-", b"SKINMET1", b"SP_DUDE1", 0)
    other = struct.pack("<hh8s8shhh", 0, 128, b"BLOOD2", b"F_SKY1", 160, 0, 0)
    lumps = [("MAP01", b""), ("SIDEDEFS", side), ("SECTORS", sector)]
    lumps += [("FILLER", b"")] * 8 + [("MAP02", b""), ("SECTORS", other)]
    assert gory_textures(lumps, "freedoom2/map01") == {"BLOOD1", "SP_DUDE1"}


def test_config_refuses_shared_and_unknown_maps() -> None:
    with pytest.raises(ValueError, match="freedoom2/map01 is a training map"):
        VizdoomConfig(val_maps=("freedoom2/map01",))
    with pytest.raises(ValueError, match="'freedoom2/map40' is no map"):
        VizdoomConfig(maps=("freedoom2/map40",))
    with pytest.raises(ValueError, match="plays is empty"):
        VizdoomConfig(plays=())
