"""Exit codes and one-line errors of entry points."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from data import prepare
from data.bounce import prompts
from eval import run as score
from src import train
from src.core import cli

DATA = """
out: file/x
num_workers: 0
world: {videos: {num_videos: 2, num_val_videos: 0}}
"""


@pytest.mark.parametrize(
    ("main", "args"),
    [
        (prepare.main, ["data.yaml"]),
        (prompts.main, ["file/x/prompts.jsonl", "num_prompts=1"]),
        (score.main, ["manifest=manifest.jsonl", "out=file/x", "metrics=[low_level]"]),
        (train.main, ["latents.yaml"]),
    ],
    ids=["prepare", "prompts", "score", "train"],
)
def test_an_unwritable_output_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], None],
    args: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("data.yaml").write_text(DATA)
    Path("latents.yaml").write_text("{experiment: encode_latents, tae: tae, data: data, run_dir: file/x}")
    Path("manifest.jsonl").write_text('{"id": "a", "prompt": "a star", "video": "a.mp4"}\n')
    assert cli.run(main, args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "file/x" in error
    assert error.count("\n") == 1


def test_other_os_errors_are_bugs() -> None:
    def broken(argv: list[str]) -> None:
        raise OSError(errno.ENOENT, "No such file or directory", "own.json")

    with pytest.raises(OSError, match=r"own\.json"):
        cli.run(broken, [])
