"""The benchmark of set metrics: ours runs, unequal results end it, the table tells the ratio."""

import pytest

from benchmarks import evaluation
from benchmarks.evaluation_libraries import METRICS
from benchmarks.record import Record
from src.core.errors import UserError


@pytest.mark.parametrize("metric", METRICS)
def test_libraries_that_are_here_agree_with_ours(metric: str) -> None:
    for package in ("cleanfid", "torch_fidelity"):
        pytest.importorskip(package)
    found = {
        library: evaluation.measure(
            evaluation.BenchConfig(case=f"{metric}/{library}", rows=1100, dims=16, repeats=1)
        )
        for library in METRICS[metric]
        if library == "ours" or metric != "frechet" or library != "clean-fid"  # it warns of its own calls
    }
    evaluation.check_equal(metric, found)
    assert all(numbers["seconds"] > 0 for numbers in found.values())


def test_an_unequal_result_ends_the_benchmark() -> None:
    found = {"ours": {"values": {"distance": 2.0}}, "clean-fid": {"values": {"distance": 2.1}}}
    with pytest.raises(UserError, match="clean-fid gives distance"):
        evaluation.check_equal("frechet", found)
    evaluation.check_equal("frechet", {"ours": found["ours"]})


def test_the_table_tells_ratio_and_memory() -> None:
    record = Record(fixed={"settings": {"rows": 10, "dims": 4}, "versions": {"torch": "2"}})
    record.runs = {
        "kid/ours": [{"seconds": 2.0, "mib": 5.0, "values": {"distance": 0.5}}],
        "kid/clean-fid": [{"seconds": 5.0, "mib": 9.0, "values": {"distance": 0.5}}],
    }
    text = evaluation.markdown(record)
    assert "| kid | clean-fid | 5.00 | 2.50x | 9 | distance 0.5 |" in text
    assert "| kid | goal: 3x the fastest | | 2.50x: not met | | |" in text


def test_what_is_measured_is_checked() -> None:
    for words, message in (
        ({"case": "kid/nobody"}, "case: 'kid/nobody' is none of frechet/ours"),
        ({"metrics": ("fvd",)}, "metrics: 'fvd' is none of frechet"),
        ({"rows": 10}, "rows: 10 must be more than dims=2048"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluation.BenchConfig(**words)
