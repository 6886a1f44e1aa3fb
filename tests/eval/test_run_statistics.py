"""Statistics on the command line: numbers of samples, pooling, axes, misspelt names."""

import json
from dataclasses import replace

import numpy as np
import pytest

from eval.core.aggregation import Aggregator
from eval.core.audio import write_audio
from eval.core.intervals import Interval
from eval.core.manifest import Sample, write_manifest
from eval.core.results import Row
from eval.measured import NothingMeasured, require_measured
from eval.run import main
from src.core.errors import UserError
from tests.eval.alignment.test_onsets import RATE, clicks

QUIET = ["sheet_rows=0", "html_videos=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six sounds with two clicks in each reference; four of them are silent."""
    root = tmp_path_factory.mktemp("sounds")
    write_audio(root / "real.wav", clicks([0.3, 1.0]).samples_CS, RATE)
    samples = []
    for number in range(6):
        times = [0.31, 1.01] if number < 2 else []
        noise = np.zeros((1, 2 * RATE), np.float32)
        write_audio(root / f"{number}.wav", clicks(times).samples_CS if times else noise, RATE)
        tags = ("loud",) if times else ("quiet",)
        media = {"audio": f"{number}.wav", "reference": "real.wav"}
        samples.append(Sample(id=str(number), prompt=f"p{number}", tags=tags, **media))
    write_manifest(root / "m.jsonl", samples)
    return root


def test_the_number_of_samples_stands_at_each_value(folder, tmp_path, capsys):
    main([f"manifest={folder}/m.jsonl", f"out={tmp_path}/out", "metrics=[onsets]", *QUIET])
    lines = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    found = {line["score"]: line for line in lines if line["slice"] == "all"}
    assert (found["onset_lag"]["num"], found["onset_lag"]["low"]) == (2, None)
    assert found["onset_recall"]["mean"] == pytest.approx(2 / 6)
    assert found["onset_f1"]["mean"] == pytest.approx(2 * 4 / (4 + 12))  # no better for the silent ones
    assert (found["onset_f1"]["num"], found["onset_count"]["num"]) == (6, 6)
    assert (found["onset_f1"]["axis"], found["onset_f1"]["sub_axis"]) == (
        "alignment",
        "diegetic synchronization",
    )
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.startswith("## Alignment\n\n### onsets: diegetic synchronization\n")
    assert ", n=2 |" in table
    assert "n=2" in capsys.readouterr().out
    assert found["onset_lag"]["measured"]["settings"]["tolerance_s"] == 0.05


def test_constants_are_settings(folder, tmp_path):
    argv = [f"manifest={folder}/m.jsonl", f"out={tmp_path}/out", "metrics=[onsets]", *QUIET]
    main([*argv, "alignment.onsets.tolerance_s=0.002"])
    lines = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert {line["mean"] for line in lines if line["score"] == "onset_f1"} == {0.0}
    assert lines[0]["measured"]["settings"]["tolerance_s"] == 0.002


def test_misspelt_slices_are_refused_before_anything_is_measured(folder, tmp_path):
    argv = [f"manifest={folder}/m.jsonl", f"out={tmp_path}/out", "metrics=[onsets]", *QUIET]
    with pytest.raises(UserError, match=r"slices: no sample has the tag 'quite'; did you mean quiet\?"):
        main([*argv, "slices=[quite]"])
    assert not (tmp_path / "out" / "results.jsonl").exists()
    main([*argv, "slices=[quiet]"])
    lines = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    assert {json.loads(line)["slice"] for line in lines} == {"all", "quiet"}
    with pytest.raises(UserError, match=r"'onset' is neither a metric nor a suite; did you mean onsets\?"):
        main([f"manifest={folder}/m.jsonl", f"out={tmp_path}/x", "metrics=[onset]"])


def test_a_metric_without_any_value_is_an_error():
    value = Interval(1.0, None, None, 3, 3, "")
    row = {"system": "", "slice": "all", "num_samples": 3}
    full = Row(metric="niqe", num_scored=3, intervals={"niqe": value}, **row)
    require_measured(["niqe"], [full], Aggregator())
    bare = Row(metric="distribution_toy", num_scored=3, intervals={}, **row)
    with pytest.raises(
        NothingMeasured, match="1 metric measured nothing: features_toy: distances between sets need"
    ):
        require_measured(["niqe", "features_toy"], [full, bare], Aggregator())
    small = replace(bare, notes=("fd_toy: not computed, features: expected at least 2 rows, got 1",))
    with pytest.raises(NothingMeasured, match="nothing was measured: features_toy: fd_toy: not computed"):
        require_measured(["features_toy"], [small], Aggregator())
    with pytest.raises(NothingMeasured, match="onsets: no value"):
        require_measured(["onsets"], [replace(bare, metric="onsets")], Aggregator())
    assert NothingMeasured.exit_code == 1
