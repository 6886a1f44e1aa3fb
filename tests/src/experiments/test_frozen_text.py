"""Three frozen encoders from checkpoints on disk to cached embeddings, training and generation."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml
from torch.distributed.device_mesh import init_device_mesh

from data import prepare
from src import generate, train
from src.core.config import load
from src.core.errors import UserError
from src.models.text.config import FrozenTextConfig
from src.models.text.frozen_encoder import FrozenEncoder
from src.parallel.fsdp import to_local
from src.runs import latents, loading
from src.runs.config import VideoRunConfig
from src.runs.modules import build_video_module
from src.streaming.reader import Dataset
from src.streaming.schema.dataset_index import read_info
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.modules.conditioning import shard_encoder
from tests.fixtures.ranks import Ranks
from tests.src.experiments.test_chain import DATA, TAE_YAML, VIDEO
from tests.src.models.text.test_frozen_encoder import write_checkpoints

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents with embeddings, and a model trained on them."""
    root = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        configs = write_checkpoints(Path("encoders"))
        encoders = {n: vars(c) for n, c in configs.items()}
        Path("data.yaml").write_text(DATA)
        Path("tae.yaml").write_text(TAE_YAML)
        Path("video.yaml").write_text(VIDEO)
        Path("encoders.yaml").write_text(yaml.safe_dump({"encoders": encoders}))
        prepare.main(["data.yaml"])
        train.main(["tae.yaml", "run_dir=tae", "train.max_steps=1", "train.val_every=0"])
        Path("latents.yaml").write_text(
            "{experiment: encode_latents, tae: tae, data: data, run_dir: latents}"
        )
        train.main(["latents.yaml", "encoders.yaml"])
        train.main(["video.yaml", "encoders.yaml", "run_dir=run", "flow.encoder_drop_prob=0.3"])
    return root


def test_embeddings_are_those_of_the_captions_as_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    record = Dataset("latents/train").latents("16x32x32", 0)
    assert set(record.text) == {"ul2", "byt5", "metaclip"}
    module, config = loading.load_video(Path("run"))
    found = module.conditioning.from_prompts([f"FPS-16 {record.captions[1]}"])
    for name, (tokens, mask) in found.items():
        kept = record.text[name][0][1][: tokens.shape[1]].float()
        assert torch.equal(record.text[name][1][1].sum(), mask.sum())
        torch.testing.assert_close(kept, tokens[0], rtol=1e-2, atol=1e-2)
    assert config.encoders["byt5"].quoted


def test_it_trains_and_generates(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    state = torch.load("run/checkpoints/step-00000003.ckpt")["state_dict"]
    module = build_video_module(load(VideoRunConfig, "run/config.yaml"))
    module.configure_model()
    assert not torch.equal(state["text.null"], module.text.null)
    assert not torch.equal(state["text.projections.ul2.weight"], module.text.projections["ul2"].weight)
    args = ["run=run", "out=out", "sampler.num_steps=2", "precision=fp32", 'prompt=A sign says "red".']
    generate.main(args)
    assert Path("out/manifest.jsonl").is_file()


def test_the_cache_is_keyed_by_the_encoders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert read_info("latents/train").key == next(
        iter(latents.expected_latent_keys(load(VideoRunConfig, "run/config.yaml")).values())
    )
    path = Path("encoders/ul2/config.json")
    full = path.read_text()
    path.write_text(full.replace('"d_model": 20', '"d_model":  20'))
    try:
        with pytest.raises(UserError, match="stale cache"):
            train.main(["video.yaml", "encoders.yaml", "run_dir=stale"])
    finally:
        path.write_text(full)


def losses(run: str) -> list[float]:
    found = read_metrics(Path(run, METRICS_FILE))
    return [line["train/loss"] for line in found if "train/loss" in line]


def test_captions_encoded_while_training_give_the_same_losses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    online = [f"encoders.{name}.online=true" for name in ("ul2", "byt5", "metaclip")]
    with mock.patch("src.training.modules.conditioning.FrozenEncoder", wraps=FrozenEncoder) as loaded:
        arguments = ["encoders.yaml", "run_dir=online", "flow.encoder_drop_prob=0.3", *online]
        train.main(["video.yaml", *arguments])
    assert loaded.call_count == 3
    assert losses("online") == pytest.approx(losses("run"), rel=5e-3)
    with pytest.raises(ValueError, match="shard=true is for online=true"):
        FrozenTextConfig(shard=True)


def encode_sharded(path: Path, config: FrozenTextConfig) -> tuple[torch.Tensor, int, int]:
    """Encode two texts with a sharded encoder; return tokens, and the values that this rank holds, of all."""
    torch.distributed.is_initialized() or torch.distributed.init_process_group("gloo")
    encoder = FrozenEncoder("ul2", replace(config, path=str(path / config.path)))
    total = sum(p.numel() for p in encoder.model.parameters())
    shard_encoder(encoder, init_device_mesh("cpu", (2,)))
    tokens, _ = encoder.encode(["a red star", "a ring"])
    return tokens, sum(to_local(p).numel() for p in encoder.model.parameters()), total


def test_an_encoder_is_sharded_over_processes(
    root: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    config = load(VideoRunConfig, "run/config.yaml").encoders["ul2"]
    expected, _ = FrozenEncoder("ul2", config).encode(["a red star", "a ring"])
    for tokens, own, total in ranks.run(encode_sharded, root, config):
        torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)
        assert own < 0.7 * total


def test_latents_without_an_encoder_say_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(UserError, match="stream videos: the latents have no embeddings of encoder other"):
        train.main(["video.yaml", "run_dir=other", "encoders.other.dim=5"])
