"""One stage of the video model: text-to-image, joint, or finetuning; stages differ in numbers only."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from src.core.fields import opt
from src.experiments import encode_latents
from src.models.text import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer import TransformerConfig
from src.runs import loading, run_directory
from src.streaming.datamodule import DataConfig, MediaData
from src.streaming.reader import Dataset
from src.streaming.schema import latent_key, read_info
from src.training.config import TrainConfig, Use
from src.training.modules.video import VideoModule
from src.training.modules.video_config import FlowConfig
from src.training.trainer import Start, fit


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Films shown in TensorBoard while training."""

    prompts: tuple[str, ...] = opt((), "prompts, FPS prefix included; empty: captions of validation films")
    number: int = opt(4, "how many films to make where no prompts are given")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One stage."""

    experiment: str = opt("video", "kind of run")
    name: str = opt("???", "what the run is called")
    run_dir: str = opt("runs/${name}", "where checkpoints and curves go")
    latents: str = opt("???", "run directory of the encoded data set")
    tae: str = opt("", "run directory of the TAE that decodes sample films; empty: the latents' own")
    start_from: str = opt("", "run, checkpoint or exported file whose weights this stage starts from")
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    transformer: TransformerConfig = opt(TransformerConfig(), "the transformer")
    text: ByteEncoderConfig = opt(ByteEncoderConfig(), "the text encoder that is trained along")
    encoders: dict[str, FrozenTextConfig] = opt(
        {}, "frozen text encoders by name, as the latents were encoded with; any replaces `text`"
    )
    flow: FlowConfig = opt(FlowConfig(), "objective and sampling")
    data: DataConfig = opt(DataConfig(), "streams of latents")
    train: TrainConfig = opt(TrainConfig(), "steps and optimiser")
    samples: SamplesConfig = opt(SamplesConfig(), "films in TensorBoard")

    def __post_init__(self) -> None:
        for name, stream in self.data.streams.items():
            if stream.pack:
                self._check_packed(f"data.streams.{name}", stream.batch_size)

    def _check_packed(self, key: str, least: int) -> None:
        parts = self.train.micro_batches * self.train.parallel.world_size
        if least < parts:
            raise ValueError(
                f"{key}.batch_size must be at least {parts} with pack=true, a film for each of "
                f"train.micro_batches on each process, got {least}"
            )
        if self.flow.first_frame:
            raise ValueError(f"{key}.pack=true does not go with flow.first_frame={self.flow.first_frame}")
        if self.train.parallel.compile_blocks:
            raise ValueError(
                f"{key}.pack=true gives every step other shapes and does not go with "
                "train.parallel.compile_blocks=true"
            )


def run(config: Config) -> None:
    """Train the stage to its end; resumes by itself."""
    run_dir = Path(config.run_dir)
    with run_directory.opened(run_dir, config):
        module = build_module(config)
        module.set_latent_statistics(*encode_latents.read_statistics(Path(config.latents)))
        data = MediaData(
            config.data,
            config.train.seed,
            num_steps=config.train.max_steps,
            keys=fresh_keys(config),
            renew="the latents stage again with renew=true",
        )
        if run_directory.is_first_rank():
            Console(highlight=False).print(data.report())
        if config.train.sample_every:
            prepare_samples(module, config)
        start = None
        if config.start_from:
            # A model of films from text learns to take a known frame: that layer is new, and zero.
            new = ("transformer.known_in.",) if config.transformer.known_channels else ()
            start = Start(Path(config.start_from), config.start_use, new)
        fit(module, data, config.train, run_dir, start=start, label=config.name)


def build_module(config: Config) -> VideoModule:
    """The stage's module, its networks not built yet."""
    return VideoModule(config.transformer, config.text, config.flow, config.train, config.encoders)


def fresh_keys(config: Config) -> dict[str, str]:
    """The key that each stream's latents would have if they were encoded now."""
    keys: dict[str, str] = {}
    encoders: dict[str, str] = {}
    for stream in (*config.data.streams.values(), *config.data.val.values()):
        if not (Path(stream.path) / "dataset.json").is_file():
            continue  # the loader says what is missing
        made = read_info(stream.path).provenance
        pixels, tae = made.get("pixels", ""), made.get("tae", "")
        if not (Path(pixels) / "dataset.json").is_file() or not Path(tae).exists():
            continue  # latents moved to another machine without what they were made from
        if tae not in encoders:
            encoders[tae] = loading.load_tae(Path(tae))[1]
        readers = {name: FrozenTextConfig(**each) for name, each in made.get("text", {}).items()}
        if all(Path(reader.path).is_dir() for reader in readers.values()):
            encoder = encode_latents.cache_key(
                encoders[tae], encode_latents.load_encoders(readers), made.get("first_frames", False)
            )
            keys[stream.path] = latent_key(read_info(pixels).content, encoder)
    return keys


def prepare_samples(module: VideoModule, config: Config) -> None:
    """Give the module what it needs to show films: a decoder, prompts, and a shape."""
    from src.streaming.collate import with_fps

    val = next(iter((config.data.val or config.data.streams).values()))
    dataset = Dataset(val.path)
    tae = config.tae or dataset.info.provenance["tae"]
    model, _ = loading.load_tae(Path(tae))
    bucket = max(dataset.buckets, key=lambda b: (b.num_frames, b.height * b.width))
    if all(s.frames == "images" for s in config.data.streams.values()):
        bucket = min(dataset.buckets, key=lambda b: b.num_frames)
    module.decoder = lambda latent_BCTHW, num_frames: model.decode(latent_BCTHW.to("cpu"), num_frames)
    module.sample_shape_CTHW = model.latent_shape(bucket.num_frames, bucket.height, bucket.width)
    module.sample_frames = bucket.num_frames
    prompts = list(config.samples.prompts)
    for index in range(0 if prompts else config.samples.number):
        record = dataset.latents(bucket.name, index)
        prompts.append(record.captions[0] if bucket.is_image else with_fps(record.captions[0], record.fps))
    module.sample_prompts = prompts
