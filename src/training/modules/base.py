"""Base of all Lightning modules: networks, step counter, optimizer steps, EMA and validation means.

Optimization is manual. A step is a batch: `step` counts batches, and Lightning's `global_step` agrees because
only the first optimizer is stepped through Lightning (a discriminator's is stepped directly).
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torchmetrics import MeanMetric

from src.core import rng
from src.core.errors import UserError
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext, set_gradient_sync, to_local, total_norm
from src.parallel.mesh import ProcessMesh
from src.parallel.strategy import MeshStrategy
from src.parallel.tensor_parallel import sum_gradients
from src.parallel.token_shards import SharedTokens
from src.streaming.batch import Batch
from src.streaming.micro_batches import split_batch
from src.training import precision
from src.training.config import Precision, TrainConfig
from src.training.optim.build import build_optimizer
from src.training.optim.lr_schedule import learning_rate, num_halvings

AnyBatch = TypeVar("AnyBatch", bound=Batch)


class NonFiniteError(UserError):
    """A loss or gradient is NaN or infinite; raised before that step changes the weights."""


@dataclass(frozen=True)
class BatchSize:
    """Size of a batch on this process; `tokens` are media tokens (latent positions for a TAE)."""

    samples: int
    tokens: int


@dataclass(frozen=True)
class GradientStep:
    """Numbers of one optimizer step, over all processes: mean loss, and gradient norm before clipping."""

    loss: float
    grad_norm: float


class TrainingModule(L.LightningModule):
    """Base class; a subclass names its networks and implements `training_step`."""

    ema_networks: tuple[str, ...] = ()  # names of the networks that have an EMA
    has_token_shards = False  # whether several processes can train on the same samples together
    val_metric = "val/loss"  # watched by the plateau schedule; lower is better
    ema: nn.ModuleDict
    batch_counter: Tensor

    def __init__(self, train: TrainConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.train_config = train
        self.precision_name: Precision = "fp32"
        self.metrics: dict[str, float] = {}  # of the latest step, means over processes
        self.device_metrics: dict[str, Tensor] = {}  # this process's others, read only when they are logged
        self.val_metrics: dict[str, float] = {}  # of the latest validation
        self.val_history: list[float] = []  # of `val_metric`
        self._built = self._sharded = False
        self._step: int | None = None
        self.register_buffer("batch_counter", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(_forget_step)

    # ---- networks

    @abstractmethod
    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        """Return the constructor of every network, by attribute name."""

    def configure_model(self) -> None:
        """Build the networks and their EMA, sharded if there is a mesh; called by Lightning."""
        if self._built:
            if self.device_mesh is not None and not self._sharded:
                raise ValueError("the module was built for one process and cannot train on several")
            return
        context = self._parallel_context()
        if context.cut_tokens is not None and not self.has_token_shards:
            raise UserError(
                f"{type(self).__name__} trains neither with train.parallel.context_parallel nor with "
                "tensor_parallel: both must be 1; use dp_shard and dp_replicate"
            )
        self._sharded = context.mesh is not None
        factories = self.networks()
        for name, factory in factories.items():
            setattr(self, name, build_network(factory, self._weight_seed(name), context))
        self.ema = nn.ModuleDict()
        for name in self.ema_networks if self.train_config.ema_decay else ():
            copy = build_network(factories[name], self._weight_seed(name), context)
            self.ema[name] = copy.requires_grad_(False).eval()
        self._built = True

    def _weight_seed(self, name: str) -> int:
        return rng.key(self.train_config.seed, f"weights/{name}")

    def _parallel_context(self) -> ParallelContext:
        parallel = self.train_config.parallel
        trainer = self._trainer
        device = trainer.strategy.root_device if trainer is not None else torch.device("cpu")
        self.precision_name = precision.resolve(self.train_config.precision, device.type)
        mesh = self._mesh
        return ParallelContext(
            mesh=None if mesh is None else mesh.fsdp,
            tensor_mesh=None if mesh is None else mesh.tensor,
            cut_tokens=SharedTokens(mesh) if mesh is not None and mesh.num_peers > 1 else None,
            param_dtype=torch.bfloat16 if self.precision_name == "bf16" else None,
            compile_backend=parallel.compile_backend if parallel.compile_blocks else None,
            # Without a mesh Lightning moves the module later; initial weights are drawn on the CPU.
            device=device if mesh is not None else torch.device("cpu"),
        )

    @property
    def _mesh(self) -> ProcessMesh | None:
        strategy = None if self._trainer is None else self._trainer.strategy
        return strategy.mesh if isinstance(strategy, MeshStrategy) else None

    @property
    def num_peers(self) -> int:
        """Number of processes that train on the same samples, this one included."""
        return 1 if self._mesh is None else self._mesh.num_peers

    def network(self, name: str, *, ema: bool = False) -> nn.Module:
        """Return a network by name; with `ema` its EMA if it has one."""
        net = self.ema[name] if ema and name in self.ema else getattr(self, name)
        return cast(nn.Module, net)

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

    @abstractmethod
    def batch_size(self, batch: Any) -> BatchSize:
        """Return the number of samples and tokens of a batch."""

    # ---- optimization

    def make_optimizer(self, *names: str) -> torch.optim.AdamW:
        """Return the configured optimizer over all parameters of some networks."""
        nets = [self.network(name) for name in names]
        dtype = torch.bfloat16 if self.precision_name == "bf16" else torch.float32
        return build_optimizer(nets, self.train_config, dtype=dtype, sharded=self._distributed)

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
        """Check, clip and apply the gradients that the backward pass has left; then clear them.

        Args:
            loss: this process's loss, for the check and the result only.
            ids: ids of the batch's samples, for the error message.

        Raises:
            NonFiniteError: on every process, before any weight has changed.
        """
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        sum_gradients(params)
        grads = [cast(Tensor, p.grad) for p in params]
        norm = total_norm(grads)
        # The only wait for the device in a step: the check has to come before the weights change.
        loss_value, norm_value = torch.stack([self.reduce_over_ranks(loss.detach()), norm]).tolist()
        if not (math.isfinite(norm_value) and math.isfinite(loss_value)):
            raise NonFiniteError(self._non_finite_message(loss_value, norm_value, ids))
        if self.train_config.max_grad_norm:
            # Scaling is elementwise, so each process scales its own shards; the norm is that of all of them.
            scale = (self.train_config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([to_local(g) for g in grads], scale)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate() * lr_scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return GradientStep(loss_value, norm_value)

    def latest_metrics(self) -> dict[str, float]:
        """Return all metrics of the latest step, means over processes; collective, waits for the device."""
        if not self.device_metrics:
            return dict(self.metrics)
        means = self.reduce_over_ranks(torch.stack(list(self.device_metrics.values()))).tolist()
        return dict(zip(self.device_metrics, means, strict=True)) | self.metrics

    def _non_finite_message(self, loss: float, norm: float, ids: list[str]) -> str:
        if self._distributed:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, ids)
            ids = list(dict.fromkeys(i for rank_ids in gathered for i in rank_ids))
        listed = ", ".join(ids[:8]) + (f", ... ({len(ids)} in total)" if len(ids) > 8 else "")
        return (
            f"step {self.step}: loss is {loss}, gradient norm is {norm}; training stopped before the weights "
            f"changed; batch: {listed}"
        )

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

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert another run's weights to this module's names and shapes; unchanged by default."""
        return source

    # ---- EMA of the weights

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move the EMA towards the networks; on local shards, without communication."""
        # Warm-up: at the full decay random initial weights would dominate the EMA for 1 / (1 - decay) steps.
        decay = min(self.train_config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, ema_net in self.ema.items():
            net = getattr(self, name)
            torch._foreach_lerp_(
                [to_local(p) for p in ema_net.parameters()],
                [to_local(p.detach()) for p in net.parameters()],
                1 - decay,
            )
            for target, source in zip(ema_net.buffers(), net.buffers(), strict=True):
                target.copy_(source)

    @torch.no_grad()
    def reset_ema(self) -> None:
        """Set the EMA to the networks' current weights."""
        for name, ema_net in self.ema.items():
            net = getattr(self, name)
            for ema_param, param in zip(ema_net.parameters(), net.parameters(), strict=True):
                to_local(ema_param).copy_(to_local(param))
            for target, source in zip(ema_net.buffers(), net.buffers(), strict=True):
                target.copy_(source)

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["val_history"] = list(self.val_history)
        checkpoint["val_metrics"] = dict(self.val_metrics)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._step = None  # sharded tensors are loaded without load_state_dict and its hook
        self.val_history = list(checkpoint.get("val_history", []))
        self.val_metrics = dict(checkpoint.get("val_metrics", {}))

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        self._val_means: dict[str, MeanMetric] = {}

    def update_val_mean(self, name: str, values_B: Tensor) -> None:
        """Add one number per sample to the mean that is reported as `name`."""
        if len(values_B):
            if name not in self._val_means:
                self._val_means[name] = self._new_mean()
            self._val_means[name].update(values_B)

    def _new_mean(self) -> MeanMetric:
        # float64, so that the mean does not depend on how samples are split over batches and processes;
        # NaN stays NaN, where torchmetrics would leave such values out of the mean
        mean = MeanMetric(nan_strategy="disable", sync_on_compute=self._distributed)
        mean.set_dtype(torch.float64)
        return mean.to(self.device)

    def on_validation_epoch_end(self) -> None:
        self.val_metrics = {}
        for name in self._val_names():  # all ranks in the same order: `compute` is collective
            mean = self._val_means.get(name)
            if mean is None:  # other ranks have samples of this kind, this one has none
                mean = self._new_mean()
                mean.update(torch.zeros(0, device=self.device))
            self.val_metrics[name] = float(mean.compute())
        if self.val_metric in self.val_metrics:
            self.val_history.append(self.val_metrics[self.val_metric])

    def _val_names(self) -> list[str]:
        """Return the names of all processes' means, sorted."""
        if not self._distributed:
            return sorted(self._val_means)
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, sorted(self._val_means))
        return sorted({name for names in gathered for name in names})


def _forget_step(module: nn.Module, _: Any) -> None:
    """Have `TrainingModule.step` read the counter again after `load_state_dict`."""
    cast(TrainingModule, module)._step = None
