"""Variants of codecs at equal CPU time: each trains, is scored on stems and has about as many parameters."""

import json
from pathlib import Path

import pytest

from benchmarks import codec_variants
from data import prepare
from src.core.errors import UserError

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "codec" / "variants.yaml"
NARROW = [
    "dac_channels=4",
    "encodec_channels=4",
    "seconds=0.3",
    "crop=3840",
    "batch_size=2",
    "num_test_clips=1",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("variants") / "set"
    clips = "audio.bounce={a: {num_clips: 1, num_val_clips: 1, audio: {min_impacts: 1, stems: true}}}"
    prepare.main([f"out={root}", "source=audio", "audio.seconds=2.0", clips, "num_workers=0"])
    return root


@pytest.mark.parametrize("case", codec_variants.VARIANTS)
def test_every_variant_trains_and_is_scored(
    dataset: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    data = [f"data={dataset}/train", f"test={dataset}/val"]
    codec_variants.main([str(CONFIG), f"case={case}", *data, *NARROW])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] >= 1
    assert result["mel"] > 0
    assert -100 <= result["si_sdr_impacts"] < 10
    assert 0 <= result["onset_f1"] <= 1
    assert codec_variants.build_table({case: result}, 1.0).row_count == 1


def test_parameters_are_about_equal() -> None:
    pytest.importorskip("transformers")
    counts = [
        sum(
            p.numel()
            for p in codec_variants.build(codec_variants.CodecVariantsConfig(case=case)).parameters()
        )
        for case in codec_variants.VARIANTS
    ]
    assert max(counts) < 1.15 * min(counts)


def test_clips_without_stems_are_refused(dataset: Path, tmp_path: Path) -> None:
    clips = "audio.bounce={a: {num_clips: 1, num_val_clips: 1}}"
    prepare.main([f"out={tmp_path}/set", "source=audio", "audio.seconds=1.0", clips, "num_workers=0"])
    data = [f"data={dataset}/train", f"test={tmp_path}/set/val"]
    with pytest.raises(UserError, match="no clip has a stem of impacts"):
        codec_variants.main([str(CONFIG), "case=spectral", *data, *NARROW])
