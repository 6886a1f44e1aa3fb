"""Steps of a module: counter, micro-batches, clipped gradients, and steps that are skipped.

Optimization is manual. A step is a batch: `step` counts batches, and Lightning's `global_step` agrees because
only the first optimizer is stepped through Lightning (a discriminator's is stepped directly).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from src.parallel.fsdp import set_gradient_sync, to_local, total_norm
from src.parallel.tensor_parallel import sum_gradients
from src.streaming.batch import Batch
from src.streaming.micro_batches import split_batch
from src.training import precision
from src.training.config import Precision, TrainConfig
from src.training.loss_scale import LossScale
from src.training.optim.adamw import AdamW
from src.training.optim.lr_schedule import learning_rate, num_halvings
from src.training.skipped_steps import GradientStep, SkippedSteps

AnyBatch = TypeVar("AnyBatch", bound=Batch)


@dataclass(frozen=True)
class BatchSize:
    """Size of a batch on this process; `tokens` are media tokens (latent positions for a TAE)."""

    samples: int
    tokens: int


class OptimizedModule(L.LightningModule):
    """A module that steps its optimizers itself."""

    scales_loss = False  # whether its steps call `scale_loss`, which precision=fp16 needs
    batch_counter: Tensor

    def __init__(self, train: TrainConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.train_config = train
        self.precision_name: Precision = "fp32"
        # Of the latest step, read only when they are logged: means over processes, and this process's others.
        self.metrics: dict[str, Tensor] = {}
        self.device_metrics: dict[str, Tensor] = {}
        self.host_metrics: dict[str, float] = {}  # counts that callbacks keep
        self.val_history: list[float] = []  # of the watched validation metric
        self.skipped = SkippedSteps(train.max_skipped_steps)
        self._loss_scale: LossScale | None = None
        self._step: int | None = None
        self.register_buffer("batch_counter", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(_forget_step)

    def autocast(self) -> AbstractContextManager[None]:
        return precision.autocast(self.precision_name, self.device.type)

    # ---- step counter

    @property
    def step(self) -> int:
        """Number of batches trained on; during `training_step` the index of the current one, from 0.

        The buffer `batch_counter` carries it in checkpoints. It is read once after each load and not every
        step, which would make the host wait for the device.
        """
        if self._step is None:
            self._step = int(self.batch_counter)
        return self._step

    def advance_step(self) -> None:
        """Count one batch; call it at the end of `training_step`."""
        self._step = self.step + 1
        self.batch_counter += 1

    def forget_step(self) -> None:
        """Have `step` read the counter again."""
        self._step = None

    # ---- optimization

    def learning_rate(self) -> float:
        """Return the learning rate of the current step."""
        c = self.train_config
        return learning_rate(
            self.step,
            schedule=c.schedule,
            peak=c.lr,
            warmup=c.warmup_steps,
            total=c.max_steps,
            final=c.final_lr_fraction,
            halvings=num_halvings(self.val_history, c.plateau_patience) if c.schedule == "plateau" else 0,
        )

    def apply_gradients(
        self,
        optimizer: torch.optim.Optimizer | LightningOptimizer,
        loss: Tensor,
        ids: list[str],
        *,
        lr_scale: float = 1.0,
    ) -> GradientStep:
        """Clip and apply the gradients that the backward pass has left; then clear them.

        If the loss or a gradient is NaN or infinite, on any process, no process changes weights or optimizer
        state. The host does not wait for the device to know; `report_skipped` does.

        Args:
            loss: this process's loss, for the check and the result only.
            ids: ids of the batch's samples, to name them where the step is skipped.
        """
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        sum_gradients(params)
        grads = [to_local(cast(Tensor, p.grad)) for p in params]
        norm, mean_loss = (
            total_norm([cast(Tensor, p.grad) for p in params]),
            self.reduce_over_ranks(loss.detach()),
        )
        unscale = 1 / self._loss_scale.scale if self._loss_scale is not None else None
        norm = norm if unscale is None else norm * unscale
        found_inf = (~(torch.isfinite(norm) & torch.isfinite(mean_loss))).float()
        factor = unscale
        if self.train_config.max_grad_norm:
            # Scaling is elementwise, so each process scales its own shards; the norm is that of all of them.
            factor = (self.train_config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            factor = factor if unscale is None else factor * unscale
        if factor is not None:
            torch._foreach_mul_(grads, factor)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate() * lr_scale
        inner = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
        if isinstance(inner, AdamW):
            inner.found_inf = found_inf
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self._loss_scale is not None:
            self._loss_scale.update(found_inf)
        result = GradientStep(mean_loss, norm, found_inf)
        self.skipped.note(self.step, ids, result)
        return result

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return what to call backward on: with fp16 the loss times what `apply_gradients` divides by."""
        if self.precision_name != "fp16":
            return loss
        if self._loss_scale is None:
            self._loss_scale = LossScale(self.device)
        return loss * self._loss_scale.scale

    def report_skipped(self) -> None:
        """Name the steps skipped since the last call, on the first process; collective, waits for the device.

        Raises:
            NonFiniteError: on every process, if too many steps in a row were skipped.
        """
        for line in self.skipped.read(self._gather_ids):
            if self._trainer is None or self.trainer.is_global_zero:
                print(line, flush=True)

    def _gather_ids(self, ids: list[str]) -> list[str]:
        if not self._distributed:
            return ids
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, ids)
        return list(dict.fromkeys(i for rank_ids in gathered for i in rank_ids))

    def latest_metrics(self) -> dict[str, float]:
        """Return all metrics of the latest step, means over processes; collective, waits for the device.

        Raises:
            NonFiniteError: see `report_skipped`.
        """
        self.report_skipped()
        found: dict[str, float] = {}
        if self.device_metrics:
            means = self.reduce_over_ranks(torch.stack(list(self.device_metrics.values())))
            found = dict(zip(self.device_metrics, means.tolist(), strict=True))
        if self.metrics:
            values = torch.stack(list(self.metrics.values())).tolist()
            found |= dict(zip(self.metrics, values, strict=True))
        if self.skipped.total:
            found["skipped_steps"] = self.skipped.total
        return found | self.host_metrics

    def reduce_over_ranks(self, value: Tensor, op: Literal["mean", "sum"] = "mean") -> Tensor:
        """Return the mean (or sum) of a tensor over all processes."""
        if not self._distributed:
            return value
        return cast(Tensor, self.trainer.strategy.reduce(value.clone(), reduce_op=op))

    @property
    def _distributed(self) -> bool:
        return self._trainer is not None and self._trainer.world_size > 1

    def micro_batches(self, batch: AnyBatch, *nets: nn.Module) -> Iterator[tuple[AnyBatch, float]]:
        """Yield parts of a batch with their loss weights, and see to the gradients of some networks.

        With these weights the mean over ranks is the mean over all samples, each counting the same.
        """
        parts = cast(list[AnyBatch], split_batch(batch, self.train_config.num_micro_batches))
        for number, part in enumerate(parts, 1):
            if len(parts) > 1:
                self.accumulate_gradients(nets, is_last=number == len(parts))
            yield part, len(part) / len(batch) * batch.loss_weight

    def accumulate_gradients(self, nets: Sequence[nn.Module], *, is_last: bool) -> None:
        """Say what becomes of the next backward pass's gradients.

        They are added to fp32 shards after every micro-batch, or kept whole until the last one
        (`reduce_every_micro_batch`). Copies of the shards exchange their sums with the last one either way.
        """
        every = self.train_config.parallel.reduce_every_micro_batch
        set_gradient_sync(nets, shards=every or is_last, copies=is_last)

    # ---- checkpoints

    def faults_state(self) -> dict[str, Any]:
        """Return entries for a checkpoint; collective, waits for the device; NonFiniteError as above."""
        self.report_skipped()
        entries: dict[str, Any] = {
            "skipped_steps": {"total": self.skipped.total, "in_a_row": self.skipped.in_a_row}
        }
        if self._loss_scale is not None:
            entries["loss_scale"] = self._loss_scale.state()
        return entries

    def load_faults_state(self, checkpoint: Mapping[str, Any]) -> None:
        """Continue with the entries of a checkpoint."""
        skipped = checkpoint.get("skipped_steps", {"total": 0, "in_a_row": 0})
        self.skipped.total, self.skipped.in_a_row = skipped["total"], skipped["in_a_row"]
        if "loss_scale" in checkpoint:
            self._loss_scale = LossScale(self.device)
            self._loss_scale.load(checkpoint["loss_scale"])


def _forget_step(module: nn.Module, _: Any) -> None:
    """Have `OptimizedModule.step` read the counter again after `load_state_dict`."""
    cast(OptimizedModule, module).forget_step()
