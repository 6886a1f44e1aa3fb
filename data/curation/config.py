"""Settings of data.curate; needs neither torch nor av, so that --help is quick."""

from dataclasses import dataclass
from typing import Literal

from data.curation.score_table import GROUPS, SCORES, nearest_score
from src.core.fields import Config, opt

SET_STEPS = ("near_duplicates", "resample")  # steps that compare clips with each other


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """Scene detection: videos become clips of one scene each (Movie Gen, sec. 3.2.1)."""

    enabled: bool = opt(False, "cut videos into clips at scene changes; else each input is one clip")
    threshold: float = opt(15.0, "change of content (0 to 255) that may be a cut", gt=0)
    ratio: float = opt(3.0, "and so many times the change of the frames around it", ge=1)
    min_s: float = opt(4.0, "shortest clip in seconds", gt=0)
    max_s: float = opt(16.0, "longest clip in seconds: a random stretch of a longer scene", gt=0)
    max_clips: int = opt(2, "clips of one video at most, of its longest scenes; 0 takes all", ge=0)
    skip_start_s: float = opt(0.0, "seconds left out at the start of each video (titles, fades)", ge=0)


@dataclass(frozen=True, kw_only=True)
class ScoringConfig(Config):
    """Settings of what is measured of each clip. A change here decodes clips again; thresholds do not."""

    groups: tuple[str, ...] = opt(tuple(GROUPS), "groups of scores", choices=tuple(GROUPS))
    size: int = opt(128, "shorter side in pixels of the frames that motion and cuts are measured on", ge=64)
    fps: float = opt(12.0, "frames per second of these", gt=0)
    num_stills: int = opt(5, "frames at full resolution for borders, fingerprints and preview", ge=2)
    text_frames: int = opt(2, "frames that are searched for text (Movie Gen, app. J: all sampled ones)", ge=1)
    text_side: int = opt(320, "shorter side in pixels that text is searched at", ge=64)
    copy_detection: str = opt("", "TorchScript SSCD: image [1,3,H,W] -> [1,D]; empty: EfficientNet-Lite0")
    clip_l14: str = opt("", "folder of a transformers CLIPModel: aesthetics, joint embeddings")
    aesthetic_head: str = opt("", "state dict of LAION's linear head on that CLIP")
    contrastive: str = opt(
        "", "folder of programs of a contrastive model (src.export): audio_video_cosine, for diegetic audio"
    )
    detector: str = opt(
        "", "folder of a transformers object detector; empty: the moving region is the subject"
    )


@dataclass(frozen=True, kw_only=True)
class RangeConfig(Config):
    """Bounds of a score; a clip outside is rejected."""

    min: float | None = opt(None, "smallest value that passes")
    max: float | None = opt(None, "largest value that passes")
    missing: Literal["keep", "reject"] = opt("keep", "clips without this score (no audio, no such codec)")


@dataclass(frozen=True, kw_only=True)
class StepConfig(Config):
    """A filter: the ranges of one or more scores, all of which a clip must pass."""

    ranges: dict[str, RangeConfig] = opt({}, "range by score: see docs/curation.md for all scores")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, each in self.ranges.items():
            if name not in SCORES:
                raise ValueError(f"no score {name!r}{nearest_score(name)}")
            if each.min is None and each.max is None:
                raise ValueError(f"score {name}: give min, max or both")


