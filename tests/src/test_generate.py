"""Generation from the command line: defaults from the run, files, manifests, prompts, and every refusal."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src import generate
from src.core import cli, config
from src.core.errors import UserError
from src.core.media_io.video_reader import open_video
from src.flow.config import SamplerConfig
from src.inference import generate_videos
from src.inference.config import ExportConfig, GenerateConfig, SamplerOverrides
from src.inference.export_weights import export
from src.inference.pipeline import VideoPipeline
from src.inference.prompts import read_requests
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.records import LatentRecord
from src.streaming.schema.writer import LatentWriter
from tests.fixtures.toy_runs import write_toy_runs, write_toy_tae

ARGS = ["run=video", "tae=tae", "precision=fp32", "device=cpu"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_toy_runs(tmp_path)
    return tmp_path


def read_manifest(out: str) -> list[dict]:
    return [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]


def write_latents(tae_key: str, fps: float = 10.0) -> None:
    """Write the toy run's training latents, as encoded by a TAE with this key."""
    with LatentWriter(Path("gone/train"), "k") as writer:
        with writer.part(0) as part:
            for bucket in (Bucket(1, 32, 32), Bucket(8, 32, 64)):
                moments = torch.rand(8, -(-bucket.num_frames // 4), 4, 4).half()
                part.add(
                    LatentRecord(
                        id=bucket.name, moments_2CTHW=moments, bucket=bucket, fps=fps,
                        captions=("a star",), content_sha256="c" * 64,
                    )
                )  # fmt: skip
        writer.finish(1, {"tae": "tae", "tae_key": tae_key})


def use_all_buckets() -> None:
    """Remove the bucket names from the run's config, so that its data set's hold."""
    path = Path("video/config.yaml")
    tree = config.read_text(path.read_text())
    tree.data.streams.videos.buckets = []
    path.write_text(config.to_yaml(config.build(VideoRunConfig, tree)))


def test_size_comes_from_the_largest_named_bucket(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main([*ARGS, "prompt=a star", "out=out"])
    (entry,) = read_manifest("out")
    assert entry["video"] == "videos/0000_seed0.mp4"
    with open_video(Path("out", entry["video"])) as video:
        frames = np.stack([frame.rgb_HWC for frame in video.frames()])
        assert video.fps == 16
    assert frames.shape == (16, 32, 32, 3)
    assert "warning" not in capsys.readouterr().out
    generate.main([*ARGS, "prompt=a star", "out=images", "num_frames=1"])
    assert read_manifest("images")[0]["image"] == "images/0000_seed0.png"


def test_size_and_frame_rate_come_from_the_data_set(root: Path) -> None:
    use_all_buckets()
    write_latents(loading.load_tae(Path("tae"))[1])
    pipeline = VideoPipeline(config.load(GenerateConfig, None, ["run=video", "device=cpu"]))
    assert vars(pipeline.format) == {"num_frames": 8, "height": 32, "width": 64, "fps": 10.0}
    assert pipeline.warnings == []


def test_size_without_data_is_what_the_position_tables_cover(root: Path) -> None:
    use_all_buckets()
    pipeline = VideoPipeline(config.load(GenerateConfig, None, ARGS))
    assert pipeline.format.bucket == Bucket(16, 64, 64)
    assert pipeline.format.fps == 16


def test_untrained_size_is_a_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main([*ARGS, "prompt=a star", "out=out", "height=48", "num_frames=4"])
    out = capsys.readouterr().out
    assert "warning: 4x48x32 is none of the buckets that the model was trained on: 1x32x32, 16x32x32" in out


def test_sampler_is_the_runs_own(root: Path) -> None:
    pipeline = VideoPipeline(config.load(GenerateConfig, None, [*ARGS, "sampler.num_steps=3"]))
    assert pipeline.sampler == SamplerConfig(num_steps=3, guidance_scale=2.0)
    names = config.to_dict(SamplerOverrides()).keys()
    assert names == config.to_dict(SamplerConfig()).keys()


def test_earlier_videos_are_not_replaced(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*ARGS, "out=out", "num_frames=1"]
    generate.main([*args, "prompt=a star"])
    before = Path("out/images/0000_seed0.png").read_bytes()
    assert cli.run(generate.main, [*args, "prompt=a ring"]) == 2
    error = "error: out/manifest.jsonl exists; give another out=... or overwrite=true\n"
    assert capsys.readouterr().err == error
    Path("out/manifest.jsonl").unlink()
    assert cli.run(generate.main, [*args, "prompt=a ring"]) == 2
    assert "out/images/0000_seed0.png exists" in capsys.readouterr().err
    assert Path("out/images/0000_seed0.png").read_bytes() == before
    generate.main([*args, "prompt=a ring", "overwrite=true"])
    assert read_manifest("out")[0]["prompt"] == "a ring"


def test_interrupt_keeps_finished_videos_in_the_manifest(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decode, calls = VideoPipeline.decode, []

    def interrupting(self: VideoPipeline, latents: torch.Tensor) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(self, latents)

    monkeypatch.setattr(VideoPipeline, "decode", interrupting)
    args = [*ARGS, "out=out", "num_frames=1", "batch_size=1", "seeds_per_prompt=5", "prompt=a star"]
    assert cli.run(generate.main, args, interrupted=generate.INTERRUPTED) == 130
    entries = read_manifest("out")
    assert [entry["id"] for entry in entries] == ["0000-0", "0000-1"]
    assert all(Path("out", entry["image"]).is_file() for entry in entries)
    assert capsys.readouterr().err == f"{generate.INTERRUPTED}\n"
    assert "resume" not in generate.INTERRUPTED


def test_prompt_entries_bring_seed_negative_prompt_and_own_keys(root: Path) -> None:
    entries = [
        {"prompt": "a star", "seed": 7, "negative_prompt": "blurry", "tags": {"shape": "star"}},
        {"prompt": "a\u2028ring", "id": "ring", "video": "old.mp4", "system": "other"},
    ]
    lines = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    Path("p.jsonl").write_text(f"\ufeff{lines}\r\n\n", encoding="utf-8")
    generate.main([*ARGS, "prompts=p.jsonl", "out=out", "num_frames=1"])
    star, ring = read_manifest("out")
    assert star == {
        "tags": {"shape": "star"}, "id": "0000", "prompt": "a star", "negative_prompt": "blurry", "seed": 7,
        "system": "video", "image": "images/0000_seed7.png",
    }  # fmt: skip
    assert ring == {
        "id": "ring", "prompt": "a\u2028ring", "seed": 1, "system": "video", "image": "images/ring_seed1.png",
    }  # fmt: skip
    generate.main([*ARGS, "prompts=p.jsonl", "out=again", "num_frames=1", "negative_prompt=a ring"])
    assert [entry["negative_prompt"] for entry in read_manifest("again")] == ["blurry", "a ring"]
    assert Path("again/images/0000_seed7.png").read_bytes() == Path("out/images/0000_seed7.png").read_bytes()
    assert Path("again/images/ring_seed1.png").read_bytes() != Path("out/images/ring_seed1.png").read_bytes()


def test_batches_have_one_negative_prompt() -> None:
    requests = read_requests(list("abcdef"), "", 0, 1)
    negatives = ["", "", "x", "x", "x", ""]
    requests = [replace(r, negative_prompt=n) for r, n in zip(requests, negatives, strict=True)]
    sizes = [[r.id for r in batch] for batch in generate_videos.batches(requests, 2)]
    assert sizes == [["0000", "0001"], ["0002", "0003"], ["0004"], ["0005"]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}', "id 'a' is repeated"),
        ('{"prompt": "x"}\n{"id": "0000", "prompt": "y"}', "id '0000' is repeated"),
        ('{"prompt": "x", "seed": "1"}', "p.jsonl:1: `seed` must be an integer, got '1'"),
        ('{"prompt": "x", "seed": true}', "p.jsonl:1: `seed` must be an integer, got True"),
        ('{"prompt": "x", "negative_prompt": 3}', "p.jsonl:1: `negative_prompt` must be text, got 3"),
        ('{"prompt": "x", "id": "../x"}', "p.jsonl:1: id '../x' cannot name a file"),
        ('\n{"text": "x"}', "p.jsonl:2: expected an object with a text `prompt`"),
        ("{", "p.jsonl:1: not JSON"),
        ("", "no prompts: give prompt="),
    ],
)
def test_bad_prompts_are_refused_before_any_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.jsonl").write_text(lines)
    with pytest.raises(UserError) as error:
        generate.main(["run=nowhere", "prompts=p.jsonl"])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_prompts_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*ARGS, "num_frames=1", "prompt=a star", "prompt=" + "red star " * 60, "prompt=" + "a star, " * 60]
    generate.main([*args, "out=out"])
    out = capsys.readouterr().out
    assert "2 of 3 prompts are longer than the text encoder's limit and are truncated: 0001, 0002" in out
    generate.main([*ARGS, "num_frames=1", "prompt=a star", "out=short"])
    assert "truncated" not in capsys.readouterr().out


def test_another_tae_than_that_of_the_latents_is_refused(root: Path) -> None:
    write_toy_tae(root / "other", seed=1)
    write_latents(loading.load_tae(Path("tae"))[1])
    VideoPipeline(config.load(GenerateConfig, None, ARGS))
    with pytest.raises(UserError, match=r"tae=other: key \w+, but the run's latents were encoded by a TAE"):
        VideoPipeline(config.load(GenerateConfig, None, [*ARGS, "tae=other"]))


def test_another_tae_is_refused_where_the_latents_are_elsewhere(root: Path) -> None:
    write_toy_tae(root / "other", seed=1)
    checkpoint = Path("video/checkpoints/step-00000001.ckpt")
    payload = torch.load(checkpoint) | {"tae_key": loading.load_tae(Path("tae"))[1]}
    torch.save(payload, checkpoint)
    export(ExportConfig(run="video"))
    for run in ("video", str(checkpoint), "video.safetensors"):
        args = [f"run={run}", "device=cpu"]
        VideoPipeline(config.load(GenerateConfig, None, [*args, "tae=tae"]))
        with pytest.raises(
            UserError, match=r"tae=other: key \w{12}, but the run's latents were encoded by a"
        ):
            VideoPipeline(config.load(GenerateConfig, None, [*args, "tae=other"]))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run=recipe"], "run=recipe: is a recipe, not one of its stages; give run=recipe/sft"),
        (["run=tae"], "tae: expected a video run, got tae"),
        (["image=still.png"], "is not an image-to-video model; train one with configs/video/tiny_i2v.yaml"),
        (["device=abacus"], "device=abacus: "),
        (["height=40"], "height=40: must be a multiple of 16 up to 64"),
        (["num_frames=20"], "num_frames=20: must be at most 16"),
        (["tiling.frames=6", "tiling.overlap=4"], "tiling.frames must be a multiple of 4, got 6"),
        (["negative_prompt=blurry", "sampler.guidance_scale=1"], "negative prompt 'blurry' needs guidance"),
        (["out=video/config.yaml/x"], "out=video/config.yaml/x: "),
    ],
)
def test_errors_are_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    Path("recipe").mkdir()
    Path("recipe/config.yaml").write_text("experiment: recipe\nstages: {joint: {}, sft: {}, scores: {}}\n")
    for stage in ("joint", "sft"):
        shutil.copytree("video", f"recipe/{stage}")
    assert cli.run(generate.main, [*ARGS, "prompt=a star", "out=out", *args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
