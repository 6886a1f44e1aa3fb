"""What all Lightning modules here share: networks on their layout, one counter, optimiser steps, EMA.

Optimisation is manual. A step is a batch: `step` counts batches, and Lightning's `global_step` agrees
because only the first optimiser is stepped through Lightning (a discriminator's is stepped plainly).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from src.core import rng
from src.core.errors import UserError
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext, full_tensor, set_gradient_sync, to_local
from src.training import precision
from src.training.config import TrainConfig
from src.training.modules.val_means import Means
from src.training.optim.build import build_optimizer
from src.training.optim.lr_schedule import learning_rate, plateau


class NonFiniteError(UserError):
    """A loss or gradient is NaN or infinite; nothing of that step reaches the weights."""


@dataclass(frozen=True)
class BatchSize:
    """What a batch holds on this process: `tokens` are media tokens (latent positions for a TAE)."""

    samples: int
    tokens: int


class TrainingModule(L.LightningModule):
    """Base of the modules. Subclasses name their networks and write `training_step`."""

    averaged: tuple[str, ...] = ()  # networks of which an average (EMA) is kept
    val_metric = "val/loss"  # what plateau watches; lower is better

    def __init__(self, train: TrainConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.train_config = train
        self.precision_name: precision.Precision = "fp32"
        self.metrics: dict[str, float] = {}  # of the latest step
        self.val_metrics: dict[str, float] = {}  # of the latest validation
        self.val_history: list[float] = []
        self._built = self._sharded = False
        self.register_buffer("batch_counter", torch.zeros((), dtype=torch.int64))

    # ---- networks

    @abstractmethod
    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        """Attribute name -> constructor of every network."""

    def configure_model(self) -> None:
        """Build the networks and their averages, sharded where there is a mesh; Lightning calls it."""
        if self._built:
            if self.device_mesh is not None and not self._sharded:
                raise ValueError("the module was built for one process before it was given several")
            return
        context = self._layout()
        self._sharded = context.mesh is not None
        factories = self.networks()
        for name, factory in factories.items():
            setattr(self, name, build_network(factory, self._weight_seed(name), context))
        self.ema = nn.ModuleDict()
        for name in self.averaged if self.train_config.ema_decay else ():
            copy = build_network(factories[name], self._weight_seed(name), context)
            self.ema[name] = copy.requires_grad_(False).eval()
        self._built = True

    def _weight_seed(self, name: str) -> int:
        return rng.key(self.train_config.seed, f"weights/{name}")

    def _layout(self) -> ParallelContext:
        parallel = self.train_config.parallel
        trainer = self._trainer
        device = trainer.strategy.root_device if trainer is not None else torch.device("cpu")
        self.precision_name = precision.resolve(self.train_config.precision, device.type)
        mesh = None if self.device_mesh is None else self.device_mesh["data_parallel"]
        return ParallelContext(
            mesh=mesh,
            param_dtype=torch.bfloat16 if self.precision_name == "bf16" else None,
            compile_backend=parallel.compile_backend if parallel.compile_blocks else None,
            device=device if mesh is not None else torch.device("cpu"),
        )

    def network(self, name: str, *, averaged: bool = False) -> Any:
        """A network by name; `averaged` gives its EMA where one is kept."""
        return self.ema[name] if averaged and name in self.ema else getattr(self, name)

    def autocast(self) -> AbstractContextManager:
        return precision.autocast(self.precision_name, self.device.type)

    # ---- counting

    @property
    def step(self) -> int:
        """Batches trained on so far; during `training_step` the number of the current one, from 0."""
        return int(self.batch_counter)

    @abstractmethod
    def batch_size(self, batch: Any) -> BatchSize:
        """Samples and tokens of a batch."""

    # ---- optimisation

    def make_optimizer(self, *names: str) -> torch.optim.AdamW:
        """The chosen optimiser over whole networks; no decay for vectors."""
        named = [(n, p) for net in names for n, p in getattr(self, net).named_parameters()]
        dtype = torch.bfloat16 if self.precision_name == "bf16" else torch.float32
        return build_optimizer(named, self.train_config, dtype=dtype, sharded=self._distributed)

    def learning_rate(self) -> float:
        """The learning rate of the current step."""
        c = self.train_config
        return learning_rate(
            self.step,
            schedule=c.schedule,
            peak=c.lr,
            warmup=c.warmup_steps,
            total=c.max_steps,
            final=c.final_lr,
            halvings=plateau(self.val_history, c.plateau_patience) if c.schedule == "plateau" else 0,
        )

    def apply_gradients(
        self, optimizer: Any, loss: Tensor, ids: list[str], *, lr_scale: float = 1.0
    ) -> float:
        """Guard, clip, step and clear; the gradients are already there.

        Args:
            loss: this process's loss, for the guard only.
            ids: ids of the batch, named if something is not finite.

        Returns:
            The gradient norm over all parameters and processes, before clipping.

        Raises:
            NonFiniteError: on every process, before any weight has changed.
        """
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        grads = [p.grad for p in params]
        norm = full_tensor(torch.nn.utils.get_total_norm(grads, foreach=True))
        total = self.across_processes(loss.detach())
        if not bool(torch.isfinite(norm) & torch.isfinite(total)):
            raise NonFiniteError(self._non_finite(float(total), float(norm), ids))
        if self.train_config.clip:
            # Local shards: scaling is elementwise, and the norm is that of the whole.
            scale = (self.train_config.clip / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([to_local(g) for g in grads], scale)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate() * lr_scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def _non_finite(self, loss: float, norm: float, ids: list[str]) -> str:
        if self._distributed:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, ids)
            ids = [i for part in gathered for i in part]
        shown = ", ".join(ids[:8]) + (f", ... ({len(ids)} in all)" if len(ids) > 8 else "")
        return (
            f"step {self.step}: loss is {loss} and its gradient's norm {norm}; training stopped before the "
            f"weights changed; batch: {shown}"
        )

    def across_processes(self, value: Tensor, op: str = "mean") -> Tensor:
        """Mean (or sum) of a number over all processes."""
        if not self._distributed:
            return value
        return self.trainer.strategy.reduce(value.clone(), reduce_op=op)

    @property
    def _distributed(self) -> bool:
        return self._trainer is not None and self._trainer.world_size > 1

    def micro_batches(self, batch: Any, *nets: nn.Module) -> Iterator[tuple[Any, float]]:
        """Parts of a batch with the weights of their means; gradients are reduced with the last part only.

        The weights make the mean over the ranks that of all samples, each counting alike.
        """
        from src.streaming.micro_batches import split

        parts = split(batch, self.train_config.micro_batches)
        for number, part in enumerate(parts, 1):
            if len(parts) > 1:
                set_gradient_sync(nets, number == len(parts))
            yield part, len(part) / len(batch) * batch.loss_weight

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another kind of run in this module's form; by default as they are."""
        return source

    # ---- averages of the weights

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move every average towards its network; local shards only, no communication."""
        decay = self.train_config.ema_decay
        decay = min(decay, (1 + self.step) / (10 + self.step))  # young averages forget their beginning
        for name, average in self.ema.items():
            net = getattr(self, name)
            torch._foreach_lerp_(
                [to_local(p) for p in average.parameters()],
                [to_local(p.detach()) for p in net.parameters()],
                1 - decay,
            )
            for ours, theirs in zip(average.buffers(), net.buffers(), strict=True):
                ours.copy_(theirs)

    @torch.no_grad()
    def reset_ema(self) -> None:
        """Start the averages from the networks as they are."""
        for name, average in self.ema.items():
            for ours, theirs in zip(average.parameters(), getattr(self, name).parameters(), strict=True):
                to_local(ours).copy_(to_local(theirs))
            for ours, theirs in zip(average.buffers(), getattr(self, name).buffers(), strict=True):
                ours.copy_(theirs)

    # ---- Lightning's hooks

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["val_history"] = list(self.val_history)
        checkpoint["val_metrics"] = dict(self.val_metrics)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.val_history = list(checkpoint.get("val_history", []))
        self.val_metrics = dict(checkpoint.get("val_metrics", {}))

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        self._means = Means()

    def add_val(self, name: str, values_B: Tensor) -> None:
        """Add one number per sample to the mean that is reported as `name`."""
        self._means.add(name, values_B)

    def on_validation_epoch_end(self) -> None:
        names = self._means.names(self.trainer.world_size if self._distributed else 1)
        sums = self.across_processes(self._means.sums(names, self.device), "sum")
        self.val_metrics = {n: float(s / c) for n, (s, c) in zip(names, sums.tolist(), strict=True) if c}
        if self.val_metric in self.val_metrics:
            self.val_history.append(self.val_metrics[self.val_metric])
