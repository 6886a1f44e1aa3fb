"""Export a contrastive run as the programs that the evaluation and curation read: audio in, features out.

Legend: B = 1, C channels, S samples, T frames, H height, W width, D features.
"""

import json
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.inference.config import ExportConfig
from src.models.codec.model import Codec
from src.models.contrastive.model import ContrastiveModel
from src.runs import loading
from src.runs.contrastive_config import ContrastiveRunConfig
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import read_info
from src.training.checkpoint_paths import find_checkpoint


class AudioProgram(nn.Module):
    """Maps samples [1, S] at the codec's rate to the features of their segments [1, D]."""

    def __init__(self, codec: Codec, model: ContrastiveModel, mean_C: Tensor, std_C: Tensor) -> None:
        super().__init__()
        self.codec, self.model = codec, model
        self.mean_C1, self.std_C1 = mean_C[:, None], std_C[:, None]

    def forward(self, samples_BS: Tensor) -> Tensor:
        latent_BCL = self.codec.encode(samples_BS[:, None]).mode()
        return self.model.encode_audio((latent_BCL - self.mean_C1) / self.std_C1)[0]


class VideoProgram(nn.Module):
    """Maps frames [1, T, C, H, W] in [-1, 1] to the features of their segments [1, D]."""

    def __init__(self, model: ContrastiveModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames_BTCHW: Tensor) -> Tensor:
        return self.model.encode_video(frames_BTCHW)[0]


@torch.no_grad()
def export_programs(settings: ExportConfig) -> Path:
    """Write programs of both towers and contract.json (docs/evaluation.md) into a folder; return it.

    The contract names the checkpoint's hash, by which another export of it is recognized.

    Raises:
        UserError: no folder, no such run or codec, or a codec of two channels.
    """
    run = Path(settings.run)
    out = Path(settings.out or loading.run_folder(run) / "programs")
    if out.suffix:
        raise UserError(f"out={settings.out}: programs are written into a folder, which has no suffix")
    config = loading.load_run_config(ContrastiveRunConfig, run)
    tensors = loading.read_weights(run, settings.use)
    weights = loading.strip_prefix(tensors, "contrastive")
    model = ContrastiveModel(config.model)
    loading.load_state(model, weights, run)
    codec, _ = loading.load_codec(Path(settings.codec or _codec_of(config)))
    if codec.config.num_channels != 1:
        raise UserError(f"codec={settings.codec}: has 2 channels; the programs take mono")
    audio = AudioProgram(codec, model, tensors["latent_mean_C"], tensors["latent_std_C"]).eval()
    video = VideoProgram(model).eval()
    num_frames, rate = round(settings.seconds * settings.fps), codec.config.sample_rate
    height, width = config.model.video.height, config.model.video.width
    if height != width:
        raise UserError(f"run={run}: frames of {height}x{width}; the programs take squares")
    examples = {
        "audio": (audio, torch.randn(1, round(settings.seconds * rate)) * 0.1),
        "video": (video, torch.randn(1, num_frames, 3, height, width).clamp(-1, 1)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, (program, example) in examples.items():
        exported = torch.export.export(program, (example,))
        with atomic_write(out / f"{name}.pt2") as temporary, temporary.open("wb") as file:
            torch.export.save(exported, file)
    half = (0.5, 0.5, 0.5)
    contract = {
        "model": f"{config.name}, weights sha256 {loading.tensors_sha256(weights)}",
        "audio": {"program": "audio.pt2", "rate": rate, "seconds": settings.seconds},
        "video": {
            "program": "video.pt2", "num_frames": num_frames, "size": height, "mean": half, "std": half,
            "fps": settings.fps,
        },
    }  # fmt: skip
    with atomic_write(out / "contract.json") as temporary:
        temporary.write_text(json.dumps(contract, indent=1), encoding="utf-8")
    text = f"{out}: audio.pt2, video.pt2, contract.json of {find_checkpoint(run)}"
    Console(highlight=False).print(text, soft_wrap=True)
    return out


def _codec_of(config: ContrastiveRunConfig) -> str:
    """Return the run of the codec that encoded a run's latents."""
    try:
        return str(read_info(next(iter(config.data.streams.values())).path).provenance["codec"])
    except (DataError, KeyError, StopIteration) as error:
        raise UserError(
            f"latents={config.latents}: its codec is unknown; give codec=... ({error})"
        ) from error
