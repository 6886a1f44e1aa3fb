"""Metrics of the user's own code: the documented example from outside the repository, and what is refused."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval import compare
from eval.catalog import axis_of, expand_metrics
from eval.core import own_metrics
from eval.core.aggregation import Aggregator
from eval.core.axes import Axis
from eval.core.own_metrics import build_own_metric
from eval.core.results import Measurement, Record, Score
from eval.core.video import write_video
from eval.registry import build_own_metrics
from eval.run import main
from src.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs/own_metric.md").read_text(encoding="utf-8"), re.S)
PARAMETERS = "own: {Contrast: {limit: 41.0}}\n"
ENTRY_POINTS = "[moviegen.metrics]\nspread = outside:Spread\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with videos, a module outside the repository and a package that names its metric."""
    root = tmp_path_factory.mktemp("own")
    assert EXAMPLE is not None
    (root / "code" / "package").mkdir(parents=True)
    (root / "code" / "package" / "outside.py").write_text(EXAMPLE[1])
    installed = root / "code" / "package" / "outside-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    for name in ("a", "b"):
        for number in range(6):
            level = 20 + 8 * number + 4 * (name == "b")
            frames = np.full((4, 32, 32, 3), 128, np.uint8)
            frames[:, ::2], frames[:, 1::2] = 128 - level, 128 + level
            write_video(root / name / f"{number}.mp4", frames, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        module = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
        torch.jit.script(module).save(str(root / "toy.pt"))
    (root / "run.yaml").write_text(f"metrics: ['outside:Contrast', spread]\n{PARAMETERS}")
    return root


def run(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(root / "code" / "package"), str(ROOT)])
    command = [sys.executable, "-m", "eval.run", "run.yaml", *words, "html_videos=0", "sheet_rows=0"]
    command += ["local.toy.path=toy.pt", "local.toy.size=16", "local.toy.num_frames=2"]
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def test_the_example_from_outside_the_repository(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(folder, "videos=b", "reference=a", "out=scores/b", "num_workers=1")
    assert done.returncode == 0, done.stderr
    with (folder / "scores/b/table.csv").open(encoding="utf-8") as file:
        rows = {row["score"]: row for row in csv.DictReader(file)}
    assert (rows["contrast"]["axis"], rows["contrast"]["sub_axis"]) == ("quality", "overall")
    assert float(rows["contrast"]["mean"]) == pytest.approx(44, abs=1.5)
    assert float(rows["contrast_reached"]["mean"]) == 0.5  # 48, 56 and 64 of 24, 32, 40, ... levels
    assert rows["contrast_reached"]["interval"] == "bootstrap of 500 samples, percentiles"
    assert float(rows["contrast_reached"]["low"]) < 0.5 < float(rows["contrast_reached"]["high"])
    assert rows["spread_toy"]["metric"] == "spread_toy"
    assert float(rows["spread_toy"]["mean"]) > 0
    assert {"offset_toy", "fd_toy", "kid_toy"} <= rows.keys()
    records = [json.loads(line) for line in (folder / "scores/b/scores.jsonl").read_text().splitlines()]
    measured = next(each["measured"] for each in records if each["score"] == "contrast")
    assert (measured["own"], measured["limit"]) == ("outside:Contrast", 41.0)
    assert len(measured["code_sha256"]) == 64
    own = next(each["measured"] for each in records if each["score"] == "spread_toy")
    assert own["backbone"] == "program toy.pt"
    assert "contrast_reached" in (folder / "scores/b/table.md").read_text(encoding="utf-8")
    monkeypatch.setattr("eval.core.axes._OWN", {})  # another process, which has not seen the classes
    shutil.copytree(folder / "scores/b", folder / "scores/again")
    runs = f"runs=[{folder}/scores/b,{folder}/scores/again]"
    compare.main([runs, f"out={folder}/comparison", "html_samples=0"])
    differences = (folder / "comparison/differences.md").read_text(encoding="utf-8")
    assert "contrast levels ↑" in differences
    assert "spread_toy" in (folder / "comparison/leaderboard.md").read_text(encoding="utf-8")
    assert axis_of("contrast") == Axis("quality", "overall")


class Good:
    name, axis, scores = "good", Axis("alignment", "subject"), {"good": Score(1)}

    def __init__(self, power: float, *, base: int = 2) -> None:
        if base < 0:
            raise RuntimeError("negative")
        self.power, self.base = power, base

    def describe(self) -> dict[str, Any]:
        return {"version": 3, "power": "overwritten"}

    def measure(self, item: Any) -> Measurement:
        return Measurement({"good": self.power})


class Taken(Good):
    name = "low_level"


class Nameless(Good):
    name = "with space"


class Axisless(Good):
    axis = "quality"  # type: ignore[assignment]


class Scoreless(Good):
    scores = dict[str, Score]()


class Idle:
    name, axis, scores = "idle", Axis("quality", "overall"), {"idle": Score(1)}


class OfSets(Idle):
    name = "of_sets"

    def measure_set(self, generated: Any, reference: Any) -> dict[str, float]:
        return {"idle": 1.0}


def path(kind: type) -> str:
    return f"{__name__}:{kind.__name__}"


def test_the_description_names_the_code_and_its_parameters() -> None:
    metric = build_own_metric(path(Good), {"power": 2.0})
    found = metric.describe()
    assert (found["own"], found["version"], found["power"]) == (path(Good), 3, 2.0)
    assert found["axis"] == ["alignment", "subject"]
    assert axis_of("good") == Axis("alignment", "subject")
    assert expand_metrics(["video", path(Good)]) == ("low_level", "consistency", path(Good))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("no_such_package.x:Y", {}, r"No module named 'no_such_package'; is its folder in PYTHONPATH\?"),
        (f"{__name__}:Goood", {}, r"has no Goood; did you mean Good\?"),
        (path(Good), {"power": 1, "bse": 1}, r"own\.Good\.bse: no such parameter; did you mean base\?"),
        (path(Good), {}, r"own\.Good\.power must be given"),
        (path(Good), {"power": 1, "base": -1}, "RuntimeError: negative"),
        (path(Taken), {"power": 1}, "`name` is 'low_level', as of another metric"),
        (path(Nameless), {"power": 1}, "`name` must be a text of letters"),
        (path(Axisless), {"power": 1}, "`axis` must be"),
        (path(Scoreless), {"power": 1}, "`scores` must describe"),
        (path(Idle), {}, "it needs `measure`"),
        (f"{__name__}:ROOT", {}, "is no class"),
    ],
)
def test_what_is_no_metric_is_refused_with_a_reason(
    name: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_own_metric(name, parameters, {"low_level"})


def test_names_parameters_and_backbones_are_checked_against_each_other() -> None:
    with pytest.raises(ValueError, match=r"own: no metric of this run is called 'Godo'; did you mean Good\?"):
        build_own_metrics([path(Good)], {"Godo": {"power": 1}}, [])
    with pytest.raises(ValueError, match="measures sets and needs a backbone"):
        build_own_metrics([path(OfSets)], {}, [])
    with pytest.raises(ValueError, match="`name` is 'good', as of another metric"):
        build_own_metrics(
            [path(Good), f"{__name__}:Other"], {"Good": {"power": 1}, "Other": {"power": 1}}, []
        )
    with pytest.raises(ValueError, match="'onset' is neither a metric nor a suite"):
        expand_metrics(["onset"])


class Other(Good):
    pass


def test_entry_points_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    point = own_metrics.EntryPoint("mine", path(Good), own_metrics.GROUP)
    monkeypatch.setattr(own_metrics, "entry_point_names", lambda: {"mine": point})
    metrics, sets = build_own_metrics(["mine"], {"mine": {"power": 4}}, [])
    assert ([each.name for each in metrics], sets) == (["good"], [])
    assert metrics[0].describe()["power"] == 4


def record(name: str, prompt: str, values: dict[str, float] | None) -> Record:
    fixed: dict[str, Any] = {"system": "", "tags": (), "metric": "m", "detail": {}, "dropped": None}
    return Record(id=name, prompt=prompt, values=values, **fixed)


def test_values_that_a_metric_aggregates_have_intervals_over_prompts() -> None:
    aggregator = Aggregator()
    for number in range(40):
        values = {"x": float(number // 2)} if number else None
        aggregator.add(record(str(number), f"p{number // 2}", values))
    (row,) = aggregator.summarize(
        aggregates={"m": lambda s: {"top": max(e.values["x"] for e in s if e.values)}}
    )
    found = row.intervals["top"]
    assert (found.mean, found.num, found.num_groups, found.high) == (19.0, 39, 20, 19.0)
    assert found.low is not None
    assert 15 <= found.low <= 18
    few = Aggregator()
    for number in range(4):
        few.add(record(str(number), "", {"x": 1.0}))
    (row,) = few.summarize(aggregates={"m": lambda s: {"n": len(s)}})
    assert (row.intervals["n"].mean, row.intervals["n"].bounds) == (4.0, None)


def test_parameters_are_checked_on_the_command_line_before_any_video(tmp_path: Path) -> None:
    for number in range(2):
        write_video(tmp_path / f"{number}.mp4", np.zeros((2, 16, 16, 3), np.uint8), 8)
    words = [
        f"videos={tmp_path}",
        f"out={tmp_path}/out",
        f"metrics=[{path(Good)}]",
        "html_videos=0",
        "sheet_rows=0",
    ]
    with pytest.raises(UserError, match=r"own\.Good: expected parameters by name, got 3"):
        main([*words, "own.Good=3"])
    with pytest.raises(UserError, match=r"own\.Good\.powr: no such parameter; did you mean power\?"):
        main([*words, "own.Good.powr=3"])
    assert not (tmp_path / "out" / "results.jsonl").exists()
    main([*words, "own.Good.power=2.5"])
    assert "| all | 2 / 2 | 2.500, n=2 |" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
