"""The sampler study at toy size: results, resuming, errors."""

import json
from pathlib import Path

import pytest
import torch

from data.bounce import prompts
from src import train
from src.core import config
from src.core.errors import UserError
from src.inference.pipeline import VideoPipeline
from src.studies.config import SamplerStepsConfig
from src.studies.sampler_report import compare, interval
from tests.fixtures.toy_runs import write_toy_runs

STUDY = """
experiment: sampler_steps
name: study
run_dir: study
generate:
  {run: video, tae: tae, prompts: prompts.jsonl, batch_size: 2, precision: fp32, sampler: {guidance_scale: 2}}
reference: {num_steps: 24}
variants:
  same: {num_steps: 24}
  coarse: {num_steps: 2}
  finer: {num_steps: 8}
  quadratic: {schedule: linear-quadratic, num_steps: 4, num_emulated_steps: 8}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of three videos."""
    root = tmp_path_factory.mktemp("sampler_steps")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_toy_runs(root)
        prompts.main(["prompts.jsonl", "num_prompts=3", "world.max_objects=1"])
        Path("study.yaml").write_text(STUDY)
        train.main(["study.yaml"])
    return root


def results(root: Path, study: str = "study") -> dict[str, dict]:
    return {r["name"]: r for r in json.loads((root / study / "results.json").read_text())}


def test_distances_are_to_the_reference_with_equal_noise(root: Path) -> None:
    found = results(root)
    assert list(found) == ["reference", "same", "coarse", "finer", "quadratic"]
    assert found["same"]["latent_distance"] == {"mean": 0, "low": 0, "high": 0}
    assert found["same"]["psnr"] is None
    assert 0 < found["finer"]["latent_distance"]["mean"] < found["coarse"]["latent_distance"]["mean"]
    assert found["finer"]["psnr"]["mean"] > found["coarse"]["psnr"]["mean"]
    assert found["coarse"]["latent_distance"]["mean"] < found["reference"]["other_video"]
    assert all(r["num_videos"] == 3 for r in found.values())
    assert found["quadratic"]["settings"]["quadratic_start"] == "continuous"


def test_distance_is_that_of_normalized_latents(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    pipeline = VideoPipeline(config.load(SamplerStepsConfig, "study.yaml").generate)
    pipeline.model.latent_std_C.copy_(torch.tensor([2.0, 2, 4, 4]))
    a = torch.randn(2, 4, 4, 4, 4)
    std_C111 = pipeline.model.latent_std_C[:, None, None, None]
    apart = torch.stack([std_C111, 3 * std_C111])
    result = compare("x", {}, pipeline, [(a, a + apart)])
    assert result.latent_distance == pytest.approx(interval([1.0, 3.0]), abs=1e-4)


def test_scores_are_those_of_the_checker(root: Path) -> None:
    lines = (root / "study/scores/results.jsonl").read_text().splitlines()
    scored = [json.loads(line) for line in lines]
    for name, result in results(root).items():
        values = [row["values"]["camera"] for row in scored if row["system"] == name]
        assert len(values) == 3
        assert result["scores"]["camera"]["mean"] == pytest.approx(sum(values) / 3)
        assert set(result["scores"]) == {"subject", "motion", "camera"}


def test_table_and_plot_show_every_variant(root: Path) -> None:
    table = (root / "study/table.md").read_text()
    assert "| coarse | linear | 2 |" in table
    assert "| quadratic | linear-quadratic continuous, as 8 | 4 |" in table
    assert "| same |" in table
    assert "3 videos." in table
    assert (root / "study/sampler_steps.png").read_bytes().startswith(b"\x89PNG")


def test_interrupted_study_resumes_with_equal_results(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    sample, calls = VideoPipeline.sample, []

    def interrupting(self: VideoPipeline, *args: object) -> torch.Tensor:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sample(self, *args)  # type: ignore[arg-type]

    argv = ["study.yaml", "run_dir=again", "score=false"]
    with monkeypatch.context() as patch:
        patch.setattr(VideoPipeline, "sample", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train.main(argv)
    assert list(results(root, "again")) == ["reference"]
    kept = sorted(Path("again").glob("*/latents/*.safetensors"))
    assert [f"{p.parts[1]} {p.stem}" for p in kept] == ["reference 0000", "reference 0001", "same 0000"]
    stamps = [p.stat().st_mtime_ns for p in kept]
    train.main(argv)
    assert [p.stat().st_mtime_ns for p in kept] == stamps
    assert results(root, "again") == {n: {**r, "scores": {}} for n, r in results(root).items()}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["reference.num_steps=30"],
            "study/reference was generated with other settings: variant.num_steps was 24, now 30",
        ),
        (
            ["generate.seed=5"],
            "study/reference was generated with other settings: generate.seed was 0, now 5",
        ),
        (["generate.prompts=plain.txt"], "generate.prompts=plain.txt: has prompts without facts"),
        (["generate.out=x"], "generate.out=x: not supported"),
        (["variants.coarse.num_steps=0"], "variants.coarse: num_steps must be at least 1, got 0"),
        (["variants.reference.num_steps=2"], "none of them named 'reference'"),
    ],
)
def test_errors(root: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str) -> None:
    monkeypatch.chdir(root)
    Path("plain.txt").write_text("a star\n")
    with pytest.raises(UserError, match=message) as error:
        train.main(["study.yaml", *overrides])
    assert "\n" not in str(error.value)
