"""The axes of metrics and of human evaluation: quality or alignment, each with the paper's sub-axes.

Movie Gen, sec. 3.5: text alignment (subject, motion), visual quality (overall, frame consistency,
motion completeness, motion naturalness), realness and aesthetics; of audio quality (overall, naturalness,
professionalness), video alignment (correctness, synchronization) and text alignment (precision, recall); of
personalized videos identity and face consistency; of edits text faithfulness and structure preservation; of
the autoencoder its reconstruction. Diversity is not among the paper's.
"""

from dataclasses import dataclass

AXES: dict[str, tuple[str, ...]] = {
    "quality": (
        *("overall", "frame consistency", "motion completeness", "motion naturalness"),
        *("realness", "aesthetics", "reconstruction", "diversity"),
        *("audio overall", "audio naturalness", "audio professionalness", "audio reconstruction"),
    ),
    "alignment": (
        *("overall", "subject", "motion", "identity", "face consistency"),
        *("text faithfulness", "structure preservation"),
        *("diegetic correctness", "diegetic synchronization", "music mood", "music motion and scene"),
        *("audio text precision", "audio text recall"),
    ),
}
"""Sub-axes by axis, in the order of tables."""


@dataclass(frozen=True)
class Axis:
    """The axis of a value: `name` is quality or alignment, `sub_axis` one of its sub-axes."""

    name: str
    sub_axis: str

    def __post_init__(self) -> None:
        if self.sub_axis not in AXES.get(self.name, ()):
            known = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in AXES.items())
            raise ValueError(f"axis: expected one of {known}; got {self.name!r}, {self.sub_axis!r}")


_OWN: dict[str, Axis] = {}


def declare_axis(metric: str, axis: Axis) -> None:
    """Set the axis of a metric of the user's own code."""
    _OWN[metric] = axis


def declared_axis(metric: str) -> Axis | None:
    """Return the axis of a metric of the user's own code; None of others."""
    return _OWN.get(metric)
