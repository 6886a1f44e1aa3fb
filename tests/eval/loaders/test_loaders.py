import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from eval.build_manifest import main
from eval.config import EvalConfig
from eval.core.manifest import read_manifest, write_manifest
from eval.core.video import write_video
from eval.loaders.benchmarks import (
    load_movie_gen_audio_bench,
    load_movie_gen_video_bench,
    load_vbench,
    stratified_subset,
)
from eval.loaders.media_files import load_csv, load_folder
from eval.scoring import score
from src.core.errors import UserError
from tests.fixtures.videos import waves

# a look-alike of our own: trailing spaces, repeated tags, orders of tags, a duplicate, a quoted comma
ROWS = [
    ("A fox, red, runs ", "animal,camera motion", "high"),
    ("A lake at dawn", "scene", "low"),
    ('He says "ü"', "camera motion,animal", "high"),
    ("A lake at dawn", "scene,scene", "medium"),
    ("Ink in water", "physics", "low"),
]


@pytest.fixture
def bench(tmp_path):
    text = "\n".join(prompt for prompt, *_ in ROWS) + "\n"
    (tmp_path / "bench.txt").write_text(text, encoding="utf-8")
    quoted = [f'"{p.strip().replace(chr(34), chr(34) * 2)}","{c}",{m}' for p, c, m in ROWS]
    (tmp_path / "bench.csv").write_text(
        "prompt,concept,motion_level\r\n" + "\r\n".join(quoted) + "\r\n", encoding="utf-8"
    )
    return tmp_path


def test_movie_gen_video_bench(bench):
    plain, tagged = (load_movie_gen_video_bench(bench / f"bench.{kind}") for kind in ("txt", "csv"))
    assert [(s.id, s.prompt) for s in plain] == [(s.id, s.prompt) for s in tagged]
    assert [s.id for s in plain] == ["0000", "0001", "0002", "0003", "0004"]
    assert plain[0].prompt == "A fox, red, runs"
    assert tagged[0].tags == tagged[2].tags == ("concept: animal", "concept: camera motion", "motion: high")
    assert tagged[3].tags == ("concept: scene", "motion: medium", "duplicate")
    (bench / "bad.txt").write_text("one\n\ntwo\n")
    with pytest.raises(ValueError, match=r"bad\.txt:2: the prompt is empty"):
        load_movie_gen_video_bench(bench / "bad.txt")
    (bench / "bad.csv").write_text("prompt,motion\na,b\n")
    with pytest.raises(ValueError, match="expected the columns prompt, concept, motion_level"):
        load_movie_gen_video_bench(bench / "bad.csv")


def test_movie_gen_audio_bench_keeps_its_ids(tmp_path):
    lines = [{"id": i, "video_prompt": "v", "audio_prompt": f"a{i} "} for i in (0, 1, 3)]
    path = tmp_path / "sfx.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [(s.id, s.prompt) for s in load_movie_gen_audio_bench(path)] == [
        ("0", "a0"),
        ("1", "a1"),
        ("3", "a3"),
    ]
    with pytest.raises(ValueError, match=r"sfx\.jsonl:1: expected id and music_prompt"):
        load_movie_gen_audio_bench(path, "music_prompt")
    path.write_text("\n".join(map(json.dumps, [lines[0], lines[0]])))
    with pytest.raises(ValueError, match=":2: id 0 occurs twice"):
        load_movie_gen_audio_bench(path)


def test_vbench(tmp_path):
    path = tmp_path / "full.json"
    path.write_text(json.dumps([{"prompt_en": "a dog", "dimension": ["color", "scene"]}]))
    (sample,) = load_vbench(path)
    assert sample.tags == ("dimension: color", "dimension: scene")
    path.write_text("[{}]")
    with pytest.raises(ValueError, match="entry 0: expected an object with prompt_en"):
        load_vbench(path)


