import math

import numpy as np
import pytest

from data.bounce.config import WorldConfig
from data.bounce.vocabulary import COLORS, SHAPES, coverage
from data.bounce.world import make_video
from eval.bounce_checker.checker import ObjectReading, Reading, analyze_video, evaluate_reading
from eval.bounce_checker.validate_config import WORLDS
from eval.bounce_checker.validation import run_trial
from eval.core.degradations import rotate_colors

ONE = {"max_objects": 1, "holdout": "include", "split": "all", "appear_prob": 0.0, "vanish_prob": 0.0}


def render_image(shape, color, side=48, radius=9.0, floor=100):
    """Return an image [1, H, W, 3] of one object, and the radius of a circle of its area, of the side."""
    y, x = np.mgrid[:side, :side] + 0.5
    alpha = coverage(shape, x - side / 2, y - side / 2, radius)[..., None]
    image = (floor + alpha * (np.array(COLORS[color]) - floor)).round().astype(np.uint8)[None]
    return image, math.sqrt(alpha.sum() / math.pi) / side


def fraction_correct(world, degradation, num, first=5_000):
    """Return the fractions of videos with correct subject, motion and camera."""
    done = [run_trial(seed, WORLDS[world], degradation) for seed in range(first, first + num)]
    verdicts = [each.verdict for each in done if each is not None]
    assert len(verdicts) > 0.9 * num
    return tuple(np.mean([getattr(v, key) for v in verdicts]) for key in ("subject", "motion", "camera"))


@pytest.mark.parametrize("radius", [6.0, 9.0])
@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_color_and_radius_of_an_image(shape, color, radius):
    image, true_radius = render_image(shape, color, radius=radius)
    (found,) = analyze_video(image, 0.0).objects
    assert (found.shape, found.color) == (shape, color)
    assert found.radius == pytest.approx(true_radius, rel=0.02)


@pytest.mark.parametrize("world", ["tiny", "full"])
def test_ground_truth(world):
    assert fraction_correct(world, "ground truth", 24) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("degradation", ["H.264 crf 23", "as generated x1"])
def test_codecs_and_blur_are_tolerated(degradation):
    subject, motion, _ = fraction_correct("tiny", degradation, 16)
    assert min(subject, motion) >= 15 / 16


def test_wrong_colors_fail_the_subject_only():
    subject, motion, _ = fraction_correct("tiny", "wrong colors", 16)
    assert subject < 0.3  # white stays white
    assert motion == 1.0


@pytest.mark.parametrize(("degradation", "most"), [("frozen", 0.35), ("shuffled", 0.35), ("reversed", 0.6)])
def test_broken_motion_fails_the_motion_only(degradation, most):
    subject, motion, _ = fraction_correct("tiny", degradation, 16)
    assert subject >= 15 / 16
    assert motion <= most


def test_blur_lowers_the_subject_step_by_step():
    fractions = [fraction_correct("tiny", f"blur {sigma}", 16)[0] for sigma in ("0.7", "2", "5")]
    assert fractions[0] > fractions[1] > fractions[2]
    assert fractions[0] >= 15 / 16


def test_reading_is_repeatable():
    clip = make_video(3, WorldConfig(**ONE), num_frames=16, height=32, width=32, fps=16)
    assert analyze_video(clip.video_THWC, 16) == analyze_video(clip.video_THWC.copy(), 16)
    degraded = analyze_video(rotate_colors(clip.video_THWC, 0), 16)
    assert [o.direction for o in degraded.objects] == [
        o.direction for o in analyze_video(clip.video_THWC, 16).objects
    ]


@pytest.mark.parametrize("size", [(32, 56), (56, 32), (45, 63)])
def test_other_aspect_ratios(size):
    right = 0
    for seed in range(6):
        clip = make_video(seed, WorldConfig(**ONE), num_frames=20, height=size[0], width=size[1], fps=16)
        verdict = evaluate_reading(analyze_video(clip.video_THWC, 16), clip.facts.to_dict())
        right += verdict.subject and verdict.motion
    assert right == 6


