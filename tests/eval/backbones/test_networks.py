import json
import shutil
from hashlib import sha256
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from eval.backbones.checksummed_weights import Network, Networks, folder_sha256, load_program
from eval.backbones.clip_clap import CLAP, CLIP
from eval.backbones.config import ROLES, WeightsConfig
from eval.backbones.preprocessing import (
    center_crop,
    num_resampled,
    padded_window,
    resampled,
    window_starts,
)
from eval.core.audio import write_audio
from eval.core.frame_source import Frame, StreamInfo
from eval.core.frame_tasks import frames_of, run_task, take_all
from eval.core.manifest import Sample, read_manifest, write_manifest
from eval.loaders.media_files import load_csv
from eval.network_registry import NETWORK_METRICS, NetworkFactory
from tests.fixtures.network_checkpoints import save_clap, save_clip, save_dino
from tests.fixtures.videos import waves


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


def network(role, path):
    return Network(role, WeightsConfig(path=str(path)))


def test_every_network_metric_is_refused_in_one_line_without_its_path():
    for name, make in NETWORK_METRICS.items():
        with pytest.raises(ValueError, match=rf"^{name}: needs weights\.\w+\.path=.*nothing is downloaded$"):
            make(NetworkFactory(networks=Networks({}), cache=None), name)
    with pytest.raises(ValueError, match="'clipp' is not a role; expected one of clip, "):
        Networks({"clipp": WeightsConfig(path="x")})


def test_missing_paths_and_wrong_checksums(tmp_path, clip):
    for role, text in ROLES.items():
        kind = "folder" if text.startswith("folder") else "file"
        with pytest.raises(ValueError, match=f"no such {kind}: .*none; nothing is downloaded"):
            network(role, tmp_path / "none")
    with pytest.raises(ValueError, match="expected 00"):
        Network("clip", WeightsConfig(path=str(clip), sha256="00"))
    found = network("clip", clip).describe()["weights_sha256"]
    assert Network("clip", WeightsConfig(path=str(clip), sha256=found.upper())).sha256 == found
    with pytest.raises(ValueError, match="the folder is empty"):
        network("clip", tmp_path)
    (tmp_path / "a").write_text("1")
    one = folder_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert folder_sha256(tmp_path) != one
    with pytest.raises(ValueError, match="is not a valid TorchScript file"):
        load_program(tmp_path / "b")


def test_inception_is_downloaded_once_with_path_download(tmp_path, monkeypatch):
    urls = []

    def download(url, path):
        urls.append(url)
        if len(urls) == 1:
            raise URLError("no route")
        Path(path).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    message = (
        "^weights.inception: cannot download https://.*inception-2015-12-05.pt .*no route.*; pass a path$"
    )
    with pytest.raises(ValueError, match=message):
        network("inception", "download")
    found = [network("inception", "download") for _ in range(2)]
    assert len(urls) == 2
    assert found[0].path == found[1].path == tmp_path / "checkpoints/inception-2015-12-05.pt"
    assert found[0].sha256 == sha256(b"weights").hexdigest()
    with pytest.raises(ValueError, match=r"^weights.clip: only inception can be downloaded; pass a folder"):
        network("clip", "download")


