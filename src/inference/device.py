"""Choice of the device and of the attention kernel that a command computes with."""

import importlib.util

import torch

from src.core.errors import UserError
from src.core.launch import local_rank, world_size
from src.models.nn.config import AttentionBackend


def resolve_device(name: str) -> torch.device:
    """Return a usable device: `auto` is CUDA if available, else the CPU.

    Of several processes on a node each takes the GPU of its local rank, unless one is named.

    Raises:
        UserError: unknown device, or one that this machine or this build of torch does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and world_size() > 1:
        name = f"cuda:{local_rank()}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)  # a missing device fails here, not after minutes of loading
        return device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        raise UserError(f"device={name}: {' '.join(str(error).split())[:200]}") from error


def resolve_attention(backend: AttentionBackend, device: torch.device) -> tuple[AttentionBackend, str]:
    """Return a backend that works on a device, and one line where it is not the one asked for.

    Weights do not depend on the backend: a model that was trained with flash-attn runs anywhere.
    """
    if backend != "flash" or (device.type == "cuda" and importlib.util.find_spec("flash_attn")):
        return backend, ""
    missing = "the package flash-attn" if device.type == "cuda" else f"a GPU, and this is {device}"
    return "auto", f"attention=flash needs {missing}; attention=auto is used"
