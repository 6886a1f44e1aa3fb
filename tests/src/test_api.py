"""Generation in Python: the frames of `src.generate`, files, predictions, refusals; shipped weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src import api, generate
from src.core.errors import UserError
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.image_reader import read_image
from src.core.media_io.probe import probe
from src.core.media_io.video_reader import open_video
from src.inference.config import GenerateConfig, SamplerOverrides
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.pipeline import VideoPipeline
from src.inference.prompts import PromptRequest
from tests.fixtures.toy_runs import write_toy_runs

PROMPTS = ["a red star", "a blue ring"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("api")
    write_toy_runs(root)
    return root


@pytest.fixture(scope="module")
def model(root: Path) -> api.Model:
    return api.load(root / "video", tae=str(root / "tae"), device="cpu", precision="fp32")


def test_frames_are_those_of_the_command(model: api.Model, root: Path) -> None:
    overrides = SamplerOverrides(num_steps=3, guidance_scale=4.0)
    settings = GenerateConfig(
        run=str(root / "video"), tae=str(root / "tae"), precision="fp32", device="cpu", sampler=overrides,
        num_frames=8, width=48,
    )  # fmt: skip
    pipeline = VideoPipeline(settings)
    requests = [PromptRequest(str(i), text, 5 + i, {}) for i, text in enumerate(PROMPTS)]
    expected = pipeline.decode(pipeline.sample(requests))
    found = model.generate(PROMPTS, seed=5, num_frames=8, width=48, num_steps=3, guidance_scale=4.0)
    assert [(each.prompt, each.seed) for each in found] == [("a red star", 5), ("a blue ring", 6)]
    for video, frames in zip(found, expected, strict=True):
        assert video.frames_THWC.numpy().tolist() == frames.tolist()
        assert video.warnings == ("8x32x48 is none of the buckets that the model was trained on: "
                                  "1x32x32, 16x32x32",)  # fmt: skip
    # Settings of one call do not stay for the next.
    assert model.generate(PROMPTS[0]).frames_THWC.shape == (16, 32, 32, 3)
    assert model.generate(PROMPTS[0]).warnings == ()


def test_files(model: api.Model, tmp_path: Path) -> None:
    video = model.generate("a red star", fps=12)
    path = video.save(tmp_path / "deep" / "star.mp4", crf=0)
    with open_video(path) as reader:
        assert reader.fps == 12
        frames = torch.stack([torch.from_numpy(frame.rgb_HWC) for frame in reader.frames()])
    assert frames.shape == video.frames_THWC.shape
    colors = [each.float().mean((1, 2)) for each in (frames, video.frames_THWC)]
    assert (colors[0] - colors[1]).abs().max() < 3
    image = model.generate("a red star", num_frames=1, height=32, width=32)
    assert (read_image(image.save(tmp_path / "star.png")) == image.frames_THWC[0].numpy()).all()


def test_audio_is_written_with_the_video(model: api.Model, tmp_path: Path) -> None:
    video = model.generate("a red star")
    tone = torch.sin(torch.arange(16_000) / 20)[None] / 2
    silent = api.Video(video.frames_THWC, video.fps, video.prompt, video.seed)
    heard = api.Video(video.frames_THWC, video.fps, video.prompt, video.seed, tone, 16_000)
    assert [probe(each.save(tmp_path / f"{i}.mp4")).has_audio for i, each in enumerate((silent, heard))] == [
        False,
        True,
    ]


def test_generated_audio(model: api.Model, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audio model gets the video's file, seed and device; its output comes back with the video."""
    received: list[GenerateAudioConfig] = []

    def generate_audio(settings: GenerateAudioConfig, prompts: list[str]) -> None:
        received.append(settings)
        assert probe(settings.videos).duration_s == pytest.approx(1.0)
        (Path(settings.out) / "audio").mkdir(parents=True)
        write_audio(Path(settings.out) / "audio/video_seed4.wav", np.full((1, 8000), 0.25, np.float32), 8000)
        print("not shown")

    monkeypatch.setattr(api, "generate_audio", generate_audio)
    with pytest.raises(UserError, match="no audio model"):
        model.generate("a red star", with_audio=True)
    monkeypatch.setattr(model, "audio", "runs/audio")
    video = model.generate("a red star", seed=4)
    assert (received[0].run, received[0].seed, received[0].device) == ("runs/audio", 4, "cpu")
    assert (video.audio_CS.shape, video.sample_rate) == ((1, 8000), 8000)
    assert model.generate("a red star", num_frames=1).audio_CS is None
    assert model.generate("a red star", with_audio=False).audio_CS is None
    with pytest.raises(UserError, match="an image has no audio"):
        model.generate("a red star", num_frames=1, with_audio=True)
    assert len(received) == 1


def test_the_last_prediction_of_one_step_is_the_video(model: api.Model) -> None:
    """One Euler step from noise ends where its velocity points, up to sigma_min."""
    video = model.generate("a red star", num_steps=1, num_predictions=4, seed=3)
    assert [(each.step, each.t) for each in video.predictions] == [(0, 0.0)]
    difference = video.predictions[0].frames_THWC.float() - video.frames_THWC.float()
    assert difference.abs().max() <= 1
    many = model.generate("a red star", num_steps=4, num_predictions=2, seed=3)
    assert [each.step for each in many.predictions] == [0, 3]
    assert many.predictions[0].frames_THWC.shape == many.frames_THWC.shape


def test_encode_and_decode(model: api.Model) -> None:
    frames = torch.randint(0, 256, (9, 32, 48, 3), dtype=torch.uint8)
    latent = model.encode(frames)
    assert latent.shape == (1, *model.tae.latent_shape(9, 32, 48))
    assert model.decode(latent, 9).shape == frames.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 3}, "unexpected keyword argument 'steps'"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"height": 33}, "height=33: must be a multiple of"),
        ({"image": "x.png"}, "is not an image-to-video model"),
        ({"negative_prompt": "blur", "guidance_scale": 1.0}, "needs guidance"),
        ({"solver": "adaptive", "num_predictions": 2}, "a solver with fixed steps"),
    ],
)
def test_refusals(model: api.Model, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        model.generate("a red star", **settings)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(UserError, match="weights/none: neither a folder of weights"):
        api.load("weights/none")


def test_shipped_weights_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`load` finds them from any working directory; `src.generate` without run= uses them."""
    monkeypatch.chdir(tmp_path)
    model = api.load("weights/small", device="cpu", precision="fp32")
    assert model.buckets == [(16, 64, 64)]
    assert not model.reads_images
    assert generate.with_shipped_weights(["run=a", "seed=1"]) == ["run=a", "seed=1"]
    assert generate.with_shipped_weights(["--help"]) == ["--help"]
    generate.main(["prompt=Static shot. A red star moves right.", "sampler.num_steps=2", "precision=fp32"])
    assert "the weights that come with the repository" in capsys.readouterr().out
    assert (tmp_path / "runs/generated/videos/0000_seed0.mp4").is_file()