def test_a_folder_of_something_else_is_reported(tmp_path, clip):
    save_dino(tmp_path)
    with pytest.raises(ValueError, match="has model type vit, expected clip"):
        CLIP(network("clip", tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"is not a transformers folder: config.json not found"):
        CLIP(network("clip", tmp_path))
    shutil.copy(clip / "config.json", tmp_path)
    with pytest.raises(ValueError, match=r"is missing tokenizer.json or vocab.json"):
        CLIP(network("clip", tmp_path)).tokenize("a", 12)
    with pytest.raises(ValueError, match=r"\d+ missing tensors, first logit_scale"):
        CLIP(network("clip", tmp_path)).embed_frames(waves(0))  # else it would be drawn at random
    (tmp_path / "model.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match="cannot load AutoModel"):
        CLIP(network("clip", tmp_path)).embed_frames(waves(0))


def test_clip_agrees_with_transformers_and_keeps_the_end_of_long_texts(clip):
    from transformers import CLIPModel

    ours, theirs = CLIP(network("clip", clip)), CLIPModel.from_pretrained(clip).eval()
    frames = waves(0, num=3, side=32)
    pixels = (frames / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    with torch.inference_mode():
        out = theirs(
            pixel_values=torch.tensor(pixels).permute(0, 3, 1, 2).float(),
            input_ids=torch.tensor([[1, 3, 5, 8, 18]]),
        )
    np.testing.assert_allclose(ours.embed_frames(frames), out.image_embeds, atol=1e-5)
    np.testing.assert_allclose(ours.embed_text("a red circle")[0], out.text_embeds[0], atol=1e-5)
    ids, cut = ours.tokenize("a red circle " * 9, 12)
    assert cut
    assert ids["input_ids"][0].tolist() == [1, *([3, 5, 8] * 4)[:10], 18]
    assert not ours.tokenize("a red circle", 12)[1]
    assert ours.describe()["preprocessing"]["crop_size"] == {"height": 32, "width": 32}
    many = np.concatenate([waves(seed, num=9) for seed in (1, 2)])
    np.testing.assert_allclose(ours.embed_frames(many)[17], ours.embed_frames(many[17:])[0], atol=1e-5)


def test_clap_averages_windows_of_long_audio_repeatably(tmp_path):
    clap = CLAP(network("clap", save_clap(tmp_path)))
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 3 * 8000)).astype(np.float32)
    samples[:, :12000] *= np.sin(np.arange(12000) / 300)

    def embed(samples_CS):
        write_audio(tmp_path / "a.wav", samples_CS, 8000)
        return clap.embed_audio(tmp_path / "a.wav")

    long = embed(samples)
    assert np.array_equal(long, embed(samples))
    thirds = [embed(samples[:, 8000 * i : 8000 * (i + 1)]) for i in range(3)]
    np.testing.assert_allclose(long, np.mean(thirds, 0) / np.linalg.norm(np.mean(thirds, 0)), atol=1e-6)
    assert np.abs(thirds[0] - thirds[2]).max() > 1e-3
    assert clap.embed_text("a loud hit " * 9)[1]
    assert not clap.embed_text("a loud hit")[1]
    assert np.linalg.norm(long) == pytest.approx(1)


def test_frames_by_time_and_by_size():
    video = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    info = StreamInfo(10, 10.0, 4, 6)
    for fps, expected in ((5, [0, 2, 4, 6, 8]), (20, [i // 2 for i in range(20)]), (0, list(range(10)))):
        assert num_resampled(info, fps) == len(expected)
        shown = run_task(resampled(fps, take_all()), frames_of(video, 10.0))
        assert shown[:, 0, 0, 0].tolist() == expected
    held = [Frame(video[n], time) for n, time in enumerate((0.0, 0.1, 1.0))]  # by time, not by number
    assert run_task(resampled(5, take_all()), held)[:5, 0, 0, 0].tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="still image"):
        num_resampled(StreamInfo(1, 0.0, 4, 6), 8)
    assert [window_starts(20, 16, n).tolist() for n in (1, 2, 3)] == [[2], [0, 4], [0, 2, 4]]
    wide = np.zeros((1, 8, 24, 3), np.uint8)
    wide[:, :, 8:16] = 200
    assert center_crop(wide, 8).min() == 200
    assert center_crop(wide[:, :, :12].swapaxes(1, 2), 4).shape == (1, 4, 4, 3)
    assert padded_window(np.ones(5), 3, 4).tolist() == [1, 1, 0, 0]


def test_new_keys_of_the_manifest(tmp_path):
    sample = Sample(id="a", prompt="make it red", source_caption="a cat", output_caption="a red cat")
    write_manifest(tmp_path / "m.jsonl", [sample])
    assert read_manifest(tmp_path / "m.jsonl") == [sample]
    (tmp_path / "m.csv").write_text(
        "id,prompt,source_caption,output_caption\na,make it red,a cat,a red cat\n"
    )
    assert list(load_csv(tmp_path / "m.csv")) == [sample]
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "prompt": "", "output_caption": 3}))
    with pytest.raises(ValueError, match="output_caption: expected a string or null, got 3"):
        read_manifest(tmp_path / "m.jsonl")
