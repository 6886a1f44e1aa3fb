import json

import pytest

from eval.core.intervals import Interval
from eval.core.results import FRACTION, Score
from eval.core.scored_runs import read_scored_runs

INTERVAL = {
    "mean": 0.5, "low": None, "high": None, "num": 2, "num_groups": 2, "method": "none", "skewed": False,
    "num_reference": None,
}  # fmt: skip


def write_run(folder, systems):
    """Write the files of eval.run that are read, with a row of all samples and one of a slice."""
    folder.mkdir()
    results, scores = [], []
    for system in systems:
        for item in ("1", "2"):
            key = {"system": system, "id": item, "prompt": f"p{item}", "reference": f"r{item}"}
            results.append(
                {**key, "metric": "onsets", "values": {"onset_f1": 0.5}, "pooled": {"onset_f1": [1, 2]}}
            )
            results.append({**key, "metric": "niqe", "values": None, "pooled": {}})
        line = {"system": system, "metric": "onsets", "score": "onset_f1", "better": 1, "unit": FRACTION,
                "text": "words", "num_scored": 2, "num_samples": 3, "reference_scored": None,
                "reference_samples": None, "reference_key": "", "measured": {"version": "1"}}  # fmt: skip
        scores += [{**line, **INTERVAL, "slice": "all"}, {**line, **INTERVAL, "slice": "fast", "mean": 9.0}]
    for name, lines in (("results", results), ("scores", scores)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def test_everything_about_a_system_is_read(tmp_path):
    systems, scores = read_scored_runs((write_run(tmp_path / "run", ["ours"]),))
    (found,) = systems.values()
    assert found.values == {("onsets", "onset_f1"): {"1": 0.5, "2": 0.5}}
    assert found.pooled == {("onsets", "onset_f1"): {"1": (1, 2), "2": (1, 2)}}
    assert (found.prompts, found.references) == ({"1": "p1", "2": "p2"}, {"1": "r1", "2": "r2"})
    assert found.measured == {"onsets": {"version": "1"}}
    (row,) = found.rows
    assert (row.system, row.metric, row.slice, row.num_scored, row.num_samples) == (
        "ours",
        "onsets",
        "all",
        2,
        3,
    )
    assert row.intervals == {"onset_f1": Interval(0.5, None, None, 2, 2, "none")}
    assert scores == {"onsets": {"onset_f1": Score(1, FRACTION, "words")}}


def test_names_of_systems_tell_runs_apart(tmp_path):
    one, two = write_run(tmp_path / "one", ["x", ""]), write_run(tmp_path / "two", ["x", ""])
    systems, _ = read_scored_runs((one, two))
    assert list(systems) == ["x", "one", "two/x", "two"]
    with pytest.raises(ValueError, match="two systems are called 'one/x'"):
        read_scored_runs((one, one, one))
    (tmp_path / "two" / "scores.jsonl").unlink()
    with pytest.raises(ValueError, match=r"two has no scores\.jsonl; expected an output folder"):
        read_scored_runs((two,))
