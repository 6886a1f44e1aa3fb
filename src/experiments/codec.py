"""Train an audio codec on prepared audio (Movie Gen, sec. 6)."""

from pathlib import Path

from rich.console import Console

from src.core.launch import is_first_rank
from src.models.codec.config import CodecConfig
from src.runs import run_directory
from src.runs.config import CodecRunConfig
from src.streaming.config import DataConfig
from src.streaming.datamodule import MediaDataModule
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import DataError
from src.streaming.schema.clip_audio import RATE
from src.streaming.schema.records import LatentRecord
from src.training.init_weights import InitFrom
from src.training.modules.codec import CodecModule
from src.training.trainer import fit

PTH = ".pth"  # of published checkpoints, whose shapes need not all agree


def run(config: CodecRunConfig) -> None:
    """Train to the end; resumes from the newest checkpoint."""
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config):
        module = CodecModule(config.model, config.losses, config.train, config.discriminator)
        data = MediaDataModule(config.data, config.train.seed, num_steps=config.train.max_steps)
        check_audio(data, config.data, config.model)
        if is_first_rank():
            Console(highlight=False).print(data.report())
        fit(module, data, config.train, run_dir, init_from=init_from(config), label=config.name)


def init_from(config: CodecRunConfig) -> InitFrom | None:
    """Return the weights to start from; what a published checkpoint lacks stays at its initialization.

    What is loaded, new and dropped is printed.
    """
    if not config.start_from:
        return None
    is_published = config.start_from.endswith(PTH)
    allow_new = ("codec.", "discriminator.", "latent_") if is_published else ("discriminator.",)
    return InitFrom(Path(config.start_from), "raw" if is_published else config.start_use, allow_new)


def check_audio(data: MediaDataModule, config: DataConfig, model: CodecConfig) -> None:
    """Compare the data sets of all streams with the codec.

    Raises:
        DataError: a data set holds no audio, or audio of another rate or other channels.
    """
    for part, streams in (("streams", config.streams), ("val", config.val)):
        for name, stream in streams.items():
            if not stream.path:
                continue  # the loaders report it
            key, dataset = f"data.{part}.{name}", data.dataset(stream.path)
            if dataset.info.kind == "latents" or (dataset.info.kind == "pixels" and stream.media != "audio"):
                raise DataError(
                    f"{key}: {stream.path} holds {dataset.info.kind}, expected audio; "
                    "media=audio takes the audio of prepared videos"
                )
            for bucket in stream.buckets or dataset.readers:
                if bucket not in dataset.readers:
                    continue  # the loaders report it
                record = dataset.readers[bucket][0]
                rate = record.sample_rate if isinstance(record, AudioRecord) else RATE
                audio_CS = None if isinstance(record, LatentRecord) else record.audio_CS
                if audio_CS is None:
                    continue  # an image, or a clip without audio: the loader names it if it is used
                channels = audio_CS.shape[0]
                if rate != model.sample_rate:
                    raise DataError(
                        f"{key}: {stream.path} is at {rate} Hz, the codec at model.sample_rate="
                        f"{model.sample_rate}; prepare the audio again at the codec's rate"
                    )
                if channels != model.num_channels:
                    raise DataError(
                        f"{key}: {stream.path}/{bucket} has {channels} channels, the codec "
                        f"model.num_channels={model.num_channels}; name other buckets or prepare it again"
                    )
