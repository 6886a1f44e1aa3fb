"""Choice of the device that a command computes on."""

import torch

from src.core.errors import UserError


def resolve_device(name: str) -> torch.device:
    """Return a usable device: `auto` is CUDA if available, else the CPU.

    Raises:
        UserError: unknown device, or one that this machine or this build of torch does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)  # a missing device fails here, not after minutes of loading
        return device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        raise UserError(f"device={name}: {' '.join(str(error).split())[:200]}") from error
