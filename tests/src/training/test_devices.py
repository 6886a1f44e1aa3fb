"""Every training step on a device that is not the CPU, without one.

Two stand-ins, since each lacks a part: fake CUDA tensors have no backward pass without a driver (gradients
are constants here), and the meta device has neither fused optimizers nor autocast.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from src.models.tae.config import TAEConfig
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.streaming.batch import Batch, LatentBatch
from src.training.modules.base import TrainingModule
from src.training.modules.video import VideoModule
from src.training.modules.video_config import VideoFlowConfig
from src.training.skipped_steps import GradientStep
from tests.fixtures.toy_modules import ToyClips, ToyLatents, tae_module, train_config, video_module

ROOT = Path(__file__).resolve().parents[3]
aten = torch.ops.aten

# Where the host waits for the device, and why it has to.
PACKED = {"src/models/transformer/packing.py:pack_text"}  # lengths of the texts: shapes of what follows

# Samples that fill up a batch are left out by a mask: one wait per loss, in validation only.
VALIDATION = {"src/training/modules/video_model.py:validation_losses"}
VALIDATION_TAE = {"src/training/modules/tae.py:validation_step"}

Case = tuple[Callable[[], TrainingModule], Callable[[], Batch], set[str]]


class DeviceRecorder(TorchDispatchMode):
    """Records waits for the device, and operations on tensors of several devices, by place in the code.

    A tensor without dimensions on the CPU would mix with any device without an error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: set[str] = set()
        self.mixed: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        devices = {each.device.type for each in tensors}
        if devices <= {"cpu"}:
            if func is aten._local_scalar_dense.default and "Fake" in type(args[0]).__name__:
                return 0.5 if args[0].is_floating_point() else 1
            return func(*args, **kwargs)
        if func is aten._local_scalar_dense.default:
            self.waits.add(place())
            return 1.0 if args[0].is_floating_point() else 1
        if func is aten._to_copy.default and torch.device(kwargs.get("device") or "meta").type == "cpu":
            self.waits.add(place())
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and args[0].device.type == "cpu":
            self.waits.add(place())
            return args[0]
        if func is aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.waits.add(place())
            return args[0].flatten(0, args[1][0].dim() - 1).clone()  # as if all were True
        if func in (aten.nonzero.default, aten.masked_select.default):
            raise AssertionError(f"{place()}: {func} waits for the device")
        if len(devices) > 1 and func not in (aten._to_copy.default, aten.copy_.default):
            self.mixed.add(f"{place()}: {func}")
        return func(*args, **kwargs)


def place() -> str:
    """Return the innermost place in src."""
    frame: Any = sys._getframe()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT / "src"):
            return f"{path.relative_to(ROOT)}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "outside of src"


def latents(**changes: Any) -> LatentBatch:
    return replace(ToyLatents(0, 1)[0], captions=[""] * 4, **changes)


def packed() -> LatentBatch:
    batch = latents()
    return replace(batch, mean_BCTHW=list(batch.mean_BCTHW), std_BCTHW=list(batch.std_BCTHW))


def with_frozen_text() -> LatentBatch:
    return latents(text={"t5": (torch.ones(4, 3, 8), torch.ones(4, 3, dtype=torch.bool))})


def frozen_text_module() -> VideoModule:
    config = TransformerConfig(
        hidden_size=32, depth=1, num_heads=2, ffn_dim=32, time_dim=16, latent_channels=4, context_dim=16
    )
    flow = VideoFlowConfig(encoder_drop_prob=0.5)
    return VideoModule(config, ByteEncoderConfig(), flow, train_config(), {"t5": FrozenTextConfig(dim=8)})


def image_to_video_module() -> VideoModule:
    module = video_module(train_config(), cond_channels=5)
    module.flow_config = replace(module.flow_config, first_frame_prob=0.5)
    return module


def tae(**changes: Any) -> Callable[[], TrainingModule]:
    train = train_config(num_micro_batches=changes.pop("num_micro_batches", 1))
    levels = {"channels": (4, 8), "spatial_down": (2,), "temporal_down": (2,)}
    config = TAEConfig(**levels, num_blocks=1, num_decoder_blocks=1, latent_channels=4, num_norm_groups=4)
    return lambda: tae_module(train, config, **{"gan_start": 0, **changes})


CASES: dict[str, Case] = {
    "byte text": (lambda: video_module(train_config()), latents, set()),
    "muon": (lambda: video_module(train_config(optimizer="muon")), latents, set()),
    "frozen text": (frozen_text_module, with_frozen_text, set()),
    "image-to-video": (image_to_video_module, lambda: latents(first_BC1HW=torch.ones(4, 4, 1, 4, 4)), set()),
    "packed": (lambda: video_module(train_config()), packed, PACKED),
    "tae": (tae(gan_weight=0.0), lambda: ToyClips(0, 1)[0], set()),
    "adversary": (tae(adaptive_gan_weight=False), lambda: ToyClips(0, 1)[0], set()),
    "adaptive adversary": (tae(gradient_weight=0.5, mse_weight=1.0), lambda: ToyClips(0, 1)[0], set()),
    "micro-batches": (tae(num_micro_batches=2), lambda: ToyClips(0, 1)[0], set()),
}


