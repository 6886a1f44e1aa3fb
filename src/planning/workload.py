"""Numbers of a stage: parameters, batches, tokens and FLOPs of each bucket."""

from dataclasses import dataclass
from typing import Any

from src.inference.stage_cost import StepCost, count_parameters, max_text_tokens, step_costs
from src.models.transformer.config import TransformerConfig
from src.models.transformer.flops import NORMS, block_flops, forward_flops
from src.runs.audio_config import AudioRunConfig
from src.runs.config import VideoRunConfig
from src.training.config import TrainConfig

BLOCK_PARTS = ("self-attention", "cross-attention", "feed-forward")


@dataclass(frozen=True)
class BatchWork:
    """The global batch of one bucket."""

    cost: StepCost
    fraction: float  # of the steps

    @property
    def num_samples(self) -> int:
        return self.cost.num_samples

    @property
    def tokens_each(self) -> int:
        return self.cost.tokens_per_sample


@dataclass(frozen=True)
class Workload:
    """A stage that trains a transformer."""

    name: str
    transformer: TransformerConfig
    train: TrainConfig
    batches: tuple[BatchWork, ...]
    text_tokens: int
    text_dims: int  # features of the text encoders' tokens, added up over a sample's tokens
    block_params: int  # matrices of all blocks, which tensor parallelism cuts
    table_params: int  # of all blocks: norms and modulation tables
    root_params: int  # before and after the blocks
    text_params: int  # of the networks of conditions

    @property
    def num_params(self) -> int:
        return self.block_params + self.table_params + self.root_params + self.text_params

    @property
    def element_bytes(self) -> int:
        """Return the bytes of a number in matrix products."""
        return 4 if self.train.precision == "fp32" else 2

    def flops_without_recomputation(self, batch: BatchWork) -> float:
        """Return the FLOPs of a step that count for the model FLOPs utilization (MFU)."""
        c = self.transformer
        return 3.0 * batch.num_samples * forward_flops(c, batch.tokens_each, self.text_tokens)

    def block_flops(self, tokens: int) -> int:
        """Return the forward FLOPs of a block for one sample."""
        return block_flops(self.transformer, tokens, self.text_tokens)


def workload(stage: VideoRunConfig | AudioRunConfig) -> Workload:
    """Return the numbers of a stage; the model is built on the meta device.

    Raises:
        UserError: no buckets are known, or they do not suit the model.
    """
    counts, config = count_parameters(stage), stage.transformer
    conditions = sum(counts.pop(name, 0) for name in ("text", "video"))
    blocks = sum(counts[part] for part in BLOCK_PARTS)
    tables = _table_params(config, counts[NORMS])
    return Workload(
        name=stage.name,
        transformer=config,
        train=stage.train,
        batches=_batches(stage),
        text_tokens=max_text_tokens(stage),
        text_dims=sum(each.max_tokens * each.dim for each in stage.encoders.values()),
        block_params=blocks,
        table_params=tables,
        root_params=sum(counts.values()) - blocks - tables,
        text_params=conditions,
    )


def _table_params(config: TransformerConfig, norms: int) -> int:
    """Return the parameters of norms and tables inside the blocks; the final layer has three vectors."""
    final = 2 * config.hidden_size + (config.hidden_size if config.norm == "rms" else 0)
    return norms - final


def _batches(stage: Any) -> tuple[BatchWork, ...]:
    costs = list(step_costs(stage))
    total = sum(stage.data.streams[name].weight for name in {cost.stream for cost in costs})
    found = []
    for cost in costs:
        same = sum(each.stream == cost.stream for each in costs)
        found.append(BatchWork(cost, stage.data.streams[cost.stream].weight / total / same))
    return tuple(found)
