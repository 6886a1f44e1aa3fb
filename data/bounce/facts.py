"""Ground truth of a video: captions are written from it, and checkers score against it."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from data.bounce.vocabulary import STILL


@dataclass(frozen=True)
class ObjectFacts:
    """One object. All words are from `data.bounce.vocabulary`."""

    shape: str
    color: str
    size: str
    material: str
    direction: str  # before its first impact: "still" or one of DIRECTIONS (relative to the room)
    speed: str  # one of SPEEDS, or "still"
    bounces: bool  # its direction changes at an impact: off a wall, off an object, or struck while still
    spin: bool
    appears: bool  # during the video
    vanishes: bool  # during the video


@dataclass(frozen=True)
class Impact:
    """An impact, at its exact time."""

    time_s: float
    kind: str  # "wall" or "object"
    objects: tuple[int, ...]  # indices into VideoFacts.objects: one for "wall", two for "object"
    speed: float  # closing speed along the contact normal, room units per second
    position: tuple[float, float]  # contact point in room units, origin at the room's upper left, y down


@dataclass(frozen=True)
class MusicFacts:
    """A piece of instrumental music. Words are from `data.bounce.music_vocabulary`."""

    instrument: str
    tempo_bpm: int
    key: str  # such as "D minor"
    mood: str
    pattern: int  # of the melody, an index into PATTERNS
    offset_s: float  # from a bar's beginning to the clip's


@dataclass(frozen=True)
class AudioFacts:
    """Content of a video's audio; without, it is impacts over ambience."""

    parts: tuple[str, ...]  # of PARTS
    quality: float  # score from 1 to 10
    music: MusicFacts | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        music = values["music"] and MusicFacts(**values["music"])
        return cls(**{**values, "parts": tuple(values["parts"]), "music": music})


@dataclass(frozen=True)
class VideoFacts:
    """Facts of one video; plain JSON through `to_dict` and `from_dict`."""

    version: str
    seed: int
    camera: str
    background: str
    num_frames: int
    height: int
    width: int
    fps: float
    objects: tuple[ObjectFacts, ...]
    impacts: tuple[Impact, ...]
    audio: AudioFacts | None = None

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps

    @property
    def is_image(self) -> bool:
        return self.num_frames == 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for `json.dumps`."""
        out = asdict(self)
        out["objects"] = list(out["objects"])
        out["impacts"] = [
            {**hit, "objects": list(hit["objects"]), "position": list(hit["position"])}
            for hit in out["impacts"]
        ]
        if self.audio is None:
            del out["audio"]
        else:
            out["audio"]["parts"] = list(self.audio.parts)
        return out

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Invert `to_dict`; TypeError on missing or unknown keys."""
        objects = tuple(ObjectFacts(**each) for each in values["objects"])
        impacts = tuple(
            Impact(**{**hit, "objects": tuple(hit["objects"]), "position": tuple(hit["position"])})
            for hit in values["impacts"]
        )
        audio = AudioFacts.from_dict(values["audio"]) if "audio" in values else None
        return cls(**{**values, "objects": objects, "impacts": impacts, "audio": audio})

    @property
    def audio_parts(self) -> tuple[str, ...]:
        return self.audio.parts if self.audio else ("impacts", "ambience")

    @property
    def music(self) -> MusicFacts | None:
        return self.audio.music if self.audio else None

    @property
    def heard_objects(self) -> tuple[int, ...]:
        """Indices of the objects whose impacts are heard, ascending."""
        heard = self.impacts if "impacts" in self.audio_parts else ()
        return tuple(sorted({index for impact in heard for index in impact.objects}))

    def as_image(self) -> Self:
        """Return the same facts without everything that takes time."""
        objects = tuple(
            replace(o, direction=STILL, speed=STILL, bounces=False, spin=False, appears=False, vanishes=False)
            for o in self.objects
        )
        return replace(self, objects=objects, impacts=(), num_frames=1)

    def combination(self) -> tuple:
        """Return what every caption states: the camera's move and each object's shape, color and motion.

        The split into training videos and test prompts hashes its `repr`, so its form must not change.
        """
        objects = sorted((o.shape, o.color, o.direction, o.bounces) for o in self.objects)
        return (self.camera, *objects)
