import csv
import json
from pathlib import Path

import pytest

from eval.compare import FILES, CompareConfig, Comparison, compare, differences_markdown, is_better, main
from eval.config import EvalConfig
from eval.core.intervals import Interval
from eval.core.manifest import Sample, write_manifest
from eval.core.paired_tests import Difference
from eval.core.results import FRACTION, Score
from eval.core.video import write_video
from eval.scoring import score
from src.core.errors import UserError
from tests.fixtures.videos import waves


def write_provenance(root, runs):
    """Write the settings that eval.run writes next to the scores."""
    for run in map(Path, runs):
        (run / "config.yaml").write_text(f"manifest: {root / run.name / 'm.jsonl'}\n")


def test_differences_have_the_units_of_the_leaderboard():
    scores = {"bounce": {"subject": Score(1, FRACTION), "fd": Score(-1)}}
    found = [
        Difference("bounce", "subject", Interval(-0.25, -0.375, -0.125, 8, 8, ""), 0.0004, 0.0008),
        Difference("bounce", "fd", Interval(-1.5, -2.0, -1.0, 8, 8, ""), 0.01, 0.02),
        Difference("bounce", "fd", Interval(0.5, -2.0, 3.0, 8, 8, ""), 0.5, 0.5),
        Difference("bounce", "fd", Interval(0.5, None, None, 3, 3, ""), None),
    ]
    assert [is_better(each, scores) for each in found] == [False, True, None, None]
    text = differences_markdown(Comparison("b", "a", found, ["a note"]), scores)
    assert "| bounce | subject % ↑ | **-25.0** [-37.5, -12.5] | 8 | <0.001 | <0.001 |" in text
    assert "| bounce | fd ↓ | +0.500 [-2.000, 3.000] | 8 | 0.500 | 0.500 |" in text
    assert "| bounce | fd ↓ | +0.500 | 3 | – | – |" in text
    assert text.endswith("\n\n- a note\n")


def test_runs_side_by_side(tmp_path, capsys, monkeypatch):
    for name, step in (("first", 1), ("second", 2)):
        samples = []
        for seed in range(14):
            write_video(tmp_path / name / f"{seed}.mp4", waves(seed)[::step], 16)
            samples.append(Sample(id=str(seed), prompt=f"p{seed}", video=f"{seed}.mp4"))
        manifest = tmp_path / name / "m.jsonl"
        write_manifest(manifest, samples)
        score(
            EvalConfig(
                manifest=str(manifest),
                out=str(tmp_path / "scores" / name),
                metrics=("low_level",),
                sheet_rows=0,
                html_videos=0,
            )
        )
    runs = tuple(str(tmp_path / "scores" / name) for name in ("first", "second"))
    rows, (comparison,), _ = compare(CompareConfig(runs=runs, out=str(tmp_path / "out")))
    assert [(row.system, row.slice, row.num_scored, row.num_samples) for row in rows] == [
        ("first", "all", 14, 14),
        ("second", "all", 14, 14),
    ]
    assert comparison.title == "second minus first"
    with (tmp_path / "out" / "differences.csv").open() as file:
        found = {row["score"]: row for row in csv.DictReader(file)}
    assert float(found["change"]["low"]) > 0  # every second frame: larger steps
    assert found["change"]["p"] == ""  # neither direction is better: no test
    assert float(found["flicker"]["p (Holm)"]) < 0.05
    assert float(found["flicker"]["p"]) < float(found["flicker"]["p (Holm)"])
    assert (found["flicker"]["axis"], found["flicker"]["sub_axis"]) == ("quality", "frame consistency")
    write_provenance(tmp_path, runs)
    main([f"runs=[{','.join(runs)}]", f"out={tmp_path / 'out'}", "html_samples=3"])
    printed = capsys.readouterr().out
    assert "change levels" in printed
    assert "second minus first" in printed
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("<video") == 6
    assert page.index("<small>first</small>") < page.index("<small>second</small>")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == sorted(FILES)
    assert all(written.values())
    with monkeypatch.context() as patch:
        patch.setattr("eval.reports.score_files.csv_row", lambda row, name: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # a failed comparison leaves the earlier one as it was
            main([f"runs=[{','.join(runs)}]", f"out={tmp_path / 'out'}", "html_samples=0", "baseline=second"])
    assert {name: (tmp_path / "out" / name).read_bytes() for name in written} == written
    main([f"runs=[{','.join(runs)}]", f"out={tmp_path / 'out'}", "html_samples=0"])
    assert not (tmp_path / "out" / "compare.html").exists()  # none of another comparison
    with pytest.raises(UserError, match=r"has no results\.jsonl"):
        main([f"runs=[{tmp_path}]", f"out={tmp_path / 'x'}"])
    with pytest.raises(
        ValueError, match=r"no system is called 'frist'; did you mean first\? \(all: first, second"
    ):
        compare(CompareConfig(runs=runs, out=str(tmp_path / "out"), baseline="frist"))
    lines = [json.loads(line) for line in (Path(runs[1]) / "results.jsonl").read_text().splitlines()]
    changed = "".join(json.dumps({**line, "prompt": "another"}) + "\n" for line in lines)
    (Path(runs[1]) / "results.jsonl").write_text(changed)
    with pytest.raises(
        UserError, match="nothing of second can be compared with first: 14 samples with different"
    ):
        main([f"runs=[{','.join(runs)}]", f"out={tmp_path / 'out'}", "html_samples=0"])
