"""Export the weights of a run to one safetensors file."""

from pathlib import Path

from rich.console import Console

from src.core import config
from src.core.errors import UserError
from src.inference.config import ExportConfig
from src.parallel import safetensors_io
from src.runs import loading
from src.training.checkpoint_paths import CHECKPOINT_NAME, checkpoint_step, find_checkpoint


def export(settings: ExportConfig) -> Path:
    """Write the file; return its path.

    Raises:
        UserError: no such run, a run of another kind, or an existing file.
    """
    run = Path(settings.run)
    out = Path(settings.out or f"{loading.run_folder(run)}{safetensors_io.SUFFIX}")
    if out.suffix != safetensors_io.SUFFIX:
        raise UserError(f"out={settings.out}: must end in {safetensors_io.SUFFIX}")
    checkpoint, text = find_checkpoint(run), loading.read_config_text(run)
    if checkpoint.suffix == safetensors_io.SUFFIX:
        raise UserError(f"run={run}: is exported already")
    kind = config.read_text(text).get("experiment")
    if kind not in ("tae", "video"):
        raise UserError(f"run={run}: expected a tae or video run, got {kind}")
    tensors = safetensors_io.read_weights(checkpoint, settings.use)
    step = checkpoint_step(checkpoint) if CHECKPOINT_NAME.fullmatch(checkpoint.name) else 0
    header = safetensors_io.Header(
        config=text,
        use=settings.use,
        step=step,
        source=str(checkpoint),
        tae_key=loading.stored_tae_key(checkpoint),
    )
    safetensors_io.write_weights(out, tensors, header)
    num_values = sum(tensor.numel() for tensor in tensors.values())
    Console(highlight=False).print(
        f"{out}: {len(tensors)} tensors, {num_values:,} values, {settings.use} weights of {checkpoint}",
        soft_wrap=True,
    )
    return out
