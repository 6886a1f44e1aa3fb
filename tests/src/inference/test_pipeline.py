"""Generation in parts: equal latents from compiled blocks and for any batch size."""

import shutil
from pathlib import Path

import pytest
import torch

from src.inference.config import GenerateConfig, SamplerOverrides
from src.inference.pipeline import VideoPipeline
from src.inference.prompts import PromptRequest
from tests.fixtures.toy_runs import write_toy_runs

BATCH = [PromptRequest("a", "a red star", 1, {}), PromptRequest("b", "a blue ring", 2, {})]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generation")
    write_toy_runs(root)
    return root


def make_pipeline(root: Path, **changes: object) -> VideoPipeline:
    given = {"run": str(root / "video"), "tae": str(root / "tae"), "precision": "fp32"} | changes
    return VideoPipeline(GenerateConfig(sampler=SamplerOverrides(num_steps=2, guidance_scale=2.0), **given))  # type: ignore[arg-type]


def test_blocks_are_compiled_one_by_one_on_demand(root: Path) -> None:
    plain, compiled = make_pipeline(root), make_pipeline(root, compile_blocks=True, compile_backend="eager")
    assert all(block._compiled_call_impl is None for block in plain.model.transformer.blocks)
    assert all(block._compiled_call_impl is not None for block in compiled.model.transformer.blocks)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    latents = compiled.sample(BATCH)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert not torch._dynamo.utils.counters["graph_break"]
    torch.testing.assert_close(latents, plain.sample(BATCH))
    assert latents.std() > 0.1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_code_gives_equal_latents(root: Path) -> None:
    torch._dynamo.reset()
    latents = make_pipeline(root, compile_blocks=True).sample(BATCH)
    torch.testing.assert_close(latents, make_pipeline(root).sample(BATCH), rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without a GPU")
def test_a_run_with_flash_attention_generates_on_a_cpu(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "video", tmp_path / "video")
    path = tmp_path / "video/config.yaml"
    text = path.read_text()
    assert "attention: auto" in text
    path.write_text(text.replace("attention: auto", "attention: flash"))
    pipeline = make_pipeline(root, run=str(tmp_path / "video"))
    assert pipeline.warnings == ["attention=flash needs a GPU, and this is cpu; attention=auto is used"]
    assert torch.equal(pipeline.sample(BATCH), make_pipeline(root).sample(BATCH))
    other = make_pipeline(root, run=str(tmp_path / "video"), attention="matmul")
    assert other.warnings == []
    torch.testing.assert_close(other.sample(BATCH), pipeline.sample(BATCH), rtol=1e-4, atol=1e-5)


def test_a_batch_is_as_good_as_one_by_one(root: Path) -> None:
    pipeline = make_pipeline(root)
    together = pipeline.sample(BATCH)
    for latent, request in zip(together, BATCH, strict=True):
        torch.testing.assert_close(latent, pipeline.sample([request])[0], rtol=1e-4, atol=1e-5)
