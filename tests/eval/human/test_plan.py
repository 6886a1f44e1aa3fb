"""Planning by command: media alike and without names, determinism, one line for each mistake."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from eval.human.__main__ import main
from eval.human.degradations import AUDIO_DEGRADATIONS, FRAME_DEGRADATIONS
from eval.human.media.padding import pad_file, padded_size
from eval.human.study import Study, load_study
from src.core.errors import UserError
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.loudness import integrated_lufs
from src.core.media_io.probe import probe
from tests.fixtures.planned_study import write_system

SETTINGS = ("name=test", "axes=[visual_overall,av_synchronization]", "num_gold=1", "tasks_per_slot=12")


def plan(out: Path, a: Path, b: Path, *more: str) -> Study:
    main(["plan", f"out={out}", f"manifests={{ours: {a}, base: {b}}}", *SETTINGS, *more])
    return load_study(out)


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("systems")
    a = write_system(root / "secret_system_a", amplitude=0.4)
    b = write_system(root / "secret_system_b", size=(48, 48), fps=16, amplitude=0.05, speed=2, suffix=".mkv")
    return a, b


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, systems: tuple[Path, Path]) -> Study:
    return plan(tmp_path_factory.mktemp("study") / "study", *systems)


def test_both_sides_are_alike(study: Study) -> None:
    for item in study.items.values():
        files = [study.media[name] for name in item.stimuli]
        assert len({(f.num_bytes, f.seconds, f.fps, f.width, f.height, f.has_audio) for f in files}) == 1
        paths = [study.media_path(name) for name in item.stimuli]
        assert len({path.stat().st_size for path in paths}) == 1
        facts = [probe(path) for path in paths]
        assert len({(f.num_frames, f.fps, f.height, f.width) for f in facts}) == 1
        assert {(f.height, f.width, f.fps) for f in facts} == {(48, 48, 16.0)}


def test_codecs_that_browsers_do_not_play_are_replaced(study: Study, systems: tuple[Path, Path]) -> None:
    assert probe(systems[1].parent / "0.mkv").video_codec == "ffv1"
    facts = [probe(study.media_path(name)) for name in study.media]
    assert {(f.video_codec, f.audio_codec, f.pixel_format) for f in facts} == {("h264", "aac", "yuv420p")}


def test_audio_is_at_one_loudness(study: Study) -> None:
    for item in study.items.values():
        if item.kind == "pair":
            audio = [read_audio(study.media_path(name)) for name in item.stimuli]
            loudness = [integrated_lufs(each.samples_CS, each.rate) for each in audio]
            assert abs(loudness[0] - loudness[1]) < 0.5
            assert max(np.abs(each.samples_CS).max() for each in audio) < 1
    gains = {study.media[item.stimuli[0]].gain_db for item in study.items.values() if item.kind == "pair"}
    assert min(gains) < -5 or max(gains) > 5


def test_names_and_metadata_say_nothing(study: Study) -> None:
    for name, media in study.media.items():
        path = study.media_path(name)
        assert path.stem == name
        assert len(name) == 16
        content = path.read_bytes()
        for word in (b"secret", b"ours", b"base", b"Lavf", b"Lavc"):
            assert word not in content
        with av.open(str(path)) as container:
            assert not set(container.metadata) - {"major_brand", "minor_version", "compatible_brands"}
        assert media.system in ("ours", "base")


def test_the_same_settings_give_the_same_plan(
    study: Study, systems: tuple[Path, Path], tmp_path: Path
) -> None:
    again = plan(tmp_path / "again", *systems)
    assert again.plan.hash == study.plan.hash
    for file in ("items.jsonl", "slots.jsonl", "media.jsonl", "axes.json"):
        assert (again.folder / file).read_bytes() == (study.folder / file).read_bytes()


def test_an_edited_study_is_noticed(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study.folder, copy)
    items = (copy / "items.jsonl").read_text()
    (copy / "items.jsonl").write_text(items.replace('"p0"', '"p1"', 1))
    with pytest.raises(ValueError, match="edited after planning"):
        load_study(copy)
    (copy / "items.jsonl").write_text(items[:-20])
    with pytest.raises(ValueError, match=r"items.jsonl:\d+: not JSON \(half a line"):
        load_study(copy)


def test_planning_again_is_refused_once_there_are_votes(
    study: Study, systems: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study.folder, copy)
    main(["simulate", str(copy)])
    with pytest.raises(UserError, match=r"has \d+ votes, so its plan stays.*seed: 0 -> 7"):
        plan(copy, *systems, "seed=7")
    assert load_study(copy).plan.hash == study.plan.hash


def test_mistakes_are_one_line(systems: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = systems
    lines = [json.loads(line) for line in b.read_text().splitlines()]

    def changed(name: str, rows: list[dict]) -> Path:
        path = b.with_name(f"{name}.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    other_prompt = [{**lines[0], "prompt": "something else"}, *lines[1:]]
    (b.parent / "text.mp4").write_text("no video")
    cases = [
        (changed("missing", [{**lines[0], "video": "gone.mkv"}, *lines[1:]]), "no such file"),
        (changed("twice", [lines[0], lines[0]]), "duplicate id 'p0'"),
        (changed("prompts", other_prompt), "'p0' has different prompts"),
        (changed("fewer", lines[:2]), "1 ids are not in every system, first 'p2'.*common_only=true"),
        (
            changed("damaged", [{**lines[0], "video": "text.mp4"}, *lines[1:]]),
            "media: 'p0' of base cannot be read",
        ),
        (tmp_path / "nothing.jsonl", "no such file"),
    ]
    for manifest, message in cases:
        with pytest.raises(UserError, match=message):
            plan(tmp_path / "out", a, manifest)
        assert not (tmp_path / "out").exists()
    long = write_system(tmp_path / "long", seconds=2.0)
    with pytest.raises(
        UserError, match=r"unequal lengths: 1.00 s in ours, 2.00 s in base; set media.length=trim"
    ):
        plan(tmp_path / "out", a, long)
    for argument, message in (
        ("raters={realness: 3}", "'realness' is not an axis of this study"),
        ("pairs=['ours:theirs']", "is not a:b of two systems"),
        ("languages=[fr]", "expected some of en, de, zh"),
        ("axes=[edit_text]", "edit_text needs a source for every sample; 'p0' of ours has none"),
        ("num_prompts=9", "9 exceeds the 3 different prompts"),
    ):
        with pytest.raises(UserError, match=message):
            plan(tmp_path / "out", a, b, argument)
    with pytest.raises(UserError, match="at least two systems"):
        main(["plan", "name=x", "out=y", f"manifests={{a: {a}}}"])
    with pytest.raises(UserError, match="unknown command 'plam'; did you mean plan"):
        main(["plam"])


def test_lengths_are_trimmed_on_demand(systems: tuple[Path, Path], tmp_path: Path) -> None:
    long = write_system(tmp_path / "long", num=3, seconds=1.5)
    found = plan(
        tmp_path / "out", systems[0], long, "media.length=trim", "axes=[visual_overall]", "gold_fraction=0"
    )
    assert {media.seconds for media in found.media.values()} == {1.0}
    assert any("cut by 0.50 s" in note for note in found.plan.notes)


def test_own_gold_items(systems: tuple[Path, Path], tmp_path: Path) -> None:
    for side in ("better", "worse"):
        write_system(tmp_path / "gold" / side, num=1, speed=2 if side == "better" else 1)
    rows = [
        {"id": "g", "prompt": "", "system": side, "video": f"{side}/0.mp4", "tags": ["visual_overall"]}
        for side in ("better", "worse")
    ]
    manifest = tmp_path / "gold" / "gold.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ("axes=[visual_overall]", "gold_fraction=1", f"gold_manifest={manifest}")
    found = plan(tmp_path / "out", *systems, *more)
    own = [item for item in found.items.values() if item.systems == ("better", "worse")]
    assert [item.kind for item in own] == ["gold"]
    assert len({found.media[name].num_bytes for name in own[0].stimuli}) == 1
    manifest.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(UserError, match="expected the systems better and worse, got better"):
        plan(tmp_path / "out2", *systems, *more)


def test_padding_keeps_files_playable(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    size = padded_size([(tmp_path / "a.png").stat().st_size], ".png")
    pad_file(tmp_path / "a.png", size, seed=0)
    assert (tmp_path / "a.png").stat().st_size == size
    assert size % 4096 == 0
    assert (read_image(tmp_path / "a.png") == image).all()
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(ValueError, match="cannot be padded"):
        pad_file(tmp_path / "a.wav", 10, seed=0)


@pytest.mark.parametrize("name", FRAME_DEGRADATIONS)
def test_frame_degradations_keep_length_and_change_frames(name: str) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(11)]
    found = list(FRAME_DEGRADATIONS[name](iter(frames), 1))
    assert len(found) == 11
    assert all(each.shape == (24, 32, 3) and each.dtype == np.uint8 for each in found)
    assert (np.stack(found) != np.stack(frames)).any()
    assert (np.stack(found) == np.stack(list(FRAME_DEGRADATIONS[name](iter(frames), 1)))).all()


@pytest.mark.parametrize("name", AUDIO_DEGRADATIONS)
def test_audio_degradations_keep_shape_and_change_samples(name: str) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    found = AUDIO_DEGRADATIONS[name](samples, 8000, 1)
    assert found.shape == samples.shape
    assert found.dtype == np.float32
    assert np.abs(found - samples).max() > 0.01
    assert np.abs(found).max() <= 1
