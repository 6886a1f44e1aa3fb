"""Choosing among candidates by a contrastive model whose answers are known, and who may score the chosen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.curation.diegetic import audio_video_cosine
from eval import rank, run
from eval.core.audio import Audio, write_audio
from eval.core.manifest import Sample, read_manifest, write_manifest
from eval.core.video import write_video
from src.core import cli
from tests.fixtures import network_checkpoints

RED = (220, 10, 10)
LOUD, SOFT, MIDDLE = 0.9, 0.01, 0.35  # the programs put loud audio near red


def write_candidates(folder: Path) -> Path:
    """Two items of three candidates each: red videos with audio of different levels; one is broken."""
    folder.mkdir()
    frames = np.full((8, 32, 32, 3), RED, np.uint8)
    write_video(folder / "red.mp4", frames, 8, crf=0)
    samples = []
    for item, levels in {"a": (SOFT, LOUD, MIDDLE), "b": (LOUD, None, SOFT)}.items():
        for k, level in enumerate(levels):
            name = f"{item}-{k}"
            if level is None:
                (folder / f"{name}.wav").write_bytes(b"nothing")
            else:
                write_audio(folder / f"{name}.wav", np.full((1, 1000), level, np.float32), 1000)
            samples.append(
                Sample(
                    id=name, prompt="", video="red.mp4", audio=f"{name}.wav",
                    generation={"candidate_of": item},
                )
            )  # fmt: skip
    write_manifest(folder / "manifest.jsonl", samples)
    return folder / "manifest.jsonl"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    return network_checkpoints.save_joint_programs(tmp_path / "programs")


def test_the_best_candidate_of_each_item_is_chosen(
    tmp_path: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out = write_candidates(tmp_path / "all"), tmp_path / "best"
    options = ["metric=contrastive", f"weights.contrastive.path={programs}", f"out={out}"]
    rank.main([f"manifest={manifest}", *options])
    chosen = read_manifest(out / "manifest.jsonl")
    assert [sample.id for sample in chosen] == ["a-1", "b-0"]
    assert (out / "a-1.wav").read_bytes() == (tmp_path / "all/a-1.wav").read_bytes()
    lines = [json.loads(line) for line in (out / "ranking.jsonl").read_text().splitlines()]
    assert [(line["id"], line.get("kept")) for line in lines] == [
        ("a-1", True), ("a-2", False), ("a-0", False), ("b-0", True), ("b-2", False), ("b-1", None),
    ]  # fmt: skip
    assert "1 candidates cannot be scored, such as b-1" in capsys.readouterr().out
    rank.main([f"manifest={manifest}", *options[:2], f"out={tmp_path / 'two'}", "keep=2"])
    assert [sample.id for sample in read_manifest(tmp_path / "two/manifest.jsonl")] == [
        "a-1",
        "a-2",
        "b-0",
        "b-2",
    ]


def test_the_checkpoint_that_ranked_may_not_score(
    tmp_path: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "best"
    weights = f"weights.contrastive.path={programs}"
    rank.main([f"manifest={write_candidates(tmp_path / 'all')}", "metric=contrastive", weights, f"out={out}"])
    scoring = [f"manifest={out / 'manifest.jsonl'}", "metrics=[contrastive]", f"out={tmp_path / 'scores'}"]
    assert cli.run(run.main, [*scoring, weights]) == 2
    assert "its network (sha256" in (error := capsys.readouterr().err)
    assert "chose sample 'a-1' of several candidates; score by another checkpoint" in error
    # under another path, or exported again from the same checkpoint
    shutil.copytree(programs, tmp_path / "copy")
    assert cli.run(run.main, [*scoring, f"weights.contrastive.path={tmp_path / 'copy'}"]) == 2
    contract = json.loads((programs / "contract.json").read_text())
    for name, sha, expected in (("one", "a" * 64, 0), ("same", "a" * 64, 2), ("other", "b" * 64, 0)):
        folder = tmp_path / name
        shutil.copytree(programs, folder)
        changed = {
            **contract,
            "model": f"tiny, weights sha256 {sha}",
            "text": {**contract["text"], "pad": len(name)},
        }
        (folder / "contract.json").write_text(json.dumps(changed))
        weights = f"weights.contrastive.path={folder}"
        if name == "one":
            again = [f"manifest={tmp_path / 'all/manifest.jsonl'}", "metric=contrastive", weights]
            assert cli.run(rank.main, [*again, f"out={tmp_path / 'best2'}"]) == 0
            scoring[0] = f"manifest={tmp_path / 'best2/manifest.jsonl'}"
        else:
            assert cli.run(run.main, [*scoring, weights, "html_videos=0", "sheet_rows=0"]) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["metric=audio"], "has 6 scores, give one as score=...; known: lufs"),
        (["metric=audio", "score=loud"], "no score 'loud'"),
        (["metric=audio", "score=lufs"], "score=lufs: neither high nor low values are better"),
        (["metric=contrastive"], "contrastive: needs weights.contrastive.path=..."),
        (["metric=nothing"], "nothing"),
    ],
)
def test_what_cannot_rank_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    manifest = write_candidates(tmp_path / "all")
    assert cli.run(rank.main, [f"manifest={manifest}", *options, f"out={tmp_path / 'best'}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_one_candidate_each_is_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "a.wav", np.zeros((1, 1000), np.float32), 1000)
    write_manifest(tmp_path / "manifest.jsonl", [Sample(id="a", prompt="", audio="a.wav")])
    command = [f"manifest={tmp_path / 'manifest.jsonl'}", "metric=audio", f"out={tmp_path / 'best'}"]
    assert cli.run(rank.main, command) == 2
    assert "one sample of each item; generate with num_candidates=N" in capsys.readouterr().err


def test_curation_has_the_cosine_of_audio_and_video(tmp_path: Path, programs: Path) -> None:
    """The programs hear half a second; red videos with loud audio are near, with soft audio far."""
    contract = json.loads((programs / "contract.json").read_text())
    contract["video"]["fps"] = 8.0
    (programs / "contract.json").write_text(json.dumps(contract))
    found = {}
    for name, level in (("loud", LOUD), ("soft", SOFT)):
        samples = np.full((1, 16_000), level, np.float32)
        frames = np.full((8, 32, 32, 3), RED, np.uint8)
        write_video(tmp_path / f"{name}.mkv", frames, 8, audio=Audio(samples, 16_000), lossless=True)
        found[name] = audio_video_cosine(tmp_path / f"{name}.mkv", 0.0, 1.0, str(programs))
    assert found["loud"] > 0.9 > 0.2 > found["soft"]
    assert audio_video_cosine(tmp_path / "loud.mkv", 0.0, 0.3, str(programs)) is None
