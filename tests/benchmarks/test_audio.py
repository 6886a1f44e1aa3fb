"""The benchmark of audio transformers: both cases have numbers and about as many parameters."""

import pytest

from benchmarks import audio
from src.core.errors import UserError


def test_both_cases_have_times_and_memory() -> None:
    pytest.importorskip("diffusers")
    results = {}
    for case in audio.CASES:
        settings = audio.AudioBenchConfig(case=case, width=128, layers=2, latents=12, channels=4, repeats=1)
        results[case] = audio.measure(settings)
        assert all(results[case][phase] > 0 for phase in audio.PHASES)
    ours, theirs = (results[case]["parameters"] for case in audio.CASES)
    assert 0.8 < ours / theirs < 1.25
    assert audio.build_table(results).row_count == 2


def test_unknown_cases_and_widths_are_refused() -> None:
    with pytest.raises(UserError, match="case must be one of ours"):
        audio.main(["case=AudioLDM"])
    with pytest.raises(UserError, match="width must be a multiple of 64, got 100"):
        audio.main(["width=100"])
