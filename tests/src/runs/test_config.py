"""Configs of stages: what each says of the weights that it starts from."""

from pathlib import Path

import pytest

from src.core import config
from src.core.provenance import ROOT
from src.runs.config import VideoRunConfig

FILES = sorted(path for path in (ROOT / "configs").glob("**/*.yaml"))
STAGES = [path for path in FILES if config.read_text(path.read_text()).get("start_from")]


def names(paths: list[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.stem}" for path in paths]


@pytest.mark.parametrize("path", STAGES, ids=names(STAGES))
def test_a_hand_over_names_raw_or_ema_weights(path: Path) -> None:
    assert config.read_text(path.read_text()).get("start_use") in ("raw", "ema")


def test_hand_overs_of_the_paper() -> None:
    paths = [path for path in STAGES if path.parent.name == "paper" and "audio" not in path.stem]
    stages = {path.stem: config.load(VideoRunConfig, path) for path in paths}
    assert stages.keys() == {"joint_256", "joint_256_large", "joint_768", "sft"}
    growth = {name: stage.position_growth for name, stage in stages.items()}
    assert (growth["joint_256"], growth["joint_768"]) == ("pad", "interpolate")
    carried = {name: stage.start_optimizer for name, stage in stages.items()}
    assert [name for name, carries in carried.items() if carries] == ["joint_256_large"]
    assert stages["joint_256_large"].train.warmup_steps == 0


@pytest.mark.parametrize("path", [p for p in STAGES if p.stem.endswith("_joint")], ids=lambda path: path.stem)
def test_joint_stages_pad_their_positions(path: Path) -> None:
    assert config.load(VideoRunConfig, path).position_growth == "pad"
