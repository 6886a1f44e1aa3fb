"""Settings of the Bounce checker; this module imports no torch.

The defaults are those that `eval.bounce_checker.validate` measured; lengths are fractions of the frame's
shorter side. What describes the world itself (colors, shapes, the largest spin) is no setting.
"""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class AudioCheckerConfig(Config):
    """Tolerances of the comparison of audio with facts."""

    tolerance_s: float = opt(0.04, "largest distance of a hit from its impact in seconds", gt=0)
    fine_tolerance_s: float = opt(0.02, "the same for `hit_f1_fine`", gt=0)
    close_s: float = opt(
        0.1, "objects are not scored at impacts that are this close to another, in seconds", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class CheckerConfig(Config):
    """Thresholds of what is recognized."""

    max_frames: int = opt(
        256, "frames that are analyzed; of longer videos so many, evenly over their length", ge=2
    )
    min_chroma: float = opt(0.07, "distance of a pixel from the floor's color (Oklab a, b)", gt=0)
    min_lightness: float = opt(0.84, "lightness from which on an unsaturated pixel is an object", gt=0, le=1)
    min_area: float = opt(0.005, "smallest object, of the frame's area", gt=0)
    min_strength: float = opt(0.5, "color of an object from 0 (floor) to 1; weaker ones are stains", gt=0)
    min_similarity: float = opt(0.88, "similarity to the best shape; below it is none of them", gt=0, le=1)
    min_displacement: float = opt(0.06, "shortest way of a moving object before its first impact", gt=0)
    min_turn: float = opt(0.3, "change of velocity of an impact, relative to the faster of the two", gt=0)
    min_deviation: float = opt(0.036, "deviation from the old course that an impact causes", gt=0)
    max_rmse: float = opt(0.03, "distance from the fitted path above which a motion is erratic", gt=0)
    min_zoom: float = opt(0.12, "logarithm of the scale that a zoom changes", gt=0)
    min_pan: float = opt(0.1, "shift of a pan or tilt", gt=0)
    min_shake: float = opt(0.006, "root mean square of the shake of a handheld shot", gt=0)
    audio: AudioCheckerConfig = opt(AudioCheckerConfig(), "of bounce_audio")
