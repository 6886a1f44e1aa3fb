"""Settings of a human study: `study.yaml`."""

from dataclasses import dataclass

from src.core.fields import Config, opt

LANGUAGES = ("en", "de", "zh")
NO_MAJORITY = ("tie", "drop", "mean")


@dataclass(frozen=True, kw_only=True)
class MediaConfig(Config):
    """Comparable copies of clips for browsers; the originals are never changed."""

    length: str = opt(
        "refuse",
        "clips of one prompt with unequal lengths: refuse, or trim all to the shortest",
        choices=("refuse", "trim"),
    )
    max_length_difference_s: float = opt(0.1, "difference in seconds up to which clips are trimmed", ge=0)
    size: str = opt(
        "largest",
        "common size of the clips of one prompt: the largest or the smallest width and height; other "
        "shapes get black borders",
        choices=("largest", "smallest"),
    )
    fps: str = opt(
        "largest",
        "common frame rate of the clips of one prompt: the largest repeats frames, the smallest drops some",
        choices=("largest", "smallest"),
    )
    max_height: int = opt(1080, "clips higher than this are scaled down", ge=16)
    crf: int = opt(14, "H.264 quality of the copies; 0 is lossless", ge=0, le=51)
    match_loudness: bool = opt(True, "bring the audio of the clips of one prompt to one loudness")
    loudness_lufs: float = opt(
        -23.0, "integrated loudness of the copies; lower where a peak would clip", lt=0
    )
    max_peak_dbfs: float = opt(-1.0, "highest peak of the copies", le=0)


@dataclass(frozen=True, kw_only=True)
class ExclusionConfig(Config):
    """Rules that leave out raters or single answers; fixed before voting: the plan's hash covers them."""

    max_gold_failures: float = opt(
        0.25, "leave out raters who miss more than this fraction of gold items", ge=0, le=1
    )
    min_gold: int = opt(3, "the rule on gold items needs as many answers", ge=1)
    min_repeat_agreement: float = opt(
        0.25, "leave out raters who repeat fewer of their answers to swapped repeats", ge=0, le=1
    )
    min_repeats: int = opt(8, "the rule on repeats needs as many answers", ge=1)
    max_side_p: float = opt(
        0.0001, "leave out raters whose preference for one side has a smaller p-value (two-sided)", ge=0, le=1
    )
    min_median_time_s: float = opt(2.0, "leave out raters whose median time for an item is shorter", ge=0)
    min_watched_fraction: float = opt(
        0.9, "leave out answers given before this fraction of each clip was played", ge=0, le=1
    )
    max_hidden_fraction: float = opt(
        0.5, "leave out answers during which the page was hidden for longer", ge=0, le=1
    )
    require_qualification: bool = opt(True, "leave out raters on axes whose qualification they did not pass")


@dataclass(frozen=True, kw_only=True)
class AdaptiveConfig(Config):
    """Adaptive selection of pairs in rounds (`extend`): the next votes where they shorten intervals most."""

    enabled: bool = opt(False, "plan only the first round; `extend STUDY adaptive=true` plans the next one")
    half_width: float = opt(
        10.0, "two systems: stop at this half length of the net win rate's 95 % interval, in points", gt=0
    )
    strength_half_width: float = opt(
        0.25, "more systems: stop when the 95 % interval of every strength (logit) has this half length", gt=0
    )
    first_round: int = opt(20, "items per pair in the first round", ge=4)
    round_items: int = opt(100, "items in each later round", ge=1)