def move(module: TrainingModule, device: str) -> None:
    """Replace all tensors of a module; `Module.to` cannot turn real tensors into fake ones."""
    for each in module.modules():
        for name, p in each._parameters.items():
            if p is not None:
                moved = torch.empty(p.shape, dtype=p.dtype, device=device)
                each._parameters[name] = torch.nn.Parameter(moved, requires_grad=p.requires_grad)
        for name, buffer in each._buffers.items():
            if buffer is not None:
                each._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    module._device = torch.device(device)  # type: ignore[assignment]  # what Lightning reports


def take_step(module: TrainingModule, batch: Batch) -> None:
    built: Any = module.configure_optimizers()
    first, *others = built if isinstance(built, list) else [built]
    wrapped = [first, *(SimpleNamespace(optimizer=each) for each in others)]
    with mock.patch.object(module, "optimizers", return_value=wrapped if others else first):
        module.training_step(batch, 0)
        module.update_ema()


@contextmanager
def constant_gradients(module: TrainingModule) -> Iterator[None]:
    for p in module.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None

    def ones(_: Any, inputs: Any, **__: Any) -> list[Tensor]:
        return [torch.ones_like(each) for each in (inputs if isinstance(inputs, list | tuple) else [inputs])]

    def nothing(*_: Any, **__: Any) -> None:
        pass

    with (
        mock.patch("torch.autograd.grad", ones),
        mock.patch("torch.autograd.backward", nothing),
        mock.patch("torch.Tensor.backward", nothing),
        mock.patch.object(module, "manual_backward", nothing),
    ):
        yield


def tokenize_on_cpu(module: TrainingModule) -> Any:
    """The tokenizer writes through numpy, which reads no fake tensors."""
    text = getattr(module, "text", None)
    if not hasattr(text, "tokenize"):
        return nullcontext()
    tokenize = text.tokenize

    def real(texts: list[str]) -> tuple[Tensor, Tensor]:
        with unset_fake_temporarily():
            return tokenize(texts)

    return mock.patch.object(text, "tokenize", real)


@pytest.mark.parametrize("case", CASES)
def test_step_on_fake_cuda(case: str) -> None:
    """Forward pass, clipping, optimizer and EMA."""
    new_module, new_batch, waits = CASES[case]
    module, batch = new_module(), new_batch()
    module.configure_model()
    assert module.step == 0  # read once, before training
    recorder = DeviceRecorder()
    with FakeTensorMode(allow_non_fake_inputs=True), recorder:
        move(module, "cuda:0")
        with tokenize_on_cpu(module), constant_gradients(module):
            take_step(module, batch.to("cuda:0"))
    assert recorder.mixed == set()
    assert recorder.waits == waits
    assert module.step == 1


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("muon", "tae")])  # parts of others
def test_gradients_on_meta(case: str) -> None:
    """Forward and backward pass; every parameter gets a gradient on the device."""
    new_module, new_batch, waits = CASES[case]
    module, batch = new_module(), new_batch()
    module.configure_model()
    assert module.step == 0
    recorder = DeviceRecorder()
    applied: list[torch.optim.Optimizer] = []

    def apply_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> GradientStep:
        applied.append(optimizer)
        zero = torch.zeros((), device="meta")
        return GradientStep(zero, zero, zero)

    with ExitStack() as stack:
        stack.enter_context(no_autocast())
        stack.enter_context(mock.patch.object(module, "manual_backward", torch.Tensor.backward))
        stack.enter_context(mock.patch.object(module, "apply_gradients", apply_gradients))
        stack.enter_context(mock.patch("src.training.modules.base.build_optimizer", plain_adamw))
        stack.enter_context(recorder)
        move(module, "meta")
        take_step(module, batch.to("meta"))
    assert recorder.mixed == set()
    assert recorder.waits == waits
    for optimizer in applied:
        assert {p.grad.device.type for group in optimizer.param_groups for p in group["params"]} == {"meta"}


@pytest.mark.parametrize("case", ["byte text", "frozen text", "image-to-video", "tae"])
def test_validation_on_meta(case: str) -> None:
    new_module, new_batch, _ = CASES[case]
    module, batch = new_module(), new_batch()
    module.configure_model()
    with no_autocast(), torch.no_grad(), DeviceRecorder() as recorder:
        move(module, "meta")
        module.on_validation_epoch_start()
        module.validation_step(batch.to("meta"), 0)
        during = set(recorder.waits)
        module.on_validation_epoch_end()
    assert recorder.mixed == set()
    assert during == (VALIDATION_TAE if case == "tae" else VALIDATION)
    assert recorder.waits - during == {"src/training/modules/validation_means.py:compute"}


@contextmanager
def no_autocast() -> Iterator[None]:
    """Autocast does not know the meta device."""
    with (
        mock.patch("torch.autocast", return_value=nullcontext()),
        mock.patch("torch.is_autocast_enabled", return_value=False),
    ):
        yield


def plain_adamw(nets: list[torch.nn.Module], *_: Any, **__: Any) -> torch.optim.Optimizer:
    """Fused optimizers do not know the meta device."""
    return torch.optim.AdamW([p for net in nets for p in net.parameters()], foreach=False)