def test_bench_mini_is_stratified_seeded_and_in_order(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["prompt,concept,motion_level"]
    for i in range(1003):
        concept = ["scene", "animal", "physics"][rng.choice(3, p=[0.6, 0.3, 0.1])]
        prompt = "the same" if i in (7, 500) else f"prompt {i}"
        lines.append(f"{prompt},{concept},{['low', 'high'][i % 3 == 0]}")
    (tmp_path / "b.csv").write_text("\n".join(lines))
    samples = load_movie_gen_video_bench(tmp_path / "b.csv")
    mini = stratified_subset(samples)
    assert len(mini) == len({s.prompt for s in mini}) == 381
    assert [s.id for s in mini] == sorted(s.id for s in mini)
    assert mini == stratified_subset(samples)
    assert mini != stratified_subset(samples, seed=1)
    assert not any("duplicate" in s.tags for s in mini)
    full, part = Counter(s.tags for s in samples), Counter(s.tags for s in mini)
    for tags, count in part.items():
        assert abs(count - 381 * full[tags] / 1002) < 1.1
    with pytest.raises(ValueError, match="2000 exceeds the 1002 different prompts"):
        stratified_subset(samples, num=2000)


def test_folder_and_csv(tmp_path):
    for name in ("b/1.mp4", "b/1.wav", "a.png", ".hidden/x.mp4", "note.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/1.txt").write_text("a prompt\n")
    samples = list(load_folder(tmp_path, system="mine"))
    assert [(s.id, s.prompt, s.video, s.audio, s.image) for s in samples] == [
        ("a", "", None, None, "a.png"),
        ("b/1", "a prompt", "b/1.mp4", "b/1.wav", None),
    ]
    (tmp_path / "b/1.webm").touch()
    with pytest.raises(ValueError, match="are both the video of b/1"):
        list(load_folder(tmp_path))
    table = tmp_path / "t.csv"
    table.write_text('\ufeffid,prompt,video,seed,tags\n1,"a, b",b/1.mp4,7,"x; y"\n2,,,,\n', encoding="utf-8")
    first, second = load_csv(table)
    assert (first.prompt, first.seed, first.tags) == ("a, b", 7, ("x", "y"))
    assert (second.prompt, second.video, second.seed) == ("", None, None)
    for text, message in (
        ("prompt\nx\n", ":1: expected a header with a column id"),
        ("id,vidoe\n1,x\n", "unknown column 'vidoe'"),
        ("id,prompt\n1\n", ":2: expected 2 cells, got 1"),
        ("id,seed\n1,x\n", ":2: seed: 'x' is not an integer"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=message):
            list(load_csv(table))


def test_the_command(tmp_path, bench, capsys):
    out = tmp_path / "m.jsonl"
    main([f"source={bench / 'bench.csv'}", "kind=movie_gen_video_bench", f"out={out}", "mini=true", "num=3"])
    assert "3 samples" in capsys.readouterr().out
    assert len(read_manifest(out)) == 3
    with pytest.raises(UserError, match="kind must be one of folder"):
        main(["source=x", "kind=zip", f"out={out}"])
    with pytest.raises(UserError, match="no such folder"):
        main([f"source={tmp_path / 'none'}", f"out={out}"])


def test_scores_are_cut_by_concept_and_motion_level(bench):
    samples = [replace(s, video=f"{s.id}.mp4") for s in load_movie_gen_video_bench(bench / "bench.csv")]
    for index, sample in enumerate(samples):
        write_video(bench / sample.video, waves(index), 16)
    write_manifest(bench / "m.jsonl", samples)
    quiet = {"sheet_rows": 0, "html_videos": 0}
    score(
        EvalConfig(manifest=str(bench / "m.jsonl"), out=str(bench / "out"), metrics=("low_level",), **quiet)
    )
    lines = (bench / "out" / "scores.jsonl").read_text().splitlines()
    found = {
        r["slice"]: (r["num_scored"], r["num_samples"])
        for r in map(json.loads, lines)
        if r["score"] == "flicker"
    }
    assert found["all"] == (5, 5)
    assert (found["concept: animal"], found["concept: scene"], found["motion: low"]) == ((2, 2),) * 3
    assert found["motion: medium"] == found["concept: physics"] == (1, 1)


def test_a_folder_as_people_have_it(tmp_path, caplog):
    from PIL import Image

    images = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (0, 90, 200)]
    for suffix in ("webp", "png", "gif"):
        images[0].save(
            tmp_path / f"moving_{suffix}.{suffix}", save_all=True, append_images=images[1:], duration=60
        )
        images[0].save(tmp_path / f"still_{suffix}.{suffix}")
    (tmp_path / "moving_gif.txt").write_bytes(b"\xef\xbb\xbfWith a byte order mark\r\n")
    for hidden in (".ipynb_checkpoints", "@eaDir", "__MACOSX"):
        (tmp_path / hidden).mkdir()
        images[0].save(tmp_path / hidden / "x.png")
    (tmp_path / "gone.mp4").symlink_to("removed.mp4")
    (tmp_path / "loop").symlink_to(".")
    samples = {sample.id: sample for sample in load_folder(tmp_path)}
    assert {key for key, sample in samples.items() if sample.video} == {
        "moving_webp",
        "moving_png",
        "moving_gif",
    }
    assert {key for key, sample in samples.items() if sample.image} == {
        "still_webp",
        "still_png",
        "still_gif",
    }
    assert samples["moving_gif"].prompt == "With a byte order mark"
    for part in ("hidden or thumbnail folder 3", "dangling link 1", "link to a folder listed already 1"):
        assert part in caplog.text
    (tmp_path / "still_png.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(ValueError, match=r"still_png\.txt: not UTF-8, at byte 2"):
        list(load_folder(tmp_path))
