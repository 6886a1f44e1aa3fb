"""Parameter counts of the paper's sizes, and FLOPs against torch's own counter."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from src import model_summary
from src.core import config
from src.core.errors import UserError
from src.inference import stage_cost
from src.models.transformer.config import TransformerConfig
from src.models.transformer.flops import forward_flops, parameters_by_part, training_flops
from src.models.transformer.model import MediaTransformer
from src.runs.config import VideoRunConfig

PAPER = Path(__file__).resolve().parents[2] / "configs" / "paper"
STAGES = ("t2i_256", "joint_256", "joint_256_large", "joint_768", "sft")


def stage(name: str, size: str = "30b", *overrides: str) -> VideoRunConfig:
    files = [PAPER / f"{name}.yaml", PAPER / f"video_{size}.yaml"]
    return config.build(VideoRunConfig, config.read(files, overrides))


@pytest.mark.parametrize(
    ("size", "blocks", "total"), [("1b", 0.91e9, 0.95e9), ("5b", 4.83e9, 4.95e9), ("30b", 28.99e9, 29.35e9)]
)
def test_sizes_of_the_paper(size: str, blocks: float, total: float) -> None:
    counts = stage_cost.count_parameters(stage("joint_768", size))
    own = sum(counts[p] for p in ("self-attention", "cross-attention", "feed-forward"))
    assert own == pytest.approx(blocks, rel=0.01)
    assert sum(counts.values()) == pytest.approx(total, rel=0.02)
    c = stage("joint_768", size).transformer
    assert counts["time, shared adaLN"] < 10 * c.hidden_size**2  # shared, not 6 d^2 in each of the layers
    assert counts["positions"] == (32 + 96 + 96) * c.hidden_size


def test_the_30b_is_the_papers() -> None:
    c = stage("sft").transformer
    assert (c.depth, c.hidden_size, c.ffn_dim, c.num_heads) == (48, 6144, 16384, 48)
    assert (c.norm, c.ffn_kind, c.bias, c.positions) == ("rms", "swiglu", False, "every")


@pytest.mark.parametrize(
    "change", [{}, {"ffn_kind": "gelu", "norm": "layer", "bias": True}, {"num_checkpointed_blocks": 2}]
)
def test_flops_are_those_that_torch_counts(change: dict) -> None:
    sizes = TransformerConfig(
        hidden_size=32, depth=3, num_heads=2, ffn_dim=48, latent_channels=4, context_dim=24, time_dim=16,
        max_positions=(4, 4, 4), attention="matmul", **change,
    )  # fmt: skip
    model = MediaTransformer(sizes)
    x, t = torch.randn(1, 4, 2, 4, 8, requires_grad=True), torch.rand(1)
    text = torch.randn(1, 5, 24, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        out = model(x, t, text)
    assert counter.get_total_flops() == forward_flops(sizes, 16, 5)
    with FlopCounterMode(display=False) as counter:
        model(x, t, text).sum().backward()
    # torch stops recomputing when it has what it needs, and the time features have no gradient.
    assert counter.get_total_flops() == pytest.approx(training_flops(sizes, 16, 5), rel=0.07)
    assert out.shape == x.shape
    assert sum(parameters_by_part(model).values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", STAGES)
def test_cost_of_every_stage_of_the_paper(name: str) -> None:
    costs = list(stage_cost.step_costs(stage(name)))
    assert costs
    tokens = {c.bucket: c.tokens_per_sample for c in costs}
    if "768" in name or name == "sft":
        assert tokens["256x576x1024"] == tokens["256x768x768"] == 73_728
    if name.startswith("joint"):
        videos = [c for c in costs if c.stream == "videos"]
        assert {c.bucket.split("x")[0] for c in videos} == {"128", "192", "256"}  # table 2
        assert len({tuple(c.bucket.split("x")[1:]) for c in videos}) == 5
        budget = stage(name).data.streams["videos"].tokens
        assert all(0.6 * budget < c.tokens <= budget for c in videos)
        assert len({c.num_samples for c in videos}) >= 3


def test_flops_of_the_paper() -> None:
    """About 3.3e16 for a video at 768 pixels, which counts the text's matrices too often."""
    c = stage("joint_768", "30b", "transformer.num_checkpointed_blocks=0").transformer
    assert training_flops(c, 73_728, 657) == pytest.approx(3.3e16, rel=0.08)


def test_stages_differ_from_the_tiny_ones_in_numbers_only() -> None:
    tiny = PAPER.parent / "video"
    pairs = {"t2i_256": "tiny_t2i", "joint_256": "tiny_joint", "joint_768": "tiny_joint", "sft": "tiny_sft"}
    numbers = {  # keys whose values are sizes, names or paths
        "name", "run_dir", "latents", "start_from", "encoders", "text", "transformer.attention", "data",
        "train.schedule",
        "position_growth",  # the tiny stages have one resolution, so none of them interpolates
        # The paper does not name its optimizer; short runs use Muon (docs/decisions/0003),
        "train.optimizer",
        "transformer.qk_norm",  # and Muon's learning rates need bounded logits.
    }  # fmt: skip
    for ours, theirs in pairs.items():
        a = config.flatten(stage(ours))
        b = config.flatten(config.load(VideoRunConfig, tiny / f"{theirs}.yaml"))
        for key in a.keys() & b.keys():
            if not any(key == n or key.startswith(n + ".") for n in numbers) and a[key] != b[key]:
                values = (a[key], b[key])
                flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
                number = [isinstance(v, int | float) and not isinstance(v, bool) for v in flat]
                assert all(number), (ours, key, values)  # a switch is not a number


def test_the_command_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    model_summary.main([str(PAPER / "t2i_256.yaml"), str(PAPER / "video_1b.yaml")])
    out = capsys.readouterr().out
    assert "cross-attention" in out
    assert "1x256x256" in out
    with pytest.raises(UserError, match="needs 64 along W, got 16"):
        model_summary.main([str(PAPER / "sft.yaml"), "transformer.max_positions=[32,64,16]"])
    with pytest.raises(UserError, match=r"expected a video stage such as .*, got average"):
        model_summary.main([str(PAPER / "average.yaml")])
