"""`eval.bounce_checker.validate`: its kinds of videos, its table, and its contact sheets."""

from pathlib import Path

import pytest

from data.bounce.config import WorldConfig
from eval.bounce_checker import validate
from eval.bounce_checker.checker import Verdict
from eval.bounce_checker.validate_config import WORLDS, ValidateCheckerConfig
from eval.bounce_checker.validation import HEADS, CheckerTrial, format_row, run_trials


def test_kinds_of_videos():
    shapes = {name: (each.side, each.num_frames, each.fps) for name, each in WORLDS.items()}
    assert shapes == {
        "tiny": (32, 16, 16),
        "full": (64, 16, 16),
        "tiny-all": (32, 16, 16),
        "long": (64, 32, 16),
    }
    tiny, full = (WorldConfig(**WORLDS[name].settings) for name in ("tiny", "full"))
    assert (tiny.max_objects, tuple(tiny.cameras)) == (1, ("static shot",))
    assert (tiny.spin_prob, tiny.appear_prob, tiny.vanish_prob) == (0, 0, 0)
    assert (full.spin_prob, full.appear_prob, full.vanish_prob) == (0.25, 0.1, 0.1)
    assert WORLDS["tiny-all"].settings == WORLDS["long"].settings == {}
    for key, bad in (("num", 0), ("first_seed", -1), ("num_workers", -1)):
        with pytest.raises(ValueError, match=key):
            ValidateCheckerConfig(**{key: bad})
    assert ValidateCheckerConfig(num=1, first_seed=0, num_workers=0).num == 1


def test_a_row_counts_what_is_right():
    def trial(moves, subject, motion, camera, seconds):
        return CheckerTrial(0, moves, Verdict(subject, motion, camera, (), ""), seconds)

    trials = [trial(True, True, False, True, 1.0), trial(False, True, True, True, 2.0)]
    trials += [trial(True, False, True, False, 4.0), trial(False, True, True, True, 3.0)]
    row = dict(zip(HEADS, format_row("tiny", "none", trials), strict=True))
    assert row == {
        "videos": "tiny",
        "degradation": "none",
        "n": "4",
        "subject": "75.0 [30.1, 95.4]",  # Wilson of 3 of 4
        "motion": "75.0 [30.1, 95.4]",
        "motion (moving)": "50.0",
        "camera": "75.0",
        "ms per video": "2500",
    }


def test_the_command_writes_its_table_and_the_failures(tmp_path: Path, capsys):
    out, sheets = tmp_path / "table.md", tmp_path / "sheets"
    args = ["worlds=[tiny]", "num=3", "first_seed=20", "num_workers=0", f"out={out}", f"failures={sheets}"]
    validate.main([*args, "degradations=[ground truth,wrong colors]"])
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0].split(" | ")[:3] == ["| videos", "degradation", "n"]
    rows = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert [row[:3] for row in rows] == [["tiny", "ground truth", "3"], ["tiny", "wrong colors", "3"]]
    assert [row[3][:5] for row in rows] == ["100.0", "0.0 ["]
    printed = capsys.readouterr().out
    assert "tiny" in printed
    assert "known facts, per cent correct" in printed
    assert [path.name for path in sheets.iterdir()] == ["tiny-wrong_colors.png"]


def test_trials_are_those_of_the_seeds():
    config = ValidateCheckerConfig(num=2, first_seed=20, num_workers=1)
    alone = run_trials("tiny", "ground truth", config)
    assert [each.seed for each in alone] == [20, 21]
    assert all(each.verdict.subject and each.seconds > 0 for each in alone)
