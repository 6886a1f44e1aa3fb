"""Train one stage of the video model (Movie Gen, sec. 3.1.2): text-to-image, joint, or finetuning."""

from pathlib import Path

from rich.console import Console

from src.core.errors import UserError
from src.core.launch import is_first_rank
from src.inference.sample import sample_latents
from src.runs import latents, loading, run_directory
from src.runs.config import VideoRunConfig
from src.runs.modules import build_video_module
from src.streaming.collate import with_fps
from src.streaming.datamodule import MediaDataModule
from src.streaming.reader import Dataset
from src.training.callbacks.samples import SampleVideos
from src.training.checkpoint_paths import last_checkpoint
from src.training.init_weights import InitFrom
from src.training.trainer import fit


def run(config: VideoRunConfig) -> None:
    """Train the stage to its end; resumes from its newest checkpoint."""
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config):
        module = build_video_module(config)
        module.set_latent_statistics(*latents.read_statistics(Path(config.latents)))
        data = MediaDataModule(
            config.data,
            config.train.seed,
            num_steps=config.train.max_steps,
            keys=latents.expected_latent_keys(config),
            rebuild_command="the latents stage again with overwrite=true",
        )
        if is_first_rank():
            Console(highlight=False).print(data.report())
        callbacks = [sample_videos(config)] if config.train.sample_every else []
        key, resume, init_from = latents.tae_key(config), last_checkpoint(run_dir), None
        if resume is not None:
            advice = "give another run_dir=... or encode them with that TAE"
            latents.refuse_other_tae(f"run_dir={run_dir}", resume, config.latents, key, advice)
        elif config.start_from:
            init_from = start_of(config, key)
        fit(
            module,
            data,
            config.train,
            run_dir,
            init_from=init_from,
            label=config.name,
            metadata={"tae_key": key},
            callbacks=callbacks,
        )


def start_of(config: VideoRunConfig, tae_key: str) -> InitFrom:
    """Return which weights of `start_from` a stage takes over.

    Args:
        tae_key: key of the TAE that encoded the stage's latents.

    Raises:
        UserError: the source was trained on latents of another TAE, and the config does not allow it.
    """
    keep: tuple[str, ...] = ()
    if config.allow_other_tae:
        keep = ("latent_mean_C", "latent_std_C")  # the source's describe other latents
    else:
        setting, advice = (
            f"start_from={config.start_from}",
            "give latents of that TAE or allow_other_tae=true",
        )
        latents.refuse_other_tae(setting, Path(config.start_from), config.latents, tae_key, advice)
    return InitFrom(
        Path(config.start_from),
        config.start_use,
        # A text-to-video model learns to take a first frame: that layer is new, and starts at zero.
        allow_new=("transformer.cond_embed.",) if config.transformer.cond_channels else (),
        keep=keep,
        position_growth=config.position_growth,
        with_optimizer=config.start_optimizer,
    )


def sample_videos(config: VideoRunConfig) -> SampleVideos:
    """Return the callback that samples videos of the size of the largest validation bucket.

    Prompts are those of the config, or captions of the validation data.

    Raises:
        UserError: the TAE is not the one that encoded the latents.
    """
    val = next(iter((config.data.val or config.data.streams).values()))
    dataset = Dataset(val.path)
    tae_run = config.tae or dataset.info.provenance["tae"]
    tae, key = loading.load_tae(Path(tae_run))
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
        lambda latents_BCTHW, num_frames: tae.decode(latents_BCTHW.cpu(), num_frames),
        prompts,
        tae.latent_shape(bucket.num_frames, bucket.height, bucket.width),
        num_frames=bucket.num_frames,
        every=config.train.sample_every,
        last_step=config.train.max_steps,
    )
