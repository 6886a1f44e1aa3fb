import numpy as np
import pytest

from data.bounce.config import WorldConfig
from data.bounce.vocabulary import COLOURS, SHAPES, coverage
from data.bounce.world import film
from eval.bounce_checker.checker import ObjectReading, Reading, judge, read
from eval.bounce_checker.validate import WORLDS, trial
from eval.sanity.degradations import other_colours

ONE = {"max_objects": 1, "holdout": "include", "split": "all", "appear_prob": 0.0, "vanish_prob": 0.0}


def picture(shape, colour, side=48, radius=9.0, floor=100):
    y, x = np.mgrid[:side, :side] + 0.5
    share = coverage(shape, x - side / 2, y - side / 2, radius)[..., None]
    return (floor + share * (np.array(COLOURS[colour]) - floor)).round().astype(np.uint8)[None]


def share_right(world, degradation, num, first=5_000):
    done = [trial(seed, WORLDS[world], degradation) for seed in range(first, first + num)]
    verdicts = [each.verdict for each in done if each is not None]
    assert len(verdicts) > 0.9 * num
    return tuple(np.mean([getattr(v, key) for v in verdicts]) for key in ("subject", "motion", "camera"))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_colour_and_shape_is_read_from_one_picture(shape, colour):
    (found,) = read(picture(shape, colour), 0.0).objects
    assert (found.shape, found.colour) == (shape, colour)
    assert found.radius == pytest.approx(
        9.0 / 48 * (1.0 if shape == "circle" else found.radius / 9.0 * 48), rel=0.1
    )


@pytest.mark.parametrize("world", ["tiny", "full"])
def test_ground_truth_is_read_right(world):
    assert share_right(world, "ground truth", 24) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("degradation", ["H.264 crf 23", "as generated x1"])
def test_codecs_and_soft_films_are_forgiven(degradation):
    subject, motion, _ = share_right("tiny", degradation, 16)
    assert min(subject, motion) >= 15 / 16


def test_wrong_colours_fail_the_subject_only():
    subject, motion, _ = share_right("tiny", "wrong colours", 16)
    assert subject < 0.3  # white stays white
    assert motion == 1.0


@pytest.mark.parametrize(("degradation", "most"), [("frozen", 0.35), ("shuffled", 0.35), ("reversed", 0.6)])
def test_broken_motion_fails_the_motion_only(degradation, most):
    subject, motion, _ = share_right("tiny", degradation, 16)
    assert subject >= 15 / 16
    assert motion <= most


def test_blur_lowers_the_subject_step_by_step():
    shares = [share_right("tiny", f"blur {sigma}", 16)[0] for sigma in ("0.7", "2", "5")]
    assert shares[0] > shares[1] > shares[2]
    assert shares[0] >= 15 / 16


def test_reading_is_blind_and_repeatable():
    clip = film(3, WorldConfig(**ONE), num_frames=16, height=32, width=32, fps=16)
    assert read(clip.video_THWC, 16) == read(clip.video_THWC.copy(), 16)
    spoilt = read(other_colours(clip.video_THWC, 0), 16)
    assert [o.direction for o in spoilt.objects] == [o.direction for o in read(clip.video_THWC, 16).objects]


@pytest.mark.parametrize("size", [(32, 56), (56, 32), (45, 63)])
def test_other_formats(size):
    right = 0
    for seed in range(6):
        clip = film(seed, WorldConfig(**ONE), num_frames=20, height=size[0], width=size[1], fps=16)
        verdict = judge(read(clip.video_THWC, 16), clip.facts.to_dict())
        right += verdict.subject and verdict.motion
    assert right == 6


def test_a_cross_with_two_bars_is_no_cross():
    y, x = np.mgrid[:64, :64] + 0.5
    bars = [abs(x - 32) < 3.5, *((abs(y - at) < 3.5) & (abs(x - 32) < 13) for at in (24, 40))]
    inside = np.any(bars, 0) & (abs(y - 32) < 20)
    video = np.where(inside[..., None], np.array(COLOURS["blue"]), 100).astype(np.uint8)[None]
    (found,) = read(video, 0.0).objects
    assert (found.shape, found.colour) == ("unknown shape", "blue")


def test_films_of_nothing_and_of_noise_are_read_without_fuss():
    empty = np.full((8, 32, 32, 3), 90, np.uint8)
    assert read(empty, 16).objects == ()
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    assert read(noise, 16).num_frames == 8
    white = np.full((8, 32, 32, 3), 255, np.uint8)
    assert read(white, 16).objects == ()


@pytest.mark.parametrize(
    "video", [np.zeros((4, 32, 32, 3)), np.zeros((32, 32, 3), np.uint8), np.zeros((4, 1, 1, 3), np.uint8)]
)
def test_what_is_no_film_is_refused(video):
    with pytest.raises(ValueError, match="video: expected"):
        read(video, 16)


def one(shape="star", colour="red", direction="right", bounces=False):
    return ObjectReading(shape, colour, direction, bounces, False, False, False, 0.1, 0.5, 0.1)


def facts(*objects, camera="static shot", num_frames=16):
    keys = ("shape", "colour", "direction", "bounces")
    asked = [dict(zip(keys, each, strict=True)) for each in objects]
    return {"objects": asked, "camera": camera, "num_frames": num_frames}


STAR, RING = ("star", "red", "right", False), ("ring", "blue", "still", False)


def test_judging_is_free_of_order_and_names_the_mistake():
    reading = Reading((one("ring", "blue", "still"), one()), "static shot", 16)
    verdict = judge(reading, facts(STAR, RING))
    assert (verdict.subject, verdict.motion, verdict.camera, verdict.pairs) == (True, True, True, (1, 0))
    assert verdict.why == ""
    wrong = judge(Reading((one("circle", direction="left", bounces=True),), "pan left", 16), facts(STAR))
    assert (wrong.subject, wrong.motion, wrong.camera) == (False, False, False)
    for part in (
        "looks like a red circle",
        "left instead of right",
        "bounces",
        "pan left instead of static shot",
    ):
        assert part in wrong.why


def test_the_number_of_objects_counts():
    missing = judge(Reading((one(),), "static shot", 16), facts(STAR, RING))
    assert (missing.subject, missing.motion) == (False, False)
    extra = judge(Reading((one(), one("ring", "blue", "still")), "static shot", 16), facts(STAR))
    assert (extra.subject, extra.motion) == (False, True)
    assert judge(Reading((), "static shot", 16), facts(STAR)).why == "0 objects instead of 1; no red star"


def test_a_wrong_colour_leaves_the_motion_right():
    verdict = judge(Reading((one(colour="green"),), "static shot", 16), facts(STAR))
    assert (verdict.subject, verdict.motion) == (False, True)


def test_pictures_have_no_motion_to_fail():
    verdict = judge(Reading((one(direction="still"),), "static shot", 1), facts(STAR, num_frames=1))
    assert (verdict.subject, verdict.motion, verdict.camera) == (True, True, True)


def test_many_objects_do_not_stall_the_pairing():
    crowd = [one("circle", colour) for colour in COLOURS for _ in range(4)]
    reading = Reading((*crowd, one()), "static shot", 16)
    verdict = judge(reading, facts(STAR, RING, STAR))
    assert not verdict.subject
