"""The table of a codec's round trip: copies, quieter modes, missing impacts, bad input."""

import csv
import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data.bounce.audio import render_audio
from data.bounce.config import WorldConfig
from data.bounce.scene import sample_scene
from data.bounce.world import WORLD_VERSION
from eval.bounce_checker import round_trip
from eval.core.audio import Audio
from src.core.errors import UserError

RATE = 48_000


@pytest.fixture(scope="module")
def clips() -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Three clips with impacts."""
    world, found = WorldConfig(max_objects=2), []
    for seed in range(700_000, 700_040):
        facts = sample_scene(seed, WORLD_VERSION, world, 32, 32, 32, 16.0).facts
        if len(facts.impacts) > 1:
            found.append((render_audio(facts)[0], facts.to_dict()))
        if len(found) == 3:
            break
    return found


def write_folder(folder: Path, clips: list[tuple[np.ndarray, dict[str, Any]]], change: Any) -> None:
    (folder / "originals").mkdir(parents=True)
    lines = []
    for i, (samples_S, facts) in enumerate(clips):
        for path, each in ((f"originals/{i}.wav", samples_S), (f"{i}.wav", change(samples_S, facts))):
            soundfile.write(folder / path, each, RATE, subtype="FLOAT")
        entry = {"id": str(i), "prompt": "", "audio": f"{i}.wav", "reference": f"originals/{i}.wav"}
        lines.append(json.dumps(entry | {"facts": facts}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    with (folder / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["audio", "stem", "si_sdr", "mel", "stft"])
        rows.writerow(["0", "", "", 0.5, 2.0])
        rows.writerow(["0-impacts", "impacts", 7.25, 0.5, 2.0])


def read_rows(folder: Path) -> dict[tuple[str, str], list[str]]:
    cells = [line.split("|") for line in (folder / "round_trip.md").read_text().splitlines() if "|" in line]
    rows = [[cell.strip() for cell in row[1:-1]] for row in cells]
    return {(row[0], row[1]): row[2:] for row in rows}


def test_a_copy_keeps_everything(
    tmp_path: Path, clips: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, clips, lambda samples_S, facts: samples_S)
    round_trip.main([f"folder={tmp_path}"])
    rows = read_rows(tmp_path)
    assert "round trip" in capsys.readouterr().out
    for kind in ("onset", "hit", "material"):
        num, before, after, ratio, _ = rows[kind, "all"]
        assert int(num) > 4
        assert float(before) > 0.8
        assert (after, ratio) == (before, "1.000 [1.000, 1.000]")
    levels = [row[-1] for (kind, name), row in rows.items() if name in round_trip.MODES and row[-1] != "-"]
    assert levels
    assert all(level.startswith(("+0.0", "-0.0")) for level in levels)
    assert rows["impacts", "7.25"] == ["0.50", "2.00"]
    assert rows["clips", "-"] == ["0.50", "2.00"]


def test_what_is_lost_is_seen(tmp_path: Path, clips: list[Any]) -> None:
    write_folder(tmp_path / "quiet", clips, lambda samples_S, facts: samples_S / 2)
    round_trip.main([f"folder={tmp_path / 'quiet'}"])
    rows = read_rows(tmp_path / "quiet")
    assert any(row[-1].startswith("-6.0") for (kind, name), row in rows.items() if name in round_trip.MODES)
    write_folder(tmp_path / "silent", clips, lambda samples_S, facts: 0 * samples_S)
    round_trip.main([f"folder={tmp_path / 'silent'}", "out=" + str(tmp_path / "silent/round_trip.md")])
    assert read_rows(tmp_path / "silent")["material", "all"][2] == "0.000"


def test_folders_that_cannot_be_read(tmp_path: Path, clips: list[Any]) -> None:
    with pytest.raises(UserError, match=r"no such file: .*manifest\.jsonl"):
        round_trip.main([f"folder={tmp_path}"])
    write_folder(tmp_path / "none", [(clips[0][0], {"impacts": []})], lambda samples_S, facts: samples_S)
    with pytest.raises(UserError, match="no clip has facts with impacts"):
        round_trip.main([f"folder={tmp_path / 'none'}"])


def test_levels_are_those_of_impacts_of_one_object_alone() -> None:
    impacts = [(0.2, [0]), (1.2, [0, 1]), (2.2, [1]), (2.25, [1]), (2.99, [0])]
    facts = {
        "impacts": [{"time_s": time_s, "objects": objects} for time_s, objects in impacts],
        "objects": [{"material": "stone", "size": "small"}, {"material": "glass", "size": "large"}],
    }
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 3 * RATE)).astype(np.float32)
    found = round_trip.measure_levels(Audio(noise / 2, RATE), Audio(noise, RATE), facts)
    assert found == {"stone": [pytest.approx(-6.02, abs=0.01)]}


@pytest.mark.parametrize(("before", "after"), [((0, 4), (2, 4)), ((2, 4), (0, 0))])
def test_nothing_to_compare_with_has_no_ratio(before: tuple[int, int], after: tuple[int, int]) -> None:
    original, output = (defaultdict(lambda: (0, 0), {("onset", "all"): each}) for each in (before, after))
    clips = [round_trip.ClipCounts(original, output)] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = round_trip.impact_rows(clips)
    assert "nan [nan, nan]" in {row[5] for row in rows}
