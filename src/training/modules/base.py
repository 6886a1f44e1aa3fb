"""Base of all Lightning modules: networks, EMA, checkpoints and validation means."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from src.core import rng
from src.core.errors import UserError
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext
from src.parallel.mesh import ProcessMesh
from src.parallel.strategy import MeshStrategy
from src.parallel.token_shards import SharedTokens
from src.training import precision
from src.training.config import TrainConfig
from src.training.modules.ema import copy_weights, move_towards
from src.training.modules.optimization import BatchSize, OptimizedModule
from src.training.modules.validation_means import ValidationMeans
from src.training.optim.adamw import AdamW
from src.training.optim.build import build_optimizer


class TrainingModule(OptimizedModule):
    """Base class; a subclass names its networks and implements `training_step`."""

    ema_networks: tuple[str, ...] = ()  # names of the networks that have an EMA
    has_token_shards = False  # whether several processes can train on the same samples together
    val_metric = "val/loss"  # watched by the plateau schedule; lower is better
    ema: nn.ModuleDict

    def __init__(self, train: TrainConfig) -> None:
        super().__init__(train)
        self.val_metrics: dict[str, float] = {}  # of the latest validation
        self._built = self._sharded = False

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
        if self.precision_name == "fp16" and not self.scales_loss:
            raise UserError(
                f"{type(self).__name__} does not train with train.precision=fp16; use fp32 or bf16"
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
            param_dtype=precision.half_dtype(self.precision_name),
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

    @abstractmethod
    def batch_size(self, batch: Any) -> BatchSize:
        """Return the number of samples and tokens of a batch."""

    # ---- optimization

    def make_optimizer(self, *names: str) -> AdamW:
        """Return the configured optimizer over all parameters of some networks."""
        nets = [self.network(name) for name in names]
        # The iterations of Muon overflow in float16.
        dtype = torch.bfloat16 if self.precision_name == "bf16" else torch.float32
        return build_optimizer(nets, self.train_config, dtype=dtype)

    def adapt_weights(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert another run's weights to this module's names and shapes; unchanged by default."""
        return source

    # ---- EMA of the weights

    def update_ema(self) -> None:
        """Move the EMA towards the networks; on local shards, without communication."""
        # Warm-up: at the full decay random initial weights would dominate the EMA for 1 / (1 - decay) steps.
        decay = min(self.train_config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, average in self.ema.items():
            move_towards(average, getattr(self, name), 1 - decay)

    def reset_ema(self) -> None:
        """Set the EMA to the networks' current weights."""
        for name, average in self.ema.items():
            copy_weights(average, getattr(self, name))

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["val_history"] = list(self.val_history)
        checkpoint["val_metrics"] = dict(self.val_metrics)
        checkpoint |= self.faults_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.val_history = list(checkpoint.get("val_history", []))
        self.val_metrics = dict(checkpoint.get("val_metrics", {}))
        self.forget_step()  # sharded tensors are loaded without load_state_dict and its hook
        self.load_faults_state(checkpoint)

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        self._val_means = ValidationMeans(self.device, self.trainer.world_size if self._distributed else 1)

    def update_val_mean(self, name: str, values_B: Tensor) -> None:
        """Add one number per sample to the mean that is reported as `name`."""
        self._val_means.update(name, values_B)

    def on_validation_epoch_end(self) -> None:
        self.val_metrics = self._val_means.compute()
        if self.val_metric in self.val_metrics:
            self.val_history.append(self.val_metrics[self.val_metric])