def test_cross_with_two_bars_is_unknown():
    y, x = np.mgrid[:64, :64] + 0.5
    bars = [abs(x - 32) < 3.5, *((abs(y - at) < 3.5) & (abs(x - 32) < 13) for at in (24, 40))]
    inside = np.any(bars, 0) & (abs(y - 32) < 20)
    video = np.where(inside[..., None], np.array(COLORS["blue"]), 100).astype(np.uint8)[None]
    (found,) = analyze_video(video, 0.0).objects
    assert (found.shape, found.color) == ("unknown shape", "blue")


def test_videos_without_objects():
    empty = np.full((8, 32, 32, 3), 90, np.uint8)
    assert analyze_video(empty, 16).objects == ()
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    assert analyze_video(noise, 16).num_frames == 8
    white = np.full((8, 32, 32, 3), 255, np.uint8)
    assert analyze_video(white, 16).objects == ()


@pytest.mark.parametrize(
    "video", [np.zeros((4, 32, 32, 3)), np.zeros((32, 32, 3), np.uint8), np.zeros((4, 1, 1, 3), np.uint8)]
)
def test_invalid_arrays_are_refused(video):
    with pytest.raises(ValueError, match="video: expected"):
        analyze_video(video, 16)


def one(shape="star", color="red", direction="right", bounces=False):
    return ObjectReading(shape, color, direction, bounces, False, False, False, 0.1, 0.5, 0.1)


def facts(*objects, camera="static shot", num_frames=16):
    keys = ("shape", "color", "direction", "bounces")
    expected = [dict(zip(keys, each, strict=True)) for each in objects]
    return {"objects": expected, "camera": camera, "num_frames": num_frames}


STAR, RING = ("star", "red", "right", False), ("ring", "blue", "still", False)


def test_verdict_ignores_order_and_names_the_mistake():
    reading = Reading((one("ring", "blue", "still"), one()), "static shot", 16)
    verdict = evaluate_reading(reading, facts(STAR, RING))
    assert (verdict.subject, verdict.motion, verdict.camera, verdict.pairs) == (True, True, True, (1, 0))
    assert verdict.why == ""
    wrong = evaluate_reading(
        Reading((one("circle", direction="left", bounces=True),), "pan left", 16), facts(STAR)
    )
    assert (wrong.subject, wrong.motion, wrong.camera) == (False, False, False)
    for part in (
        "looks like a red circle",
        "left instead of right",
        "bounces",
        "pan left instead of static shot",
    ):
        assert part in wrong.why


def test_the_number_of_objects_counts():
    missing = evaluate_reading(Reading((one(),), "static shot", 16), facts(STAR, RING))
    assert (missing.subject, missing.motion) == (False, False)
    extra = evaluate_reading(Reading((one(), one("ring", "blue", "still")), "static shot", 16), facts(STAR))
    assert (extra.subject, extra.motion) == (False, True)
    assert (
        evaluate_reading(Reading((), "static shot", 16), facts(STAR)).why
        == "0 objects instead of 1; no red star"
    )


def test_wrong_color_keeps_the_motion():
    verdict = evaluate_reading(Reading((one(color="green"),), "static shot", 16), facts(STAR))
    assert (verdict.subject, verdict.motion) == (False, True)


def test_images_have_no_motion():
    verdict = evaluate_reading(
        Reading((one(direction="still"),), "static shot", 1), facts(STAR, num_frames=1)
    )
    assert (verdict.subject, verdict.motion, verdict.camera) == (True, True, True)


def test_many_objects():
    crowd = [one("circle", color) for color in COLORS for _ in range(4)]
    reading = Reading((*crowd, one()), "static shot", 16)
    verdict = evaluate_reading(reading, facts(STAR, RING, STAR))
    assert not verdict.subject
