"""The audio model by its commands: encode, train, resume, generate; and bad input."""

import json
import shutil
import subprocess
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image

from data import prepare
from eval.core.manifest import read_manifest
from src import export, generate, train
from src.core import cli, config
from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.core.media_io.audio import Audio
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.loudness import integrated_lufs
from src.core.media_io.probe import probe
from src.core.media_io.video import read_video
from src.core.media_io.video_writer import write_video
from src.inference.audio_pipeline import AudioPipeline
from src.inference.audio_requests import TimedFrame, Video
from src.inference.generate_audio_config import GenerateAudioConfig
from src.models.codec.model import Codec
from src.runs.config import CodecRunConfig
from src.runs.loading import load_audio, load_codec
from src.streaming.reader import Dataset
from src.streaming.schema.dataset_index import read_info
from src.studies.ablation.config import AblationConfig
from tests.fixtures.in_process import in_process
from tests.fixtures.odd_media import X264, encode, ffmpeg, number_of, numbered
from tests.fixtures.toy_runs import write_toy_runs

ROOT = Path(__file__).resolve().parents[3]
CODEC = ["model.kind=spectral", "model.latent_channels=8", "model.spectral.frame_channels=8",
         "model.spectral.hidden_channels=8", "losses.gan_weight=0"]  # fmt: skip
QUICK = ["train.progress=false", "train.log_every=1"]


