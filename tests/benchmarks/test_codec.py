"""The benchmark of codecs: every case has numbers, and the two DACs have the same network."""

import pytest

from benchmarks import codec
from benchmarks.autoencoders import PHASES, build_table
from src.core.errors import UserError


def test_every_case_has_times_and_memory() -> None:
    pytest.importorskip("transformers")
    results = {}
    for case in codec.CASES:
        settings = codec.CodecBenchConfig(case=case, channels=2, encodec_channels=2, seconds=0.1, repeats=1)
        results[case] = codec.measure(settings)
        assert all(results[case][phase] > 0 for phase in PHASES)
    net = codec.build(codec.CodecBenchConfig(case="DAC", channels=2)).net
    gains = sum(p.numel() for name, p in net.named_parameters() if name.endswith("weight_g"))
    assert results["DAC"]["parameters"] - gains == results[codec.BASELINE]["parameters"]
    assert build_table(results, codec.BASELINE, "s/s", 3).row_count == len(codec.CASES)


def test_an_unknown_case_is_refused() -> None:
    with pytest.raises(UserError, match="case must be one of DAC"):
        codec.main(["case=SoundStream"])
