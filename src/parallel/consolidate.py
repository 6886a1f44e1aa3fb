"""A sharded checkpoint as one file: `python -m src.parallel.consolidate CHECKPOINT OUT [ema|raw]`.

OUT ending in .safetensors keeps weights only; any other ending keeps everything, as if one process
had written it. Reads either format.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from src import command_line
from src.errors import UserError
from src.parallel import storage

EMA_PREFIX = "ema."


def weights(checkpoint: Mapping[str, Tensor], use: str = "ema") -> dict[str, Tensor]:
    """The networks' weights without the training state: the averaged ones where there are any.

    Args:
        checkpoint: a checkpoint's `state_dict`.
        use: "ema" or "raw".
    """
    if use not in ("ema", "raw"):
        raise UserError(f"use must be ema or raw, got {use!r}")
    averaged = {k.removeprefix(EMA_PREFIX): v for k, v in checkpoint.items() if k.startswith(EMA_PREFIX)}
    plain = {k: v for k, v in checkpoint.items() if not k.startswith(EMA_PREFIX)}
    return plain if use == "raw" else {**plain, **averaged}


def consolidate(checkpoint: Path, out: Path, use: str = "ema") -> None:
    """Write `checkpoint` (either format) to one file."""
    payload = storage.read(checkpoint)
    if out.suffix != ".safetensors":
        storage.write_file(payload, out)
        return
    from safetensors.torch import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    save_file({k: v.contiguous() for k, v in weights(payload["state_dict"], use).items()}, temporary)
    temporary.replace(out)


def main(argv: list[str]) -> None:
    if len(argv) not in (2, 3):
        raise UserError("usage: python -m src.parallel.consolidate CHECKPOINT OUT [ema|raw]")
    consolidate(Path(argv[0]), Path(argv[1]), *argv[2:])


if __name__ == "__main__":
    sys.exit(command_line.run(main))
