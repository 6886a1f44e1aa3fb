"""Train one stage of the audio model (Movie Gen, sec. 6.1): pretraining or finetuning."""

from src.experiments.flow_stage import train_stage
from src.runs.audio_config import AudioRunConfig
from src.runs.modules import build_audio_module
from src.streaming.datamodule import MediaDataModule
from src.streaming.schema.bucket import DataError


def run(config: AudioRunConfig) -> None:
    """Train the stage to its end; resumes from its newest checkpoint."""
    train_stage(
        config,
        build_audio_module,
        lambda: [],
        check_data=lambda data: check_latents(data, config),
        allow_new=("video.",),  # a model of text alone learns to follow videos
        allow_other=config.allow_other_codec,
    )


def check_latents(data: MediaDataModule, config: AudioRunConfig) -> None:
    """Compare the data sets of all streams with the model.

    Raises:
        DataError: a data set holds no audio latents, latents of another rate or other channels, or other
            features of videos than the model reads.
    """
    channels = config.transformer.latent_channels
    for part, streams in (("streams", config.data.streams), ("val", config.data.val)):
        for name, stream in streams.items():
            if not stream.path:
                continue  # the loaders report it
            key, dataset = f"data.{part}.{name}: {stream.path}", data.dataset(stream.path)
            if dataset.info.kind != "audio_latents":
                raise DataError(
                    f"{key} holds {dataset.info.kind}, expected audio latents of encode_latents codec=RUN"
                )
            for bucket in dataset.readers:
                record = dataset.latents(bucket, 0)
                if config.flags_captions and not dataset.info.provenance.get("flags_captions"):
                    raise DataError(
                        f"{key} has no captions without descriptions; encode with flags_captions=true"
                    )
                found = record.moments_2CTHW.shape[0] // 2
                if record.latent_rate != config.latent_rate:
                    raise DataError(
                        f"{key} has {record.latent_rate:g} latent frames per second, the model latent_rate="
                        f"{config.latent_rate:g}; encode with a codec of the model's rate"
                    )
                if found != channels:
                    raise DataError(
                        f"{key} has latents of {found} channels, the model "
                        f"transformer.latent_channels={channels}"
                    )
                video = {"frames": record.frames_TCHW, "features": record.features_TD}
                _check_video(
                    f"{key}/{bucket}", config, {k: v.shape for k, v in video.items() if v is not None}
                )


def _check_video(where: str, config: AudioRunConfig, found: dict[str, tuple[int, ...]]) -> None:
    v = config.video
    if v.source == "none" or not found:
        return
    if v.source not in found:
        raise DataError(
            f"{where} stores {', '.join(found)} of its videos, the model reads video.source={v.source}"
        )
    if v.source == "features" and found["features"][1] != v.feature_dim:
        raise DataError(
            f"{where} has {found['features'][1]} features of a frame, video.feature_dim={v.feature_dim}"
        )
    if v.source == "frames" and found["frames"][2:] != (v.height, v.width):
        height, width = found["frames"][2:]
        raise DataError(
            f"{where} has frames of {height}x{width}, the model video.height={v.height} video.width={v.width}"
        )
