"""Image-to-video: latents with first frames, a stage that takes them, and generation from an image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import prepare
from src import generate, train
from src.core.config import load
from src.core.errors import UserError
from src.runs import latents, loading
from src.runs.config import VideoRunConfig
from src.runs.modules import build_video_module
from src.streaming.reader import Dataset
from tests.src.experiments.test_chain import DATA, TAE_YAML, VIDEO

I2V = ["transformer.cond_channels=5", "flow.first_frame_prob=0.9", "latents=first"]
ARGS = ["run=i2v", "sampler.num_steps=2", "precision=fp32", "use=raw", "crf=0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-video model and an image-to-video one made from it."""
    root = tmp_path_factory.mktemp("i2v")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, text in (("tae", TAE_YAML), ("video", VIDEO), ("data", DATA)):
            Path(f"{name}.yaml").write_text(text)
        prepare.main(["data.yaml"])
        train.main(["tae.yaml", "run_dir=tae", "train.max_steps=1", "train.val_every=0"])
        Path("latents.yaml").write_text("{experiment: encode_latents, tae: tae, data: data}")
        train.main(["latents.yaml", "run_dir=latents"])
        train.main(["latents.yaml", "run_dir=first", "first_frames=true"])
        train.main(["video.yaml", "run_dir=t2v", "train.max_steps=1", "train.val_every=0"])
        train.main(["video.yaml", "run_dir=i2v", "start_from=t2v", *I2V, "train.lr=0.1"])
        for name, level in (("dark", 0), ("bright", 255)):
            Image.fromarray(np.full((50, 90, 3), level, np.uint8)).save(f"{name}.png")
    return root


def test_first_frames_are_encoded_as_images(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    record = Dataset("first/train").latents("16x32x32", 2)
    pixels = Dataset("data/train").pixels("16x32x32", 2).video_TCHW[:1]
    tae, _ = loading.load_tae(Path("tae"))
    expected = tae.encode(pixels.transpose(0, 1)[None].float() / 127.5 - 1).mean_BCTHW[0]
    assert record.first_C1HW is not None
    torch.testing.assert_close(record.first_C1HW.float(), expected, rtol=1e-2, atol=1e-2)
    assert Dataset("latents/train").latents("16x32x32", 2).first_C1HW is None
    keys = [latents.expected_latent_keys(load(VideoRunConfig, f"{r}/config.yaml")) for r in ("t2v", "i2v")]
    assert set(keys[0].values()) != set(keys[1].values())


def test_the_stage_starts_as_the_model_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.training.init_weights import InitFrom, load_weights

    monkeypatch.chdir(root)
    config = load(VideoRunConfig, "i2v/config.yaml")
    new, (old, _) = build_video_module(config), loading.load_video(Path("t2v"))
    report = load_weights(new, InitFrom(Path("t2v"), allow_new=("transformer.cond_embed.",)))
    assert report.new == ["transformer.cond_embed.weight"]
    x, t, text = torch.randn(1, 4, 2, 4, 4), torch.rand(1), torch.randn(1, 3, 32)
    cond = torch.randn(1, 5, 2, 4, 4)
    assert torch.equal(new.transformer(x, t, text, None, cond), old.transformer(x, t, text))
    trained, _ = loading.load_video(Path("i2v"))
    assert trained.transformer.cond_embed.weight.any()


def test_only_some_videos_get_their_first_frame(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    module, _ = loading.load_video(Path("i2v"))
    first = torch.randn(2, 4, 1, 4, 4)
    cond = module.frame_condition(first, (2, 4, 2, 4, 4), torch.tensor([True, False]))
    torch.testing.assert_close(cond[0, :4, 0], module.normalize(first)[0, :, 0])
    assert cond[0, 4, 0].min() == 1
    assert not cond[0, :, 1].any()
    assert not cond[1].any()


def test_an_image_starts_the_video(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    videos = []
    for number, args in enumerate(([], ["image=dark.png"], ["image=bright.png"])):
        generate.main([*ARGS, *args, f"out=out{number}", "prompt=a star"])
        videos.append(Path(f"out{number}/videos/0000_seed0.mp4").read_bytes())
    assert len(set(videos)) == 3


def test_odd_images_start_it_as_their_plain_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turned photo, 16 bits, transparency, an animation: the frames of the image as it is looked at."""
    monkeypatch.chdir(root)
    colors = np.zeros((48, 64, 3), np.uint8)
    colors[:, :32], colors[:24] = (230, 20, 20), (20, 20, 230)
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.rot90(colors, -1)).save("turned.png", exif=exif)
    Image.fromarray(ramp.astype(np.uint16) * 257).save("deep.png")
    Image.fromarray(np.zeros((48, 64, 4), np.uint8)).save("clear.png")
    still = Image.fromarray(colors)
    still.save("moving.webp", save_all=True, append_images=[Image.new("RGB", (64, 48))], lossless=True)
    plain = {"colors": colors, "ramp": np.repeat(ramp[..., None], 3, -1), "white": np.full_like(colors, 255)}
    for name, image in plain.items():
        Image.fromarray(image).save(f"{name}.png")
    pairs = (
        ("turned.png", "colors"), ("deep.png", "ramp"), ("clear.png", "white"), ("moving.webp", "colors"),
    )  # fmt: skip
    found = {}
    for name in [*(f"{name}.png" for name in plain), *(name for name, _ in pairs)]:
        generate.main([*ARGS, f"image={name}", f"out=odd/{name}", "prompt=a star"])
        found[name] = Path(f"odd/{name}/videos/0000_seed0.mp4").read_bytes()
    assert len({found[f"{name}.png"] for name in plain}) == 3
    for name, same in pairs:
        assert found[name] == found[f"{same}.png"], name


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["image=page.png"], "image=page.png: cannot be read as an image .not a media file: a web page"),
        (["image=video.yaml"], "image=video.yaml: cannot be read as an image"),
        (["image=gone.png"], "image=gone.png: cannot be read as an image"),
        (["image=dark.png", "num_frames=1"], "needs videos, but num_frames is 1"),
        (["image=dark.png", "run=t2v"], "run=t2v is not an image-to-video model"),
    ],
)
def test_mistakes(root: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str) -> None:
    monkeypatch.chdir(root)
    Path("page.png").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(UserError, match=message):
        generate.main([*ARGS, *args, "out=bad", "prompt=a star"])


def test_training_needs_first_frames_and_channels(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(UserError, match="stream videos: the latents have no first frames"):
        train.main(["video.yaml", "run_dir=x", *I2V[:2]])
    with pytest.raises(ValueError, match="cond_channels=5, got 0"):
        build_video_module(load(VideoRunConfig, "video.yaml", ["flow.first_frame_prob=0.5"]))
