"""Train the contrastive audio-video-text model on encoded audio with its videos."""

from pathlib import Path

from rich.console import Console

from src.core.launch import is_first_rank
from src.runs import latents, run_directory
from src.runs.contrastive_config import ContrastiveRunConfig
from src.streaming.datamodule import MediaDataModule
from src.streaming.schema.bucket import DataError
from src.training.modules.contrastive import ContrastiveModule
from src.training.trainer import fit


def run(config: ContrastiveRunConfig) -> None:
    """Train to the end; resumes from the newest checkpoint."""
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config):
        module = ContrastiveModule(config.model, config.train)
        module.set_latent_statistics(
            *latents.read_statistics(config.latents, "audio_latents", config.data.storage)
        )
        data = MediaDataModule(config.data, config.train.seed, num_steps=config.train.max_steps)
        check_frames(data, config)
        if is_first_rank():
            Console(highlight=False).print(data.report())
        fit(module, data, config.train, run_dir, label=config.name)


def check_frames(data: MediaDataModule, config: ContrastiveRunConfig) -> None:
    """Compare the frames of all streams with the model.

    Raises:
        DataError: a data set holds no audio latents, no frames, or frames of another size.
    """
    video = config.model.video
    for part, streams in (("streams", config.data.streams), ("val", config.data.val)):
        for name, stream in streams.items():
            if not stream.path:
                continue  # the loaders report it
            key, dataset = f"data.{part}.{name}: {stream.path}", data.dataset(stream.path)
            if dataset.info.kind != "audio_latents":
                raise DataError(f"{key} holds {dataset.info.kind}, expected audio latents with frames")
            for bucket in dataset.readers:
                frames = dataset.latents(bucket, 0).frames_TCHW
                found = None if frames is None else tuple(frames.shape[2:])
                if found != (video.height, video.width):
                    raise DataError(
                        f"{key}/{bucket} has {'no frames' if found is None else f'frames of {found}'}, the "
                        f"model model.video.height={video.height} and width={video.width}"
                    )
