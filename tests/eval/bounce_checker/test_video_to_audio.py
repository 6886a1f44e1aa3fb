"""The table of generated audio and its controls."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker import video_impacts, video_to_audio
from src.core.errors import UserError
from src.core.media_io.video_writer import encode_video

RATE = 16_000
TIMES = ((0.5, 1.2, 2.0), (0.8, 1.6), ())  # of the impacts of three videos


def click(times: tuple[float, ...], seconds: float = 3.0) -> np.ndarray:
    samples = 1e-4 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        decay = np.exp(-np.arange(1600) / 200)
        samples[start : start + 1600] += decay * np.sin(0.5 * np.arange(1600))
    return samples


def write_set(folder: Path, late_s: float = 0.0, extra: tuple[float, ...] = ()) -> Path:
    """Write audio with a click at each impact, and a manifest with the facts."""
    folder.mkdir()
    lines = []
    for number, times in enumerate(TIMES):
        heard = tuple(time + late_s for time in times) + (extra if number == 2 else ())
        soundfile.write(folder / f"{number}.wav", click(heard), RATE)
        impacts = [{"time_s": time, "objects": [0], "kind": "wall"} for time in times]
        facts = {
            "impacts": impacts,
            "objects": [{"material": "wood", "size": "small"}],
            "background": "plain",
        }
        entry = {
            "id": f"impacts_{number}",
            "prompt": "",
            "audio": f"{number}.wav",
            "reference": f"{number}.wav",
        }
        lines.append(json.dumps(entry | {"facts": facts}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


def rows_of(text: str) -> dict[str, list[str]]:
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    return {row[0]: row[1:] for row in table[2:]}


def test_the_model_is_compared_with_silence_even_onsets_shuffled_videos_and_the_truth(tmp_path: Path) -> None:
    model, codec = write_set(tmp_path / "model", late_s=0.03, extra=(1.0,)), write_set(tmp_path / "codec")
    video_to_audio.main([f"model={model}", f"codec={codec}"])
    text = (model / "video_to_audio.md").read_text()
    rows = rows_of(text)
    assert rows["model"][:4] == ["2", "5", "1.000", "1.000"]
    assert rows["model"][4].startswith("1.000 [")
    assert rows["model"][5] == "0.000"  # 30 ms late
    assert rows["model"][-1] == "20.0"  # one onset in three seconds without an impact
    assert rows["silence"][4].startswith("0.000")
    assert rows["model, shuffled"][4].startswith("0.")
    assert float(rows["model, shuffled"][4].split()[0]) < 0.5
    assert float(rows["onsets at even distances"][4].split()[0]) < 0.7
    assert rows["codec, round trip"][5] == rows["true audio"][5] == "1.000"
    assert "+30 ms  ####" in text or "+20 ms  ####" in text


def test_without_facts_there_is_no_table(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "plain")
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    bare = [json.dumps({k: v for k, v in json.loads(line).items() if k != "facts"}) for line in lines]
    (folder / "manifest.jsonl").write_text("\n".join(bare))
    with pytest.raises(UserError, match=r"impacts_0 has no facts or no audio"):
        video_to_audio.main([f"model={folder}"])
    with pytest.raises(UserError, match=r"no samples with id_prefix='other'"):
        video_to_audio.main([f"model={folder}", "id_prefix=other"])


def write_generated(folder: Path) -> Path:
    """Write videos of one object with a click at each impact, and their manifest."""
    folder.mkdir()
    world = WorldConfig(max_objects=1, bounce_prob=1.0, still_prob=0.0, backgrounds=("plain",))
    lines = []
    for number, seed in enumerate((3, 5, 8)):
        video = make_video(seed, world, num_frames=16, height=48, width=48, fps=16)
        with (folder / f"{number}.mp4").open("wb") as file:
            encode_video(file, video.video_THWC, 16)
        times = tuple(impact.time_s for impact in video.facts.impacts)
        soundfile.write(folder / f"{number}.wav", click(times, 1.5)[:RATE], RATE)
        entry = {"id": str(number), "prompt": "", "video": f"{number}.mp4", "audio": f"{number}.wav"}
        lines.append(json.dumps(entry | {"facts": video.facts.to_dict()}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


def test_impacts_of_generated_videos_are_read_from_their_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_generated(tmp_path / "generated")
    manifest = folder / "manifest.jsonl"
    video_impacts.main([f"manifest={manifest}", f"out={tmp_path / 'impacts.md'}"])
    row = rows_of((tmp_path / "impacts.md").read_text())["video"]
    assert int(row[1]) >= 3
    assert row[2:6] == ["1.000", "1.000", "1.000", "100.0"]
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        line["facts"]["impacts"] = []
    manifest.write_text("\n".join(json.dumps(line) for line in lines))
    video_to_audio.main([f"model={folder}", "truth=video"])
    text = (folder / "video_to_audio.md").read_text()
    assert rows_of(text)["model"][4].startswith("1.000 [")
    assert rows_of(text)["model"][7] == "-"  # no materials are known
    assert "0 silent, 0 clipped" in text
    soundfile.write(folder / "0.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "1.wav", np.sin(np.arange(RATE)) * 2, RATE)
    video_to_audio.main([f"model={folder}", "truth=video"])
    assert "1 silent, 1 clipped" in (folder / "video_to_audio.md").read_text()
    manifest.write_text("\n".join(json.dumps({k: v for k, v in e.items() if k != "video"}) for e in lines))
    with pytest.raises(UserError, match=r"0 has no video to read impacts from"):
        video_to_audio.main([f"model={folder}", "truth=video"])
    with pytest.raises(UserError, match=r"no videos with facts"):
        video_impacts.main([f"manifest={manifest}"])
