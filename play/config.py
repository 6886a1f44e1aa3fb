"""Settings of the page; imports no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.training.config import Precision


@dataclass(frozen=True, kw_only=True)
class PlayConfig(Config):
    """Settings of `python -m play`."""

    run: str = opt("weights/small", "folder of weights, run directory, checkpoint or exported file")
    tae: str = opt("", "run or exported file of the TAE; empty: the one of the run")
    audio: str = opt("", "audio model for the videos; empty: audio.safetensors of the folder, if there")
    device: str = opt("auto", "auto (CUDA if available), cpu, cuda or cuda:N")
    precision: Precision = opt("bf16", "fp32 or bf16 (where the device has it)")
    out: str = opt("runs/play", "folder of the videos; those of an earlier start are kept")
    host: str = opt("127.0.0.1", "address to listen at; only this machine by default")
    port: int = opt(8765, "port, 0 for a free one", ge=0, le=65535)
    num_predictions: int = opt(8, "steps of sampling whose expected videos are shown", ge=0, le=50)
