"""Encoding of latents: tiles of the reconstruction, stale caches without models, several processes."""

import contextlib
from pathlib import Path
from unittest import mock

import pytest
import torch

from src import train
from src.core.errors import UserError
from src.experiments import encode_latents
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import encode_tiled
from src.runs import latents, loading
from src.runs.config import VideoRunConfig
from src.streaming.pixels import from_uint8
from src.streaming.reader import Dataset
from src.streaming.schema.dataset_index import read_info
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_data import tree, write_pixels
from tests.fixtures.toy_runs import VIDEO, write_toy_tae

CONFIG = """
experiment: encode_latents
name: latents
run_dir: latents
tae: tae
data: data
device: cpu
batch_size: 2
"""


def perturb(path: Path) -> None:
    """Add noise to all weights: temporal layers start as the identity."""
    payload = torch.load(path)
    generator = torch.Generator().manual_seed(1)
    for value in payload["state_dict"].values():
        value += 0.2 * torch.randn(value.shape, generator=generator)
    torch.save(payload, path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encode")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_toy_tae(root / "tae")
        perturb(root / "tae/checkpoints/step-00000001.ckpt")
        write_pixels(Path("data/train"), {(8, 16, 16): 3, (40, 16, 16): 2})
        Path("latents.yaml").write_text(CONFIG)
        train.main(["latents.yaml"])
    return root


@pytest.fixture(autouse=True)
def _inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def test_long_clips_are_encoded_in_the_tiles_of_the_reconstruction() -> None:
    pixels, encoded = Dataset("data/train"), Dataset("latents/train")
    tae, key = loading.load_tae(Path("tae"))
    video = from_uint8(pixels.pixels("40x16x16", 1).video_TCHW.transpose(0, 1)[None])
    found = encoded.latents("40x16x16", 1).moments_2CTHW.float()
    tiled, entire = encode_tiled(tae, video, TilingConfig()), tae.encode(video)
    expected = torch.cat([tiled.mean_BCTHW, tiled.std_BCTHW], 1)[0]
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert (entire.mean_BCTHW - tiled.mean_BCTHW).abs().max() > 0.01  # the second tile sees no first one
    assert encoded.info.provenance["tiling"] == {"frames": 32}
    assert encoded.info.provenance["tae_key"] == key


def test_tiles_that_cut_nothing_do_not_change_the_key() -> None:
    buckets = Dataset("data/train").buckets
    assert latents.cut_tiling(TilingConfig(frames=40, overlap=16), buckets) == {}
    assert latents.cut_tiling(TilingConfig(frames=32, size=16, size_overlap=8), buckets) == {"frames": 32}
    found = latents.cut_tiling(TilingConfig(frames=40, overlap=16, size=8, size_overlap=4), buckets)
    assert found == {"size": 8, "size_overlap": 4}


def test_stale_latents_are_noticed_without_loading_a_model() -> None:
    Path("toy.yaml").write_text(VIDEO.replace("gone", "latents").replace("[1x32x32, 16x32x32]", "[8x16x16]"))
    config = train.config.load(VideoRunConfig, "toy.yaml")
    with mock.patch.object(TAE, "__init__", side_effect=AssertionError("a model was built")):
        assert latents.expected_latent_keys(config) == {"latents/train": read_info("latents/train").key}


def test_tiles_that_do_not_suit_the_autoencoder_are_refused() -> None:
    with pytest.raises(UserError, match=r"tiling.frames must be a multiple of 4, got 30"):
        train.main(["latents.yaml", "run_dir=other", "tiling.frames=30"])


def encode_here(folder: Path, run_dir: str) -> list[int]:
    """Encode on this rank in parts of two clips; return the parts that it wrote."""
    written = []
    real = encode_latents.encode_part

    def encode_part(*args: object) -> None:
        written.append(args[4])
        real(*args)  # type: ignore[arg-type]

    parts = mock.patch.multiple(encode_latents, PART_SIZE=2, encode_part=encode_part)
    with contextlib.chdir(folder), parts:
        train.main(["latents.yaml", f"run_dir={run_dir}"])
    return written


def test_processes_take_parts_by_turns_and_write_the_same_data_set(root: Path, ranks: Ranks) -> None:
    first, second = ranks.run(encode_here, root, "two")
    assert (first, second) == ([0, 2], [1])
    with mock.patch.object(encode_latents, "PART_SIZE", 2):
        train.main(["latents.yaml", "run_dir=one"])
    assert tree(Path("two/train")) == tree(Path("one/train"))
    assert ranks.run(encode_here, root, "two") == [[], []]  # nothing is encoded twice
