"""Words of a text, recovered from audio: truth, the audio of other prompts, and bad manifests."""

import json
from pathlib import Path

import pytest

from data.bounce.audio import render_audio
from data.bounce.audio_prompts import AudioPromptsConfig, make_audio_prompts
from data.bounce.facts import VideoFacts
from eval.bounce_checker import text_to_audio
from eval.core.audio import write_audio
from eval.core.manifest import Sample, write_manifest
from src.core import cli


def test_words_of_the_text_are_heard_in_its_own_audio_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = []
    for entry in make_audio_prompts(AudioPromptsConfig(num_prompts=4, seed=3)):
        audio = render_audio(VideoFacts.from_dict(entry["facts"]))
        write_audio(tmp_path / f"{entry['id']}.wav", audio, 48_000)
        name = str(entry["id"])
        samples.append(Sample(id=name, prompt=entry["prompt"], audio=f"{name}.wav", facts=entry["facts"]))
    write_manifest(tmp_path / "manifest.jsonl", samples)
    text_to_audio.main([f"model={tmp_path}", "truth=false"])
    lines = (tmp_path / "text_to_audio.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")][2:]
    assert rows[0][0] == "all"
    right, shuffled = (float(cell.split()[0]) for cell in rows[0][3:])
    assert right >= 90
    assert shuffled <= 50
    kinds = [row[0] for row in rows[1:] if not row[1]]
    assert kinds == list(text_to_audio.KINDS)
    facts = samples[0].facts
    assert facts is not None
    assert ["instrument", facts["audio"]["music"]["instrument"]] in [row[:2] for row in rows]
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
    entry = json.loads(lines[0])
    del entry["facts"]
    (tmp_path / "manifest.jsonl").write_text(json.dumps(entry))
    assert cli.run(text_to_audio.main, [f"model={tmp_path}"]) == 2
    assert "has no facts or no audio; see data.bounce.audio_prompts" in capsys.readouterr().err


def test_the_checker_is_validated_on_degraded_truth(tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    names = "degradations=[none,silence]"
    text_to_audio.main(["num_prompts=1", "parts=[music]", names, f"out={out}"])
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in out.read_text().splitlines()[2:]][2:]
    assert [row[0] for row in rows] == ["none", "silence"]
    assert rows[0][2].startswith("100.0")
    assert rows[1][2].startswith("0.0")
    assert rows[0][3] == "-"  # no objects sound


def test_each_word_is_counted_by_itself() -> None:
    heard = [("material", "metal", True), ("material", "metal", False), ("material", "glass", True),
             ("size", "small", False)]  # fmt: skip
    right = [text_to_audio.Named(*each) for each in heard]
    wrong = [text_to_audio.Named(kind, word, False) for kind, word, _ in heard]
    rows = text_to_audio.rows_of({"own": right, "other": wrong})
    assert [",".join(row[:3]) for row in rows] == [
        *("all,,4", "material,,3", "material,glass,1", "material,metal,2", "size,,1", "size,small,1")
    ]
    assert [[cell.split()[0] for cell in row[3:]] for row in rows] == [
        [each, "0.0"] for each in ("50.0", "66.7", "100.0", "50.0", "0.0", "0.0")
    ]