@dataclass(frozen=True, kw_only=True)
class MixConfig(Config):
    """A proportion to reach by leaving out clips at random (Movie Gen: 60 or 80 % landscape, 60 % humans)."""

    score: str = opt("aspect", "score that divides the clips")
    phrases: str = opt(
        "", "in place of a score: text file of phrases (human verbs); largest cosine with CLIP's embedding"
    )
    min: float = opt(1.0, "clips of this value or more are the first part")
    fraction: float = opt(0.8, "fraction of the first part in what is kept", gt=0, lt=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise ValueError(f"no score {self.score!r}{nearest_score(self.score)}")


@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig(Config):
    """Near duplicates: groups of clips whose embeddings agree; the one of most pixels is kept."""

    cosine: float = opt(0.5, "embeddings at least this close are candidates (SSCD: 0.99)", ge=-1, le=1)
    max_bits: float = opt(
        17.0, "and perceptual hashes (64 bits) at most this far apart; 64 ignores them", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class ResampleConfig(Config):
    """Balance of concepts: each clip is kept with a probability of 1 / sqrt(size of its cluster)."""

    num_clusters: int = opt(0, "clusters of k-means; 0 takes sqrt(number of clips)", ge=0)
    merge_cosine: float = opt(0.98, "clusters whose centers are closer are merged", ge=-1, le=1)
    keep_fraction: float = opt(
        0.8, "fraction of the clips kept (Movie Gen, app. J: 0.94 of 1.15 %)", gt=0, le=1
    )
    text_weight: float = opt(0.5, "weight of the caption in the joint embedding, 0 to 1", ge=0, le=1)


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig(Config):
    """A local vision-language model that captions what is kept."""

    path: str = opt("", "folder of a transformers image-text-to-text model; empty: captions stay as they are")
    prompt: str = opt("Describe this video in detail.", "request that comes with the frames")
    num_frames: int = opt(8, "frames shown to the model, evenly over the clip", ge=1)
    max_new_tokens: int = opt(200, "longest caption, in tokens", ge=1)
    overwrite: bool = opt(False, "caption clips that have a caption, too")
    device: str = opt("cpu", "torch device")


@dataclass(frozen=True, kw_only=True)
class CameraConfig(Config):
    """Camera-motion labels before captions (Movie Gen, sec. 3.2.1)."""

    prefix: bool = opt(True, "put a confident label before the caption")
    min_confidence: float = opt(0.6, "labels below this are left out", ge=0, le=1)
    speed: float = opt(0.012, "widths per second below which the camera is still", gt=0)
    shake: float = opt(0.45, "shake (score) above which it is held by hand", gt=0)
    straight: float = opt(0.5, "net over whole path below which a shaking camera goes nowhere", gt=0, le=1)
    parallax: float = opt(0.09, "parallax (score) above which the camera moves, below which it turns", gt=0)
    alignment: float = opt(0.45, "alignment (score) below which it may be objects that move", gt=0, lt=1)
    flat_parallax: float = opt(0.045, "parallax (score) below which it surely turns", gt=0)
    still_scene: float = opt(0.2, "1 - slideshow_score above which no turn is sure", gt=0)
    zoom_speed: float = opt(0.03, "widths per second of a zoom below which depth cannot be seen", gt=0)
    roughness: float = opt(1.0, "acceleration over speed, per frame at 12 fps: what jolts is no camera", gt=0)
    purity: float = opt(0.6, "fraction that one kind of motion must have in all of it", gt=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class FinetuningConfig(Config):
    """Selection of a finetuning set from what the funnel keeps (Movie Gen, sec. 3.3)."""

    enabled: bool = opt(False, "select a finetuning set, with a page for the manual pass")
    concepts: str = opt("", "text file of concepts, one per line: verbs of a taxonomy; empty: no balance")
    seeds: str = opt("", "CSV of clips picked by hand for concepts: id, concept")
    text_neighbors: int = opt(50, "clips per concept by their captions", ge=0)
    video_neighbors: int = opt(50, "clips per concept that look like its seeds or best captions", ge=0)
    per_concept: int = opt(20, "clips per concept at most", ge=1)
    min_similarity: float = opt(0.2, "cosine below which a caption is no neighbor of a concept", ge=-1, le=1)
    decisions: str = opt("", "decisions.json saved from the page; only clips accepted there are kept")


@dataclass(frozen=True, kw_only=True)
class CurationConfig(Config):
    """A pool of videos, what is measured, and the funnel."""

    path: str = opt(
        "???", "folder (captions in NAME.txt next to NAME.mp4), or CSV or JSONL (path, caption, start, end)"
    )
    root: str = opt("", "folder that the paths of a list start from; empty: the list's own")
    out: str = opt("???", "folder to write: scores, decisions, funnel, report, kept.csv", resumable=True)
    order: tuple[str, ...] = opt(
        (), f"steps in the funnel's order: of `steps`, of `mixes`, {', '.join(SET_STEPS)}"
    )
    steps: dict[str, StepConfig] = opt({}, "filters by name: ranges of scores")
    mixes: dict[str, MixConfig] = opt({}, "proportions by name, such as landscape and humans")
    near_duplicates: DuplicatesConfig = opt(DuplicatesConfig(), "step `near_duplicates`")
    resample: ResampleConfig = opt(ResampleConfig(), "step `resample`")
    split: SplitConfig = opt(SplitConfig(), "scene detection before the funnel")
    scoring: ScoringConfig = opt(ScoringConfig(), "what is measured of each clip")
    camera: CameraConfig = opt(CameraConfig(), "camera-motion labels before captions")
    captioner: CaptionerConfig = opt(CaptionerConfig(), "captions of what is kept")
    finetuning: FinetuningConfig = opt(FinetuningConfig(), "selection of a finetuning set")
    decode: Literal["all", "passing"] = opt(
        "all", "passing: clips that their header alone rejects (size, duration, aspect) are not decoded"
    )
    num_workers: int = opt(2, "processes that decode and measure; 0 works in this one", ge=0)
    engine: Literal["local", "ray"] = opt(
        "local", "local: processes of this machine; ray: tasks of a Ray cluster (docs/data.md)"
    )
    ray_address: str = opt("", "engine=ray: the cluster; empty takes RAY_ADDRESS, or starts one here")
    unit_size: int = opt(8, "clips in a unit of work, which an interruption loses at most", ge=1)
    examples: int = opt(8, "kept and rejected clips of each step in report.html; 0 writes none", ge=0)
    seed: int = opt(0, "seed of mix, resampling and random stretches")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split.enabled and self.split.min_s > self.split.max_s:
            raise ValueError(f"split: min_s={self.split.min_s:g} is more than max_s={self.split.max_s:g}")
        known = [*self.steps, *self.mixes, *SET_STEPS]
        unknown = [name for name in self.order if name not in known]
        if unknown:
            raise ValueError(f"order: no step {unknown[0]!r}; expected one of {', '.join(known)}")
        unused = [name for name in (*self.steps, *self.mixes) if name not in self.order]
        if unused:
            raise ValueError(
                f"order: step {unused[0]!r} is missing; add it, or remove its entry (NAME: null)"
            )
        if len(set(known)) < len(known):
            raise ValueError("steps and mixes: a name is used twice")
        if len(set(self.order)) < len(self.order):
            raise ValueError("order: a step is repeated")
