"""The benchmark of distribution metrics."""

import pytest

from benchmarks import evaluation
from benchmarks.evaluation_libraries import METRICS
from benchmarks.record import BenchmarkRecord
from src.core.errors import UserError


@pytest.mark.parametrize("metric", METRICS)
def test_libraries_agree_with_ours(metric: str) -> None:
    for package in ("cleanfid", "torch_fidelity"):
        pytest.importorskip(package)
    results = {
        library: evaluation.measure(
            evaluation.EvaluationBenchConfig(case=f"{metric}/{library}", rows=1100, dims=16, repeats=1)
        )
        for library in METRICS[metric]
        if library == "ours"
        or metric != "frechet"
        or library != "clean-fid"  # it raises warnings of its own calls
    }
    evaluation.check_equal(metric, results)
    assert all(numbers["seconds"] > 0 for numbers in results.values())


def test_an_unequal_result_is_an_error() -> None:
    results = {"ours": {"values": {"distance": 2.0}}, "clean-fid": {"values": {"distance": 2.1}}}
    with pytest.raises(UserError, match="distance of clean-fid"):
        evaluation.check_equal("frechet", results)
    evaluation.check_equal("frechet", {"ours": results["ours"]})


def test_table_shows_ratio_and_memory() -> None:
    record = BenchmarkRecord(fixed={"settings": {"rows": 10, "dims": 4}, "versions": {"torch": "2"}})
    record.runs = {
        "kid/ours": [{"seconds": 2.0, "mib": 5.0, "values": {"distance": 0.5}}],
        "kid/clean-fid": [{"seconds": 5.0, "mib": 9.0, "values": {"distance": 0.5}}],
    }
    text = evaluation.format_markdown(record)
    assert "| kid | clean-fid | 5.00 | 2.50x | 9 | distance 0.5 |" in text
    assert "| kid | goal: 3x the fastest | | 2.50x: not met | | |" in text


def test_errors_for_invalid_settings() -> None:
    for fields, message in (
        ({"case": "kid/other"}, "case must be one of frechet/ours.*, got 'kid/other'"),
        ({"metrics": ("fvd",)}, "metrics must be of frechet.*, got 'fvd'"),
        ({"rows": 10}, "rows must be more than dims=2048.*, got 10"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluation.EvaluationBenchConfig(**fields)