@dataclass(frozen=True, kw_only=True)
class PlatformConfig(Config):
    """Codes that a crowd platform expects; empty where raters come by personal links."""

    completion_code: str = opt("", "code shown to raters who finished", resumable=True)
    screened_out_code: str = opt("", "code shown to raters who did not qualify", resumable=True)
    completion_url: str = opt("", "page that raters return to, `{code}` is filled in", resumable=True)
    pay_per_hour: float = opt(0.0, "pay, for the CSV of payments", ge=0, resumable=True)
    currency: str = opt("USD", "currency of the pay", resumable=True)


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Config):
    """Rules that raters notice; they belong to the study."""

    watch_fraction: float = opt(
        0.95, "fraction of each side that must be watched before answering", ge=0, le=1
    )
    link_lease_hours: float = opt(
        72.0,
        "hours after which the slot of a personal link that was started and left may be reassigned",
        gt=0,
    )
    max_comment_length: int = opt(1000, "characters of a comment", ge=0)
    screen_min_width: int = opt(320, "CSS pixels that the display check asks for", ge=240)


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Config):
    """Settings of `eval.human plan`; the resolved file is kept as study.yaml in the study's folder."""

    name: str = opt("???", "name of the study, for file names and reports")
    title: str = opt("", "title that raters see; empty shows the name")
    out: str = opt("???", "folder of the study", resumable=True)
    manifests: dict[str, str] = opt({}, "system -> manifest (JSONL) of its samples")
    pairs: tuple[str, ...] = opt((), "pairs of systems as a:b; empty for every pair")
    axes: tuple[str, ...] = opt(("video",), "axes or groups of axes (see `eval.human axes`)")
    axes_files: tuple[str, ...] = opt((), "YAML files with own axes")
    languages: tuple[str, ...] = opt(LANGUAGES, "languages that raters may choose")
    num_prompts: int = opt(0, "a subset of as many prompts, stratified by tags; 0 takes all", ge=0)
    common_only: bool = opt(False, "leave out prompts that a system lacks, instead of refusing")
    raters: dict[str, int] = opt({}, "axis -> raters per item, instead of the axis's own number")
    tasks_per_slot: int = opt(60, "answers of one rater in one session; 0 gives one rater everything", ge=0)
    axes_per_slot: int = opt(3, "axes of one session, one after the other", ge=1)
    gold_fraction: float = opt(0.1, "gold items (a clip against its degraded copy) per compared item", ge=0)
    identical_fraction: float = opt(0.05, "items with two equal clips per compared item", ge=0)
    repeat_fraction: float = opt(0.05, "repeats with sides swapped per compared item", ge=0)
    num_gold: int = opt(6, "different gold items of each axis", ge=1)
    gold_manifest: str = opt("", "own gold items: samples of systems `better` and `worse`, tags name axes")
    no_majority: str = opt(
        "tie",
        "items without a majority: count as tie, are dropped, or count with the mean of their votes",
        choices=NO_MAJORITY,
    )
    seed: int = opt(0, "seed of everything random")
    media: MediaConfig = opt(MediaConfig(), "copies of the clips")
    exclusion: ExclusionConfig = opt(ExclusionConfig(), "rules that leave out raters and answers")
    adaptive: AdaptiveConfig = opt(AdaptiveConfig(), "adaptive selection")
    platform: PlatformConfig = opt(PlatformConfig(), "Prolific, Mechanical Turk")
    server: ServerConfig = opt(ServerConfig(), "rules of the rater page")
    consent: dict[str, str] = opt(
        {}, "language -> text file of the consent page, instead of the shipped text"
    )
    contact: str = opt("", "whom raters write to, on the consent page", resumable=True)
    qualification_tries: int = opt(2, "tries at a qualification before a rater is screened out", ge=1)
    lease_minutes: float = opt(120.0, "after this long without an answer a session is given to others", gt=0)
    database: str = opt("", "SQLAlchemy URL of the votes; empty for SQLite in the folder", resumable=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.manifests and len(self.manifests) < 2:
            raise ValueError(f"manifests: a study compares at least two systems, got {list(self.manifests)}")
        unknown = [name for name in self.languages if name not in LANGUAGES]
        if unknown or not self.languages:
            raise ValueError(
                f"languages: expected some of {', '.join(LANGUAGES)}, got {list(self.languages)}"
            )
        for pair in self.pairs:
            names = pair.split(":")
            if len(set(names)) != 2 or not set(names) <= set(self.manifests):
                raise ValueError(f"pairs: {pair!r} is not a:b of two systems of {', '.join(self.manifests)}")

    def system_pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of systems that are compared, in the order of the manifests."""
        if self.pairs:
            return [(a, b) for a, b in (pair.split(":") for pair in self.pairs)]
        names = list(self.manifests)
        return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