def write_codec(folder: Path, *overrides: str, seed: int = 0) -> None:
    """Write a codec run with random weights as training would leave it."""
    settings = config.load(CodecRunConfig, None, ["name=codec", *CODEC, *overrides])
    torch.manual_seed(seed)
    state = {f"codec.{name}": value for name, value in Codec(settings.model).state_dict().items()}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(settings))
    torch.save({"state_dict": state}, folder / "checkpoints" / "step-00000001.ckpt")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a few videos with audio, their latents, and a trained run."""
    root = tmp_path_factory.mktemp("audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "configs").symlink_to(ROOT / "configs")
        few = ["world.videos.num_videos=8", "world.videos.num_val_videos=4", "num_workers=0"]
        prepare.main(["configs/debug/audio_data.yaml", *few])
        write_codec(root / "runs/codec/debug")
        train.main(["configs/debug/audio_latents.yaml"])
        train.main(["configs/debug/audio.yaml", *QUICK])
    return root


@pytest.fixture(autouse=True)
def _inside(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def state_of(run: str) -> dict[str, torch.Tensor]:
    path = Path(f"runs/{run}/checkpoints/step-00000010.ckpt")
    return torch.load(path, weights_only=True)["state_dict"]


def test_latents_keep_frames_captions_and_statistics() -> None:
    assert read_info("runs/debug/audio_latents/train").kind == "audio_latents"
    dataset, pixels = Dataset("runs/debug/audio_latents/val"), Dataset("datasets/debug_audio/val")
    record, clip = dataset.latents("16x32x32", 1), pixels.pixels("16x32x32", 1)
    assert record.moments_2CTHW.shape == (16, 25, 1, 1)
    assert record.frames_TCHW is not None
    assert torch.equal(record.frames_TCHW, clip.video_TCHW)
    assert (record.id, record.facts, record.latent_rate) == (clip.id, clip.facts, 25.0)
    assert record.captions[:-1] == clip.audio_captions
    flags = AudioCaption.parse(record.captions[-1])
    assert flags is not None
    assert (flags.description, flags.quality) == ("", 8.0)


def test_every_mode_and_band_of_times_is_validated() -> None:
    found = read_lines(Path("runs/debug/audio/metrics.jsonl"))[-1]
    names = ("v2a", "t2a", "tv2a", "infilling", "forward", "backward", "cut", "regenerate", "v2a_shuffled")
    assert {f"val/loss_{name}" for name in names} <= found.keys()
    assert sum(name.startswith("val/loss_t0.") for name in found) == 2


def test_a_run_that_is_interrupted_ends_with_the_same_weights() -> None:
    options = ["configs/debug/audio.yaml", "run_dir=runs/resumed", *QUICK]
    train.main([*options, "train.max_steps=5"])
    train.main([*options, "train.max_steps=10"])
    found, expected = state_of("resumed"), state_of("debug/audio")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    video = [name for name in expected if name.startswith("video.")]
    assert any(
        not torch.equal(expected[n], expected[f"ema.{n}"]) for n in video
    )  # the video network trains, and has an EMA


def test_videos_of_a_folder_get_audio_of_their_length_and_the_same_bytes_again() -> None:
    model = ["run=runs/debug/audio", "batch_size=2"]
    generate.main([*model, "data=datasets/debug_audio/val", "num_videos=3", "out=first"])
    generate.main([*model, "videos=first/videos", "out=second", "num_candidates=2"])
    generate.main([*model, "videos=first/videos", "out=again", "num_candidates=2"])
    entries = read_lines(Path("first/manifest.jsonl"))
    assert len(entries) == 3
    assert entries[0]["facts"]["impacts"] is not None
    read_manifest("first/manifest.jsonl")  # the evaluation takes it
    for entry in entries:
        info = soundfile.info(str(Path("first", entry["audio"])))
        assert (info.samplerate, info.channels, info.frames) == (48_000, 1, 48_000)
        assert probe(Path("first", entry["video"])).has_audio
    second = read_lines(Path("second/manifest.jsonl"))
    assert len(second) == 6
    assert len({entry["seed"] for entry in second}) == 6
    for entry in second:
        assert Path("second", entry["audio"]).read_bytes() == Path("again", entry["audio"]).read_bytes()
    one, other = (soundfile.read(Path("second", entry["audio"]))[0] for entry in second[:2])
    assert not np.array_equal(one, other)


def test_long_audio_in_windows_and_segments(capsys: pytest.CaptureFixture[str]) -> None:
    """Four seconds with a model of 0.8: length, borders, and what the methods make of the same noise."""
    model = ["run=runs/debug/audio", "prompt=rain", "seconds=4.1"]
    methods = {
        "windows": ["long.method=windows"],
        "segments": ["long.method=segments"],
        "beams": ["long.method=segments", "long.num_beams=2"],
        "one_shot": ["long.method=one_shot"],
    }
    audio, entries = {}, {}
    for name, extra in methods.items():
        generate.main([*model, *extra, f"out=long/{name}"])
        (entries[name],) = read_lines(Path(f"long/{name}/manifest.jsonl"))
        audio[name] = soundfile.read(Path(f"long/{name}", entries[name]["audio"]))[0]
        assert len(audio[name]) == round(4.1 * 48_000)
    # 103 latents at 25 Hz; windows of 20 every 10, segments of 20 of which 5 are known; the last end with it
    assert entries["windows"]["generation"]["borders_s"] == [
        0.4,
        0.8,
        1.2,
        1.6,
        2.0,
        2.4,
        2.8,
        3.2,
        3.32,
        3.6,
        4.0,
    ]
    assert entries["segments"]["generation"]["borders_s"][:4] == [0.6, 0.8, 1.2, 1.4]
    assert "borders_s" not in entries["one_shot"]["generation"]
    assert len({samples.tobytes() for samples in audio.values()}) == 4
    capsys.readouterr()


def test_a_video_of_any_rate_gets_audio_of_its_length_by_windows() -> None:
    frames = np.zeros((43, 48, 64, 3), np.uint8)
    frames[20:, 10:20, 10:20] = 255
    Path("long_videos").mkdir()
    write_video("long_videos/a.mp4", frames, 12.5, lossless=True)
    generate.main(["run=runs/debug/audio", "videos=long_videos", "out=long/video", "crf=0"])
    (entry,) = read_lines(Path("long/video/manifest.jsonl"))
    video = read_video(Path("long/video", entry["video"]))
    assert len(video.frames_THWC) == 43
    assert np.abs(video.frames_THWC.astype(int) - frames).max() < 40
    written = read_audio(Path("long/video", entry["video"]))
    assert abs(written.samples_CS.shape[1] - round(43 / 12.5 * 48_000)) <= 1
    assert (entry["generation"]["channels"], len(entry["generation"]["borders_s"]) > 3) == (1, True)


def test_extending_keeps_the_beginning() -> None:
    time = np.arange(24_000) / 48_000
    soundfile.write("start.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 48_000)
    model = ["run=runs/debug/audio", "prompt=rain", "extend=start.wav"]
    for method in ("windows", "segments"):
        generate.main([*model, "seconds=2", f"long.method={method}", f"out=extended/{method}"])
    generate.main([*model, "seconds=0.9", "out=extended/short"])
    found = [next(Path(f"extended/{each}/audio").iterdir()) for each in ("windows", "segments", "short")]
    one, two, three = (soundfile.read(path)[0] for path in found)
    codec, _ = load_codec(Path("runs/codec/debug"))
    start = torch.from_numpy(soundfile.read("start.wav", dtype="float32")[0])[None, None]
    expected = codec.decode(codec.encode(start).mode())[0, 0, :4_800].numpy()
    for each in (one, two, three):
        assert np.abs(each[:4_800] - expected).max() < 1e-3
    with pytest.raises(UserError, match=r"extend=start.wav: 0.52 s, as long as what is asked for"):
        generate.main([*model, "seconds=0.5", "out=extended/none"])


def write_original(path: str, num_channels: int) -> NDArray[np.float32]:
    """Write a video of one second whose audio is a tone; return its samples."""
    time = np.arange(48_000) / 48_000
    samples = np.stack([0.2 * np.sin(2 * np.pi * 300 * (k + 1) * time) for k in range(num_channels)])
    frames = np.zeros((16, 32, 32, 3), np.uint8)
    samples_CS = samples.astype(np.float32)
    write_video(path, frames, 16, audio=Audio(samples_CS, 48_000))
    return samples_CS


def test_the_original_is_replaced_kept_or_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("originals").mkdir()
    tone = write_original("originals/a.mp4", 1)
    write_video("originals/b.mp4", np.zeros((16, 32, 32, 3), np.uint8), 16)
    model = ["run=runs/debug/audio", "videos=originals"]
    found = {}
    for original in ("replace", "keep", "mix"):
        out = f"original_{original}"
        extra = ["audio_format=flac", "video_audio=flac"] if original == "mix" else []
        generate.main([*model, f"original={original}", f"out={out}", *extra])
        entries = read_lines(Path(out, "manifest.jsonl"))
        found[original] = [soundfile.read(Path(out, entry["audio"]))[0] for entry in entries]
        if original == "keep":
            assert [entry["system"] for entry in entries] == ["original", "audio"]
            assert "1 of 2 items: audio of the original was kept" in capsys.readouterr().out
        if original == "mix":
            info = probe(Path(out, entries[0]["video"]))
            assert (info.audio_codec, info.audio_rate) == ("flac", 48_000)
            both = read_audio(Path(out, entries[0]["video"])).samples_CS[0]
            assert np.abs(both - found["mix"][0]).max() < 1e-6
    inner = slice(4_800, -4_800)  # AAC is worse at its ends
    assert np.abs(found["keep"][0] - tone[0])[inner].max() < 0.02
    assert np.abs(found["keep"][1] - found["replace"][1]).max() < 1e-3  # rounding of batches of one and two
    mixed = found["replace"][0] + found["keep"][0]
    assert np.abs(found["mix"][0] - mixed).max() < 1e-4


def test_channels_and_loudness_are_stated_and_asserted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("stereo").mkdir()
    write_original("stereo/a.mp4", 2)
    model = ["run=runs/debug/audio", "videos=stereo/a.mp4"]
    with pytest.raises(UserError, match=r"its audio has 2 channels, the generated 1; give channels=1 or"):
        generate.main([*model, "original=mix", "out=channels/refused"])
    generate.main([*model, "original=mix", "channels=2", "out=channels/mixed", "loudness_lufs=-40"])
    (entry,) = read_lines(Path("channels/mixed/manifest.jsonl"))
    stated = entry["generation"]
    assert (stated["channels"], stated["loudness_lufs"]) == (2, -40.0)
    audio = read_audio(Path("channels/mixed", entry["audio"]))
    assert integrated_lufs(audio.samples_CS, 48_000) == pytest.approx(-40, abs=0.15)
    assert len(read_audio(Path("channels/mixed", entry["video"])).samples_CS) == 2
    generate.main([*model, "out=channels/loud", "loudness_lufs=0"])
    (entry,) = read_lines(Path("channels/loud/manifest.jsonl"))
    assert entry["generation"]["peak_db"] == pytest.approx(-1.0, abs=0.06)
    assert "1 of 1 items: quieter than loudness_lufs" in capsys.readouterr().out


def test_a_prompt_gives_a_video_with_audio_in_one_call() -> None:
    write_toy_runs(Path())
    model = ["run=video", "tae=tae", "precision=fp32", "device=cpu", "prompt=a star"]
    with pytest.raises(UserError, match=r"audio.run=runs/debug/audio: images have no audio"):
        generate.main([*model, "audio.run=runs/debug/audio", "num_frames=1", "out=both/image"])
    generate.main([*model, "audio.run=runs/debug/audio", "audio.text=prompt", "out=both/video"])
    (entry,) = read_lines(Path("both/video/with_audio/manifest.jsonl"))
    assert (entry["id"], entry["prompt"], entry["seed"]) == ("0000", "a star", 0)
    assert AudioCaption.parse(entry["rewritten"]).description == "a star"  # type: ignore[union-attr]
    silent = read_video(Path("both/video/videos/0000_seed0.mp4")).frames_THWC
    video = Path("both/video/with_audio", entry["video"])
    assert np.abs(read_video(video).frames_THWC.astype(int) - silent).mean() < 8
    assert read_audio(video).samples_CS.shape == (1, 48_000)


def test_bad_files_of_a_folder_are_left_out_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("bad_videos")
    folder.mkdir()
    write_video(folder / "good.mp4", np.zeros((16, 32, 32, 3), np.uint8), 16)
    (folder / "empty.mp4").write_bytes(b"")
    soundfile.write("tone.wav", np.zeros(4_800), 48_000)
    convert("-i", "tone.wav", str(folder / "audio_only.mp4"))
    generate.main(["run=runs/debug/audio", f"videos={folder}", "out=bad/folder"])
    assert [entry["id"] for entry in read_lines(Path("bad/folder/manifest.jsonl"))] == ["good"]
    out = capsys.readouterr().out
    assert "left out: bad_videos/audio_only.mp4: audio only" in out
    assert "left out: bad_videos/empty.mp4: " in out
    for name, message in (("audio_only", "audio only"), ("empty", "bad_videos/empty.mp4: ")):
        args = ["run=runs/debug/audio", f"videos={folder / name}.mp4", f"out=bad/{name}"]
        assert cli.run(generate.main, args) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def write_odd_videos(folder: Path) -> None:
    """Write videos of about a second as phones, editors and the web leave them, and files that are none."""
    pattern = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=16:d=1")
    held = ("-vf", "setpts='if(lt(N,8),N/16,N/16+0.5)/TB'", "-fps_mode", "vfr")
    ffmpeg(*pattern, *held, *X264, folder / "held.mp4")
    ffmpeg(*pattern, "-vf", "setsar=4/3", *X264, folder / "wide.mp4")
    ffmpeg("-display_rotation", 90, "-i", folder / "wide.mp4", "-c", "copy", folder / "turned.mp4")
    gray = numbered(16)
    encode(folder / "frames.avi", gray, 16, "mpeg4", options={"bf": "2", "g": "10"})
    clear = [np.zeros((48, 64, 4), np.uint8)] * 16
    encode(folder / "clear.webm", clear, 16, "libvpx-vp9", "yuva420p", {"lossless": "1", "cpu-used": "8"})
    images = [Image.fromarray(frame) for frame in gray]
    images[0].save(folder / "moving.webp", save_all=True, append_images=images[1:], duration=62)
    half = encode(folder / "half.ts", gray[:8], 16, "mpeg2video").read_bytes()
    (folder / "half.ts").write_bytes(2 * half)
    milliseconds = [62 * i + (3_600_000 if i >= 8 else 0) for i in range(16)]
    encode(folder / "jump.mkv", gray, 16, pts=milliseconds, time_base=Fraction(1, 1000))
    noise = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(24)]
    damaged = bytearray(encode(folder / "damaged.mkv", noise, options={"g": "8"}).read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 3000] = bytes(3000)
    (folder / "damaged.mkv").write_bytes(damaged)
    complete = encode(folder / "cut.mp4", gray, 16).read_bytes()
    (folder / "cut.mp4").write_bytes(complete[: len(complete) * 7 // 10])
    (folder / "page.mp4").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n../good.mp4\n#EXT-X-ENDLIST\n")
    (folder / "._held.mp4").write_bytes(b"resource fork")
    (folder / "held.txt").write_text("a caption")
    shutil.copy(folder / "wide.mp4", folder / "caf\udce9.mp4")  # bytes that are no UTF-8


def test_odd_videos_are_seen_as_players_show_them_or_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("odd_videos")
    folder.mkdir()
    write_odd_videos(folder)
    generate.main(["run=runs/debug/audio", f"videos={folder}", "out=odd", "crf=0"])
    entries = {entry["id"]: entry for entry in read_lines(Path("odd/manifest.jsonl"))}
    assert sorted(entries) == ["caf�", "clear", "frames", "half", "held", "moving", "turned", "wide"]
    found = {name: read_video(Path("odd", entry["video"])) for name, entry in entries.items()}
    sizes = {name: video.frames_THWC.shape[:3] for name, video in found.items()}
    assert sizes["held"] == (24, 48, 64)  # its eighth frame stays half a second
    assert (np.ptp(found["held"].frames_THWC[8:16].astype(int), 0) < 12).all()
    assert sizes["wide"] == (16, 48, 86)  # pixels of 4:3
    assert sizes["turned"] == (16, 64, 36)
    for name in ("frames", "moving"):
        assert [number_of(frame) for frame in found[name].frames_THWC] == list(range(16)), name
    assert [number_of(frame) for frame in found["half"].frames_THWC] == [*range(8), *range(8)]
    assert found["clear"].frames_THWC.min() > 250  # alpha lies on white
    for name, entry in entries.items():
        seconds = soundfile.info(str(Path("odd", entry["audio"]))).duration
        assert seconds == pytest.approx(sizes[name][0] / found[name].fps, abs=0.04), name
    out = capsys.readouterr().out
    for line in (
        "left out: odd_videos/jump.mkv: clock jump: from 0.434 s to 3600.496 s",
        "left out: odd_videos/damaged.mkv: damaged: ",
        "left out: odd_videos/cut.mp4: unreadable: ",
        "left out: odd_videos/page.mp4: not a media file: a web page",
        "1 of 8 items: clock starts again in the video (from ",
        "odd_videos: not videos: 1 .m3u8, 1 .mp4, 1 .txt",
    ):
        assert line in out
    assert out.count("left out: ") == 4


def test_an_original_with_damaged_audio_costs_only_its_item(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("damaged_audio")
    folder.mkdir()
    write_original("damaged_audio/good.mp4", 1)
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:r=16:d=1", "-f", "lavfi", "-i", "anoisesrc=d=1:r=48000",
           *X264, "-c:a", "flac", folder / "noise.mkv")  # fmt: skip
    data = bytearray((folder / "noise.mkv").read_bytes())
    middle = data.index(b"\xff\xf8", len(data) // 2)  # a block of FLAC
    data[middle + 100 : middle + 1100] = bytes(1000)
    (folder / "noise.mkv").write_bytes(data)
    generate.main(["run=runs/debug/audio", f"videos={folder}", "out=damaged_audio/out", "original=keep"])
    assert [entry["id"] for entry in read_lines(folder / "out/manifest.jsonl")] == ["good"]
    assert "left out: damaged_audio/noise.mkv: its audio: damaged: audio, after " in capsys.readouterr().out


def test_rows_of_a_manifest_name_videos_inside_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows").mkdir()
    write_video("rows/a.mp4", np.zeros((16, 32, 32, 3), np.uint8), 16)
    manifest = Path("rows/list.jsonl")
    text = "a sign\u2028reads open"
    rows = [{"video": "a.mp4", "prompt": text}, {"video": "gone.mp4"}]
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    model = ["run=runs/debug/audio", f"videos={manifest}"]
    assert cli.run(generate.main, [*model, "out=rows/out"]) == 0
    (entry,) = (json.loads(line) for line in Path("rows/out/manifest.jsonl").read_text().split("\n") if line)
    assert (entry["id"], entry["prompt"]) == ("a", text)
    assert "left out: missing file: no such file: 'gone.mp4'" in capsys.readouterr().out
    for row, message in (
        ({"video": "../a.mp4"}, "list.jsonl:1: video: outside the folder: '../a.mp4' leaves the folder"),
        ({"video": "/etc/a.mp4"}, "list.jsonl:1: video: outside the folder: must be relative"),
        ({"video": "a.mp4", "seed": "x"}, "list.jsonl:1: `seed` must be an integer, got 'x'"),
        ({"video": "a.mp4", "id": "../b"}, "list.jsonl:1: id '../b' cannot name a file"),
    ):
        manifest.write_text(json.dumps(row))
        assert cli.run(generate.main, [*model, "out=rows/bad"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("rate", "num_channels", "message"),
    [(8_000, 1, ""), (192_000, 1, ""), (44_100, 8, "8 channels, the codec has 1"), (48_000, 0, "not finite")],
)
def test_known_audio_of_any_rate_is_taken_and_channels_are_not_mixed(
    rate: int, num_channels: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`num_channels` 0 stands for samples that are not numbers."""
    samples = np.full((rate // 5, max(num_channels, 1)), 0.1 if num_channels else np.nan)
    path = f"known_{rate}_{num_channels}.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    args = ["run=runs/debug/audio", "prompt=rain", "seconds=0.6", f"extend={path}", f"out=known/{path}"]
    assert cli.run(generate.main, args) == (2 if message else 0)
    assert message in capsys.readouterr().err


def test_originals_of_other_lengths_rates_and_channels_are_mixed_in_sync() -> None:
    """The original's tone is heard where the file says: shorter, longer, later; six channels at 22.05 kHz."""
    model = ["run=runs/debug/audio", "original=mix", "channels=1", "original_gain_db=6"]
    convert("-f", "lavfi", "-i", "color=s=32x32:r=16:d=1", "silent.mp4")
    heard = {}
    for name, seconds, start, options in (
        ("short", 0.4, 0.0, []),
        ("long", 3.0, 0.0, []),
        ("late", 0.4, 0.5, []),
        ("surround", 1.0, 0.0, ["-ac", "6", "-ar", "22050"]),
    ):
        tone = f"sine=f=1000:r=48000:d={seconds}"
        convert("-i", "silent.mp4", "-itsoffset", str(start), "-f", "lavfi", "-i", tone,
                "-c:v", "copy", *options, f"original_{name}.mp4")  # fmt: skip
        generate.main([*model, f"videos=original_{name}.mp4", f"out=mixed/{name}"])
        (entry,) = read_lines(Path(f"mixed/{name}/manifest.jsonl"))
        samples = soundfile.read(Path(f"mixed/{name}", entry["audio"]))[0]
        assert len(samples) == 48_000
        spectra = np.abs(np.fft.rfft(samples.reshape(10, 4_800) * np.hanning(4_800)))
        heard[name] = spectra[:, 100] > 20 * np.median(spectra, 1)  # 1000 Hz
    assert heard["short"][:3].all()
    assert not heard["short"][5:].any()
    assert heard["long"].all()
    assert not heard["late"][:4].any()
    assert heard["late"][5:8].all()
    assert heard["surround"].all()


def test_peaks_above_full_scale_are_lowered_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    convert("-f", "lavfi", "-i", "color=s=32x32:r=16:d=1", "-f", "lavfi", "-i", "sine=f=1000:r=48000:d=1",
            "peaks.mp4")  # fmt: skip
    model = ["run=runs/debug/audio", "original=mix", "videos=peaks.mp4"]
    generate.main([*model, "original_gain_db=40", "out=peaks"])
    (entry,) = read_lines(Path("peaks/manifest.jsonl"))
    assert entry["generation"]["peak_db"] == pytest.approx(-1.0, abs=0.06)
    samples = soundfile.read(Path("peaks", entry["audio"]))[0]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum[3_000] < 1e-3 * spectrum[1_000]  # a clipped sine has a third harmonic
    assert "1 of 1 items: level lowered to keep peaks below full scale" in capsys.readouterr().out


def test_long_prompts_are_truncated_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a wooden ball hits the wall " * 360  # 10,080 characters
    generate.main(["run=runs/debug/audio", f"prompt={long}", "prompt=rain", "seconds=0.4", "out=long_prompt"])
    assert "warning: 1 of 2 prompts are longer than the text encoder's limit" in capsys.readouterr().out
    assert len(read_lines(Path("long_prompt/manifest.jsonl"))) == 2


def test_frames_of_a_long_video_are_not_held() -> None:
    """Of 1,000 large frames at most a few are alive at a time, while reading and while writing."""
    alive = most = 0

    def count(_: object) -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[TimedFrame]:
        nonlocal alive, most
        for i in range(1_000):
            frame = np.zeros((64, 64, 3), np.uint8).view(Tracked)
            alive += 1
            most = max(most, alive)
            weakref.finalize(frame, count, None)
            yield frame, i / 16
            del frame

    settings = config.load(GenerateAudioConfig, None, ["run=runs/debug/audio"])
    seen = AudioPipeline(settings).watch(Video("long", 16.0, frames, lambda fps: frames()))
    assert seen.seconds == 62.5
    assert most <= 3


class Tracked(np.ndarray):
    """An array that weak references can follow."""


def convert(*args: str) -> None:
    """Run imageio-ffmpeg's ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *args]
    subprocess.run(command, check=True)


def test_text_alone_gives_audio_and_guidance_apart_differs() -> None:
    model = ["run=runs/debug/audio", "prompt=a wooden ball hits the floor", "seconds=0.5"]
    generate.main([*model, "out=text"])
    (entry,) = read_lines(Path("text/manifest.jsonl"))
    assert soundfile.info(str(Path("text", entry["audio"]))).frames == 24_000
    assert entry["prompt"].startswith("This audio has quality: 8.0.")
    assert "video" not in entry
    with pytest.raises(UserError, match=r"text/manifest.jsonl exists; give another out"):
        generate.main([*model, "out=text"])


FEW = """
latents=runs/debug/audio_latents transformer.depth=1 transformer.latent_channels=8 transformer.cond_channels=9
transformer.context_dim=16 text.hidden_size=16 text.ffn_dim=16 modes.regenerate.start_s=0.4
modes.regenerate.stop_s=0.6 data.streams.videos.lengths=[20] data.streams.videos.batch_size=2
data.val.videos.batch_size=4 flow.sampler.num_steps=1 train.max_steps=4 train.val_every=4 train.warmup_steps=1
train.precision=fp32 train.progress=false
"""


@pytest.mark.slow
def test_variants_of_the_ablation_train_and_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = in_process(monkeypatch)
    few = [f"set.{word}" for word in FEW.split()]
    few += ["measure.videos=datasets/debug_audio/val", "measure.generate_overrides.id_prefixes=[]"]
    train.main(["configs/ablations/audio.yaml", *few, "measure.generate_overrides.num_videos=1"])
    rows = json.loads(Path("runs/ablations/audio/results.json").read_text())
    last = {row["variant"]: row for row in rows if row["last"]}
    assert last.keys() == config.load(AblationConfig, "configs/ablations/audio.yaml").variants.keys()
    losses = {name: row["metrics"]["val/loss"] for name, row in last.items()}
    assert losses.pop("longer") == losses["base"]  # as many steps here
    assert len(set(losses.values())) == len(losses)
    for row in last.values():
        assert {"onset_precision", "onset_recall", "onset_f1", "hit_f1"} & row["measured"].keys()
    reads = {
        next(a for a in argv if a.startswith("run=")).split("/")[3]: "captions=true" in argv
        for argv in seen
        if argv[0] == "src.generate"
    }
    assert reads == {name: name != "no_text" for name in last}


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"videos=nowhere: no such file or folder"):
        generate.main(["run=runs/debug/audio", "videos=nowhere"])
    with pytest.raises(UserError, match=r"latents=runs/debug/nothing|no data set here"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/a", "latents=runs/debug/nothing"])
    with pytest.raises(UserError, match=r"25 latent frames per second, the model latent_rate=50; encode"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/b", "latent_rate=50"])
    with pytest.raises(UserError, match=r"frames of 32x32, the model video.height=64 video.width=64"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/c", "video.height=64", "video.width=64"])
    with pytest.raises(UserError, match=r"give either tae=RUN .* or codec=RUN"):
        train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/d", "tae=x"])
    write_codec(Path("runs/stereo"), "model.num_channels=2")
    with pytest.raises(UserError, match=r"audio with 1 channels, the codec has 2"):
        train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/e", "codec=runs/stereo"])


def test_a_model_of_text_alone_refuses_videos_and_learns_to_see_them_later() -> None:
    short = ["train.max_steps=1", "train.val_every=0", *QUICK]
    alone = ["video.source=none", "modes=null", "modes.t2a={video: none}", *short]
    train.main(["configs/debug/audio.yaml", "run_dir=runs/text_only", *alone])
    model, _ = load_audio(Path("runs/text_only"))
    assert model.video is None
    with pytest.raises(UserError, match=r"a model of text alone .* cannot follow videos"):
        generate.main(["run=runs/text_only", "data=datasets/debug_audio/val", "out=refused"])
    start = ["configs/debug/audio.yaml", "start_from=runs/text_only"]
    train.main([*start, "run_dir=runs/sees", *short])


def test_another_codec_is_refused() -> None:
    write_codec(Path("runs/other"), seed=1)
    words = r"codec=runs/other: key \w{12}, but the run's latents were encoded by a codec"
    with pytest.raises(UserError, match=words):
        generate.main(["run=runs/debug/audio", "codec=runs/other", "prompt=rain", "out=other"])
    train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/other_latents", "codec=runs/other"])
    start = ["start_from=runs/debug/audio", "latents=runs/other_latents", "run_dir=runs/f"]
    words = r"was trained on latents of a codec with key .* or allow_other_codec=true"
    with pytest.raises(UserError, match=words):
        train.main(["configs/debug/audio.yaml", *start])


def test_an_exported_model_generates_the_same() -> None:
    export.main(["run=runs/debug/audio", "out=exported/audio.safetensors"])
    export.main(["run=runs/codec/debug", "out=exported/codec.safetensors"])
    for run, out in (("runs/debug/audio", "from_run"), ("exported/audio.safetensors", "from_file")):
        generate.main([f"run={run}", "prompt=rain", f"out={out}", "seconds=0.4"])
    one, other = (next(Path(out, "audio").iterdir()).read_bytes() for out in ("from_run", "from_file"))
    assert one == other


def test_the_contrastive_model_trains_on_the_same_latents() -> None:
    sizes = ["model.latent_channels=8", "train.max_steps=2", "train.val_every=2", "train.checkpoint_every=2"]
    streams = ["data.streams.videos.batch_size=4", "data.val.videos.batch_size=4", "train.precision=fp32"]
    command = ["configs/contrastive/tiny.yaml", "latents=runs/debug/audio_latents", *sizes, *streams, *QUICK]
    train.main([*command, "run_dir=runs/contrastive"])
    (row,) = [each for each in read_lines(Path("runs/contrastive/metrics.jsonl")) if "val/loss" in each]
    assert row["val/recall_chance"] == 0.25
    assert {"val/recall_audio_to_video", "val/recall_video_to_audio", "val/recall_text_to_audio"} < row.keys()
    other = ["model.video.height=16", "model.video.width=16", "run_dir=runs/contrastive_other"]
    with pytest.raises(UserError, match=r"frames of \(32, 32\), the model model.video.height=16"):
        train.main([*command, *other])
