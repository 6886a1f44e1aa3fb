"""Config of `src.generate` with an audio model; importable without torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.inference.config import SamplerOverrides
from src.inference.long_audio_config import LongAudioConfig
from src.training.config import Precision, Use


@dataclass(frozen=True, kw_only=True)
class AudioSamplerOverrides(SamplerOverrides):
    """Fields of `AudioSamplerConfig` to change; null keeps the value of the run's own `flow.sampler`."""

    video_guidance_scale: float | None = opt(
        None, "guide video and text apart: the video's scale; guidance_scale is the text's then", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class GenerateAudioConfig(Config):
    """Settings of generating audio for videos, from text, or from both."""

    run: str = opt("???", "run directory, checkpoint or exported file of an audio model")
    codec: str = opt(
        "",
        "run or exported file of the codec; empty: the one that encoded the run's latents, or "
        "codec.safetensors in the "
        "folder of an exported run",
    )
    use: Use = opt("ema", "weights: ema or raw")
    videos: str = opt(
        "", "videos to give audio: a file, a folder, or a manifest (.jsonl) with `video` and `prompt`"
    )
    data: str = opt("", "videos of a prepared data set: the directory that holds dataset.json")
    id_prefixes: tuple[str, ...] = opt((), "data: only records whose id begins with one of these; empty: all")
    num_videos: int = opt(0, "data: number of records at most; 0: all", ge=0)
    captions: bool = opt(
        False, "read each record's first audio caption (data), or a manifest's `prompt` (videos), as text"
    )
    prompts: str = opt("", "without videos: file of prompts, .txt or .jsonl; prompt=... gives single ones")
    seconds: float = opt(0.0, "without videos: length of the audio; 0: as in training", ge=0)
    quality: float = opt(8.0, "quality that the caption of a plain prompt asks for, 1 to 10", ge=1, le=10)
    music_likelihood: float = opt(
        0.01,
        "without a prompt: likelihood of music that is stated, if the run has flags_captions",
        ge=0,
        le=1,
    )
    negative_prompt: str = opt("", "negative prompt of guidance; empty: the null condition of training")
    shuffled: bool = opt(False, "control: each video gets the audio of the next one")
    out: str = opt("", "output directory; empty: RUN/generated")
    overwrite: bool = opt(False, "replace the manifest and files of an earlier command in `out`")
    seed: int = opt(0, "seed of the first item; each further one takes the next")
    num_candidates: int = opt(1, "outputs of each item, with different seeds", ge=1)
    batch_size: int = opt(32, "items sampled together", ge=1)
    vision: str = opt(
        "", "video.source=features: directory of the image tower; empty: that of the run's latents"
    )
    device: str = opt("auto", "auto (CUDA if available), cpu, cuda or cuda:N")
    precision: Precision = opt("bf16", "fp32 or bf16 (where the device has it)")
    extend: str = opt("", "audio or video file whose audio is the beginning of what is generated")
    long: LongAudioConfig = opt(LongAudioConfig(), "audio longer than in training")
    original: Literal["replace", "keep", "mix"] = opt(
        "replace",
        "videos with audio: replace it; keep it, and generate for silent videos only; mix both",
    )
    original_gain_db: float = opt(0.0, "original=mix: gain of the original in dB")
    channels: int = opt(
        0,
        "channels of the output; 0: the codec's; 2 where the codec has 1 gives both channels the same",
        ge=0,
        le=2,
    )
    loudness_lufs: float | None = opt(
        None, "integrated loudness of the output, as far as its peaks allow; null: as generated", le=0
    )
    audio_format: Literal["wav", "flac"] = opt("wav", "audio files: 32-bit float WAV or 24-bit FLAC")
    video_audio: Literal["aac", "flac"] = opt("aac", "audio of the videos: AAC, or FLAC without loss")
    crf: int = opt(8, "H.264 quality of the videos, 0 (lossless) to 51", ge=0, le=51)
    sampler: AudioSamplerOverrides = opt(AudioSamplerOverrides(), "changes to the run's own sampler")

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.videos, self.data, self.prompts))) > 1:
            raise ValueError("give one of videos, data and prompts")
        if self.original != "replace" and not self.videos:
            raise ValueError(f"original={self.original} needs videos=FILES: data sets give frames alone")
        if self.original_gain_db and self.original != "mix":
            raise ValueError("original_gain_db needs original=mix")
        if self.shuffled and not (self.videos or self.data):
            raise ValueError("shuffled=true needs videos or data")
