"""Stages of the video model: what one refuses of the stage before."""

from pathlib import Path

import pytest
import torch

from src import export, train
from src.core import config
from src.core.errors import UserError
from src.parallel import checkpoint_io, safetensors_io
from src.runs import latents, loading
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket
from src.training.checkpoint_paths import find_checkpoint
from tests.fixtures.toy_data import write_latents
from tests.fixtures.toy_runs import write_toy_tae

KEYS = {"one": "1" * 64, "other": "2" * 64}
STAGE = """
experiment: video
name: toy
latents: one
transformer: {hidden_size: 16, depth: 1, num_heads: 1, ffn_dim: 16, time_dim: 16, patch: [1, 1, 1],
  max_positions: [1, 2, 2], latent_channels: 2, context_dim: 16}
text: {hidden_size: 16, depth: 1, num_heads: 1, ffn_dim: 16}
data: {streams: {images: {path: "${latents}/train", batch_size: 2}}}
train: {max_steps: 1, val_every: 0, progress: false}
"""


def tae_key_of(run: str) -> str:
    return str(checkpoint_io.read_entry(find_checkpoint(Path(run)), "tae_key", ""))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents of two TAEs, and a stage trained on those of the first, exported as well."""
    root = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Path("stage.yaml").write_text(STAGE)
        for number, (name, key) in enumerate(KEYS.items(), 1):
            write_latents(Path(name, "train"), {Bucket(1, 16, 16): 4}, tae_key=key, scale=number)
        train.main(["stage.yaml", "run_dir=first"])
        export.main(["run=first"])
    return root


@pytest.fixture(autouse=True)
def _inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def test_checkpoints_and_exports_keep_the_key_of_the_tae() -> None:
    assert tae_key_of("first") == KEYS["one"]
    assert safetensors_io.read_header(Path("first.safetensors")).tae_key == KEYS["one"]
    assert loading.stored_key(Path("first.safetensors")) == loading.stored_key(Path("first"))


@pytest.mark.parametrize("source", ["first", "first.safetensors"])
def test_latents_of_another_tae_are_refused(source: str) -> None:
    words = (
        f"start_from={source}: was trained on latents of a TAE with key {'1' * 12}, but latents=other were "
        f"encoded by one with key {'2' * 12}; give latents of that TAE or allow_other_tae=true"
    )
    with pytest.raises(UserError) as error:
        train.main(["stage.yaml", "run_dir=refused", f"start_from={source}", "latents=other"])
    assert str(error.value) == words


def test_another_tae_is_allowed_by_the_setting() -> None:
    args = ["start_from=first", "latents=other", "allow_other_tae=true", "train.lr=0"]
    train.main(["stage.yaml", "run_dir=allowed", *args])
    assert tae_key_of("allowed") == KEYS["other"]
    ours, theirs = (loading.read_weights(Path(run)) for run in ("allowed", "first"))
    assert torch.equal(ours["latent_std_C"], latents.read_statistics("other")[1])
    assert not torch.equal(ours["latent_std_C"], theirs["latent_std_C"])
    assert torch.equal(ours["transformer.patch_embed.weight"], theirs["transformer.patch_embed.weight"])


def test_a_run_is_not_resumed_on_latents_of_another_tae() -> None:
    write_latents(Path("replaced/train"), {Bucket(1, 16, 16): 4}, tae_key=KEYS["one"])
    train.main(["stage.yaml", "run_dir=resumed", "latents=replaced"])
    Path("replaced/train").rename("replaced/old")
    write_latents(Path("replaced/train"), {Bucket(1, 16, 16): 4}, tae_key=KEYS["other"])
    with pytest.raises(UserError, match=r"^run_dir=resumed: was trained on latents of a TAE with key 1{12},"):
        train.main(["stage.yaml", "run_dir=resumed", "latents=replaced", "train.max_steps=2"])


def test_streams_of_two_taes_are_refused() -> None:
    more = "data.streams.more={path: other/train, batch_size: 2}"
    stage = config.load(VideoRunConfig, "stage.yaml", [more])
    with pytest.raises(UserError, match=r"one/train and other/train were encoded by different TAEs"):
        latents.autoencoder_key(stage)


def test_sample_videos_are_not_decoded_by_another_tae() -> None:
    write_toy_tae(Path("tae"))
    with pytest.raises(
        UserError, match=r"tae=tae: key \w{12}, but one/train was encoded by a TAE with key 1{12}"
    ):
        train.main(["stage.yaml", "run_dir=sampled", "tae=tae", "train.sample_every=1"])


def test_an_average_keeps_the_key_and_refuses_two() -> None:
    train.main(["stage.yaml", "run_dir=second", "latents=other"])
    Path("average.yaml").write_text("{experiment: average, name: mean}")
    train.main(["average.yaml", "run_dir=mean", "inputs=[first,first.safetensors]"])
    assert tae_key_of("mean") == KEYS["one"]
    with pytest.raises(UserError, match=r"inputs: first was trained on latents of a TAE with key 1{12}, sec"):
        train.main(["average.yaml", "run_dir=mixed", "inputs=[first,second]"])


def test_moments_go_on_with_raw_weights_only() -> None:
    with pytest.raises(UserError, match="start_optimizer=true needs start_from and start_use=raw"):
        train.main(["stage.yaml", "run_dir=no", "start_from=first", "start_optimizer=true"])
    args = ["start_from=first", "start_use=raw", "start_optimizer=true"]
    train.main(["stage.yaml", "run_dir=grown", *args, "data.streams.images.batch_size=4"])
    states = checkpoint_io.read_entry(find_checkpoint(Path("grown")), "optimizer_states", [])
    assert {int(state["step"]) for state in states[0]["state"].values()} == {2}
