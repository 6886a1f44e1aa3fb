"""Train one stage of the video model (Movie Gen, sec. 3.1.2): text-to-image, joint, or finetuning."""

from pathlib import Path

from src.core.errors import UserError
from src.experiments.flow_stage import train_stage
from src.inference.device import resolve_device
from src.inference.sample import sample_latents
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.runs.modules import build_video_module
from src.streaming.collate import with_fps
from src.streaming.reader import Dataset
from src.training.callbacks.samples import SampleVideos


def run(config: VideoRunConfig) -> None:
    """Train the stage to its end; resumes from its newest checkpoint."""
    train_stage(
        config,
        build_video_module,
        lambda: [sample_videos(config)] if config.train.sample_every else [],
        # A text-to-video model learns to take a first frame: that layer is new, and starts at zero.
        allow_new=("transformer.cond_embed.",) if config.transformer.cond_channels else (),
        allow_other=config.allow_other_tae,
        position_growth=config.position_growth,
    )


def sample_videos(config: VideoRunConfig) -> SampleVideos:
    """Return the callback that samples videos of the size of the largest validation bucket.

    Prompts are those of the config, or captions of the validation data.

    Raises:
        UserError: the TAE is not the one that encoded the latents.
    """
    val = next(iter((config.data.val or config.data.streams).values()))
    dataset = Dataset(val.path, storage=config.data.storage)
    tae_run = config.tae or dataset.info.provenance["tae"]
    device = resolve_device(config.samples.device)
    tae, key = loading.load_autoencoder(Path(tae_run))
    latents_key = dataset.info.provenance.get("tae_key", key)
    if latents_key != key:
        raise UserError(
            f"tae={tae_run}: key {key[:12]}, but {val.path} was encoded by a TAE with key {latents_key[:12]}"
        )
    bucket = max(dataset.buckets, key=lambda b: (b.num_frames, b.height * b.width))
    if all(s.media == "images" for s in config.data.streams.values()):
        bucket = min(dataset.buckets, key=lambda b: b.num_frames)
    prompts = list(config.samples.prompts)
    for index in range(0 if prompts else config.samples.number):
        record = dataset.latents(bucket.name, index)
        prompts.append(record.captions[0] if bucket.is_image else with_fps(record.captions[0], record.fps))
    return SampleVideos(
        sample_latents,
        lambda latents_BCTHW, num_frames: tae.to(device).decode(latents_BCTHW.to(device), num_frames),
        prompts,
        tae.latent_shape(bucket.num_frames, bucket.height, bucket.width),
        num_frames=bucket.num_frames,
        every=config.train.sample_every,
        last_step=config.train.max_steps,
    )
