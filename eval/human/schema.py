"""Records of a human study: what planning writes, the server reads and answers, and the report reads.

A study is a folder: study.yaml (settings), axes.json (axes with their texts), items.jsonl, slots.jsonl,
media.jsonl, media/, plan.json (counts and the hash of all of these), and, once people voted, votes.jsonl and
raters.jsonl (exported by the server). All records are lines of JSON with the names of these classes.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

AnswerType = Literal["choice", "rating", "mushra", "ranking"]
Medium = Literal["video", "audio", "image"]
Kind = Literal["example", "qualification", "pair", "gold", "identical", "repeat"]
Text = dict[str, str]
"""One text by language: {"en": ..., "de": ..., "zh": ...}."""

PRACTICE: tuple[Kind, ...] = ("example", "qualification")  # not part of a study's results
CHOICES = ("left", "right", "equal")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A pair made by a degradation, and the explanation that a rater reads with it.

    `equal`: the degradation does not count on this axis, and "equal" is the right answer.
    """

    degradation: str
    explanation: Text
    equal: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One question put to raters.

    `family`: quality or alignment. `media`: what is played, which decides the checks before the first item:
    a display check for video and image, an audio check if `audible`. `compares`: what a rater sees next to
    the stimuli: "prompt", "source" (the video before an edit), "reference" (an image of a subject).
    `marks`: raters may mark seconds where a stimulus breaks. `options`: labels of a `choice`
    (left, right, equal) or of a `rating` ("1" to "5").
    """

    id: str
    family: Literal["quality", "alignment"]
    answer: AnswerType
    media: Medium
    audible: bool
    name: Text
    question: Text
    instructions: Text
    options: dict[str, Text]
    compares: tuple[str, ...] = ()
    marks: bool = False
    num_raters: int = 3
    gold: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    num_qualification: int = 3
    min_correct: int = 2
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class MediaFile:
    """One file of media/: everything a browser may know, then what only the organizer may know.

    `id` is random-looking and the file's name without its suffix. `gain_db`: change of loudness of this copy.
    `system`, `sample`, `degradation`, `source_sha256` are never sent to raters.
    """

    id: str
    file: str
    sha256: str
    num_bytes: int
    kind: Medium
    seconds: float
    fps: float
    width: int
    height: int
    has_audio: bool
    role: Literal["clip", "source", "reference"] = "clip"
    gain_db: float = 0.0
    system: str = ""
    sample: str = ""
    degradation: str = ""
    source_sha256: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """One comparison (or rating) of stimuli of one prompt, on each axis of `axes`.

    `stimuli`: ids of media in canonical order, `systems` the same for systems (private). `prompt`: the text
    of the sample, by which votes are clustered; raters see it only if it is in `shown`. `shown`: texts and
    media next to the stimuli by the names of `Axis.compares`; media are ids. `expected` (gold, example,
    qualification): indices of stimuli from best to worst, or () where "equal" is right; private until a
    practice item is answered. `explanation`: shown after a practice item. `repeat_of`: the item that this
    one repeats with sides swapped.
    """

    id: str
    kind: Kind
    sample: str
    prompt: str
    axes: tuple[str, ...]
    stimuli: tuple[str, ...]
    systems: tuple[str, ...]
    shown: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    expected: tuple[int, ...] | None = None
    explanation: Text = field(default_factory=dict)
    repeat_of: str = ""
    round: int = 0


@dataclass(frozen=True, kw_only=True)
class Task:
    """One item on one axis in a slot; `order[position]` is the index of the stimulus at that position."""

    item: str
    axis: str
    order: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The work of one rater, in order. Axes are separate passes: all tasks of an axis are adjacent."""

    id: str
    tasks: tuple[Task, ...]
    round: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """plan.json: the hash of the study's files and counts. `lineage`: hashes of the plans it extends."""

    name: str
    title: Text
    hash: str
    systems: tuple[str, ...]
    axes: tuple[str, ...]
    languages: tuple[str, ...]
    num_items: int
    num_slots: int
    num_tasks: int
    round: int = 0
    lineage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Observations of the page while one answer was given; lists are by position on the screen, seconds."""

    watched_s: tuple[float, ...] = ()
    audible_s: tuple[float, ...] = ()
    duration_s: tuple[float, ...] = ()
    num_plays: int = 0
    num_seeks: int = 0
    hidden_s: float = 0.0
    unfocused_s: float = 0.0
    time_s: float = 0.0
    screen: tuple[int, ...] = ()
    player: tuple[int, ...] = ()
    user_agent: str = ""
    page_version: str = ""


@dataclass(frozen=True, kw_only=True)
class VoteRecord:
    """One line of votes.jsonl: the last answer of a rater to an item on an axis.

    `answer` is in positions of the screen: {"choice": "left" | "right" | "equal"}, {"rating": 1..5},
    {"ratings": [0..100, ...]} or {"ranking": [positions from best to worst]}. `order` is the task's.
    `revisions`: earlier answers, oldest first, each {"answer", "answered_at"}. `marks`:
    [{"position", "seconds"}]. `answered_at`: UTC, ISO 8601, of the server.
    """

    rater: str
    slot: str
    item: str
    axis: str
    order: tuple[int, ...]
    answer: dict[str, Any]
    answered_at: str
    index: int = 0
    revisions: tuple[dict[str, Any], ...] = ()
    marks: tuple[dict[str, float], ...] = ()
    comment: str = ""
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, kw_only=True)
class RaterRecord:
    """One line of raters.jsonl: a pseudonym and what is known of the rater's session.

    `platform_id` stands only in the organizer's own export, never in a public one. `checks`: results of
    the audio and the display check. `qualification`: axis -> [correct, asked].
    """

    rater: str
    slots: tuple[str, ...]
    status: Literal["invited", "active", "finished", "returned", "screened_out", "expired"]
    platform: str = "link"
    platform_id: str = ""
    language: str = "en"
    consented_at: str = ""
    started_at: str = ""
    finished_at: str = ""
    checks: dict[str, Any] = field(default_factory=dict)
    qualification: dict[str, tuple[int, int]] = field(default_factory=dict)
