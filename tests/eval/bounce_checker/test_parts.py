import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from data.bounce.vocabulary import COLORS, DIRECTIONS, SHAPES, coverage
from eval.bounce_checker import camera, motion
from eval.bounce_checker.background import Canvas, estimate_background
from eval.bounce_checker.camera import classify_camera, register_frames
from eval.bounce_checker.checker import ObjectReading, analyze_video
from eval.bounce_checker.color import COLOR_NAMES, nearest_color, rgb_to_oklab
from eval.bounce_checker.motion import BREAKPOINT_PENALTY, ERRATIC, fit_motion
from eval.bounce_checker.objects import Blob, find_tracks
from eval.bounce_checker.shape import PERIODS, classify_shape, to_canonical

FRAMES = np.arange(16)


def path(*pieces, start=(0.0, 0.0), noise=0.002):
    """Positions at 16 frames: `pieces` are (frames, vx, vy)."""
    points, place = [], np.array(start)
    for frames, *velocity in pieces:
        for _ in range(frames):
            points.append(place.copy())
            place = place + velocity
    assert len(points) == 16
    return np.array(points) + np.random.default_rng(0).normal(0, noise, (16, 2))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_straight_paths(name):
    x, y = DIRECTIONS[name]
    found = fit_motion(FRAMES, path((16, 0.025 * x, 0.025 * y)))
    assert (found.direction, found.bounces) == (name, False)
    assert found.speed == pytest.approx(0.025, rel=0.05)


def test_still_and_struck_and_rebounding():
    assert fit_motion(FRAMES, path((16, 0, 0))).direction == "still"
    assert fit_motion(FRAMES, path((16, 0, 0), noise=0.008)).bounces is False
    struck = fit_motion(FRAMES, path((8, 0, 0), (8, 0.02, 0)))
    assert (struck.direction, struck.bounces) == ("still", True)
    back = fit_motion(FRAMES, path((10, 0.03, 0), (6, -0.03, 0)))
    assert (back.direction, back.bounces) == ("right", True)
    assert back.breakpoints[0] == pytest.approx(10, abs=0.4)


def test_struck_and_then_off_a_wall():
    found = fit_motion(FRAMES, path((7, 0, 0), (5, 0.04, 0), (4, -0.04, 0)))
    assert (found.direction, found.bounces, len(found.breakpoints)) == ("still", True, 2)


def test_jolt_in_mid_air_needs_another_object() -> None:
    hitch = path((6, 0.02, 0), (3, 0.06, 0), (7, 0.02, 0))
    assert fit_motion(FRAMES, hitch).bounces is True
    alone = fit_motion(FRAMES, hitch, alone=True)
    assert (alone.direction, alone.bounces) == ("right", False)
    wall = fit_motion(FRAMES, path((9, 0.03, 0.03), (7, 0.03, -0.03)), alone=True)
    assert (wall.direction, wall.bounces) == ("down-right", True)
    leap = path((7, 0.02, 0), (2, 0.2, 0), (7, 0.02, 0))
    assert fit_motion(FRAMES, leap, alone=True).direction == ERRATIC


def test_outlier_in_the_last_frame_is_no_bounce():
    path_xy = path((16, 0.025, 0))
    path_xy[-1] += 0.08
    assert fit_motion(FRAMES, path_xy).bounces is False


def test_eight_observations_suffice_for_two_impacts():
    frames = 2 * np.arange(8)
    positions = np.interp(frames, [0, 5, 10, 14], [0.0, 0.2, 0.0, 0.16])
    found = fit_motion(frames, np.column_stack([positions, np.zeros(8)]))
    assert found.breakpoints == pytest.approx((5, 10), abs=0.3)
    assert len(fit_motion(frames[:7], np.column_stack([positions, np.zeros(8)])[:7]).breakpoints) < 2


def test_a_wrong_position_in_the_middle_is_left_out():
    path_xy = path((16, 0.025, 0))
    path_xy[7] += 0.1
    found = fit_motion(FRAMES, path_xy)
    assert (found.direction, found.bounces) == ("right", False)
    assert found.rmse < 0.01
    path_xy[[3, 7, 11]] += 0.1  # three of them are the path itself
    assert fit_motion(FRAMES, path_xy).rmse > 0.02


def blob(frame, rows, columns, color=0, strength=1.0):
    pixels = np.stack(np.meshgrid(range(*rows), range(*columns), indexing="ij"), -1).reshape(-1, 2)
    y, x = pixels.mean(0)
    return Blob(frame, color, pixels, float(x), float(y), strength)


def test_a_small_track_at_the_edge_of_a_large_one_is_no_object():
    def tracks(gap, small_frames=10):
        large = [blob(t, (10, 22), (10 + t, 22 + t)) for t in range(10)]
        small = [blob(t, (14, 17), (22 + gap + t, 25 + gap + t), color=3) for t in range(small_frames)]
        return find_tracks(large + small, 10, 48)

    assert [each.color for each in tracks(0)] == [0]
    assert sorted(each.color for each in tracks(14)) == [0, 3]
    # as large as the other it is an object, however near
    pair = [blob(t, (10, 20), (10, 20)) for t in range(6)] + [
        blob(t, (10, 20), (20, 30), 3) for t in range(6)
    ]
    assert sorted(each.color for each in find_tracks(pair, 6, 48)) == [0, 3]
    half = [blob(t, (10, 22), (10, 22)) for t in range(6)] + [
        blob(t, (10, 22), (19, 25), 3) for t in range(6)
    ]
    assert sorted(each.color for each in find_tracks(half, 6, 48)) == [0, 3]
    seen_once = [blob(t, (10, 20), (10, 20)) for t in range(10)] + [blob(4, (30, 40), (30, 40), 5)]
    assert [each.color for each in find_tracks(seen_once, 10, 48)] == [0]
    weak = [blob(t, (10, 20), (10, 20), strength=0.4) for t in range(6)]
    assert find_tracks(weak, 6, 48) == []


def test_the_smallest_frames_are_eight_pixels():
    assert analyze_video(np.full((1, 8, 8, 3), 90, np.uint8), 0.0).objects == ()
    for shape in ((1, 7, 9, 3), (0, 8, 8, 3)):
        with pytest.raises(ValueError, match="8x8 pixels"):
            analyze_video(np.zeros(shape, np.uint8), 0.0)


def test_readings_are_described_as_the_facts_are():
    common = dict(shape="star", color="red", spins=False, appears=False, vanishes=False)
    common |= dict(radius=0.1, speed=0.0, confidence=0.5)
    still = ObjectReading(direction="still", bounces=False, **common)
    moving = ObjectReading(direction="up", bounces=True, **common)
    assert (str(still), str(moving)) == ("red star, still", "red star, moves up, bounces")


def test_shuffled_path_is_erratic():
    path_xy = path((16, 0.03, 0.01))[np.random.default_rng(1).permutation(16)]
    assert fit_motion(FRAMES, path_xy).direction == ERRATIC


@pytest.mark.parametrize("num", [1, 2, 3, 5])
def test_short_paths(num):
    found = fit_motion(np.arange(num), np.zeros((num, 2)))
    assert (found.direction, found.bounces) == ("still", False)


def masks(shape, num=8, radius=6.0, turn=0.0, blur=0.0):
    side = 40
    y, x = np.mgrid[:side, :side] + 0.5
    out, known = [], []
    for t in range(num):
        cx, cy = 19.3 + 0.37 * t, 20.1 - 0.21 * t
        mask = coverage(shape, x - cx, y - cy, radius, turn * math.tau * t / num)
        mask = gaussian_filter(mask, blur).astype(np.float32)
        pair = to_canonical(mask, np.ones_like(mask), cx - 0.5, cy - 0.5, mask.sum())
        out.append(pair[0])
        known.append(pair[1])
    return np.array(out), np.array(known), np.arange(num) / num


@pytest.mark.parametrize("blur", [0.0, 1.2])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_crisp_and_soft(shape, blur):
    found = classify_shape(*masks(shape, blur=blur))
    assert found.shape == shape
    assert found.turns_per_second == 0.0
    assert found.scores[shape] > 0.985


@pytest.mark.parametrize("shape", ["square", "triangle", "star", "cross"])
def test_turning_shapes(shape):
    found = classify_shape(*masks(shape, num=16, radius=8.0, turn=0.4))
    assert found.shape == shape
    assert found.turns_per_second == pytest.approx(0.4, abs=0.04)


def test_shapes_look_the_same_after_their_period():
    folds = {"square": 4, "cross": 4, "triangle": 3, "star": 5}
    assert {shape: 360 / num for shape, num in folds.items()} == PERIODS


def test_colors_are_named_despite_light_and_tint():
    rgb = np.array(list(COLORS.values()))
    for changed in (rgb, rgb * 0.85, 128 + 0.75 * (rgb - 128), rgb * (1.05, 0.95, 0.95)):
        found = nearest_color(rgb_to_oklab(changed.clip(0, 255).astype(np.uint8)))
        assert [COLOR_NAMES[i] for i in found] == list(COLORS)


def test_oklab_against_published_values():
    # Ottosson (2020): white is (1, 0, 0); sRGB red is (0.628, 0.225, 0.126)
    lab = rgb_to_oklab(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 0]], np.uint8))
    assert np.allclose(lab, [[1, 0, 0], [0.62796, 0.22486, 0.12585], [0, 0, 0]], atol=1e-3)


def textured(num=12, side=40, step=(0.0, 0.0)):
    canvas = gaussian_filter(np.random.default_rng(4).normal(size=(120, 120)), 2.5) * 2 + 0.5
    frames = [
        shift(canvas, (-step[1] * t, -step[0] * t), order=3)[40 : 40 + side, 40 : 40 + side]
        for t in range(num)
    ]
    return np.stack(frames).astype(np.float32)


@pytest.mark.parametrize("step", [(0.8, 0.0), (0.0, -1.1), (0.5, 0.6), (0.0, 0.0)])
def test_registration_finds_steady_shifts(step):
    luma = textured(step=step)
    view = register_frames(luma, np.ones(luma.shape, bool))
    truth = (np.arange(12) - 6)[:, None] * np.array(step)
    assert np.abs(view[:, :2] - truth).max() < 0.25
    assert np.abs(view[:, 2] - 1).max() < 0.01


def test_camera_names_of_paths():
    along = np.linspace(-0.5, 0.5, 16)
    zero, one = np.zeros(16), np.ones(16)
    paths = {
        "pan right": (12 * along, zero, one),
        "pan left": (-12 * along, zero, one),
        "tilt down": (zero, 12 * along, one),
        "tilt up": (zero, -12 * along, one),
        "zoom in": (zero, zero, np.exp(-0.3 * along)),
        "zoom out": (zero, zero, np.exp(0.3 * along)),
        "static shot": (0.1 * along, zero, one),
        "handheld shot": (2 * np.sin(9 * along), 2 * np.cos(13 * along), one),
    }
    for name, columns in paths.items():
        assert classify_camera(np.column_stack(columns), 64) == name


def test_background_behind_a_moving_object():
    floor = np.repeat(textured(num=1), 8, axis=0)[..., None] * np.full(3, 200.0)
    video, background = floor.clip(0, 255).astype(np.uint8), np.ones(floor.shape[:3], bool)
    truth = video.copy()
    for t in range(8):
        video[t, 10:16, 3 * t : 3 * t + 6] = (230, 0, 0)
        background[t, 9:17, max(3 * t - 1, 0) : 3 * t + 7] = False
    view = np.tile([0.0, 0.0, 1.0], (8, 1))
    assert np.abs(estimate_background(video, background, view) - truth).max() < 1.5


def test_canvas_round_trip():
    frames = textured(step=(1.0, 0.0))
    view = np.column_stack([np.arange(12.0) - 6, np.zeros(12), np.ones(12)])
    canvas = Canvas(view, 40, 40)
    layer, total = canvas.splat(frames, np.ones_like(frames))
    assert total.max() == pytest.approx(12, abs=1e-3)
    assert np.abs(canvas.sample(layer) - frames).max() < 0.02


@pytest.mark.parametrize(("gain", "breakpoints"), [(1.1, (4.5,)), (0.9, ())])
def test_the_noise_of_a_path_counts_the_numbers_that_its_fit_has_taken(monkeypatch, gain, breakpoints):
    """With 10 positions, 2 * 10 numbers, a fit of one impact leaves 2 * 6 of them for the noise."""
    errors = {(): 1 + gain * BREAKPOINT_PENALTY / 12, (4.5,): 1.0}
    fits = {
        points: SimpleNamespace(breakpoints=points, error=error, coefficients=np.ones((2 + len(points), 2)))
        for points, error in errors.items()
    }
    monkeypatch.setattr(motion, "_candidates", lambda *_: list(errors))
    monkeypatch.setattr(motion, "_all_are_impacts", lambda *_: True)
    monkeypatch.setattr(motion, "_Fit", SimpleNamespace(of=lambda times, path, points: fits[points]))
    monkeypatch.setattr(motion, "_without_outliers", lambda times, path: (times, path))
    assert fit_motion(np.arange(10), np.zeros((10, 2))).breakpoints == breakpoints


def test_a_step_of_the_registration_is_a_robust_fit_with_a_prior():
    """Huber weights at 1.5 medians, and the prior as three more rows."""
    random = np.random.default_rng(0)
    moving, target = (gaussian_filter(random.normal(0.5, 0.3, (1, 12, 20)), (0, 1, 1)) for _ in range(2))
    visible, weight = np.ones_like(moving), random.uniform(0.2, 1, moving.shape)
    visible[0, :2] = 0.98
    view, prior = np.array([[0.0, 0.0, 1.25]]), np.array([0.6, 0.6, 0.002])
    found = camera._gauss_newton_step(
        view, target, visible, moving, weight, np.array([0.1, 0, 1.25]), prior, False
    )
    dy, dx = np.gradient((moving[0] + target[0]) / 2)
    y, x = np.meshgrid(np.arange(12) - 5.5, np.arange(20) - 9.5, indexing="ij")
    basis = np.stack([dx.ravel(), dy.ravel(), (dx * x + dy * y).ravel()], 1) / 1.25
    error = (moving - target).ravel()
    scale = 1.5 * np.median(np.abs(error[::5])) + 0.01
    root = np.sqrt(np.where(visible > 0.99, weight, 0).ravel() / np.maximum(1, np.abs(error) / scale))
    ridge = np.sqrt(30) * 0.01 / prior
    rows = np.concatenate([basis * root[:, None], np.diag(ridge)])
    right = np.concatenate([error * root, ridge * (np.array([0.1, 0, 1.25]) - view[0])])
    expected = np.linalg.lstsq(rows, right, rcond=None)[0]
    assert np.abs(expected[:2]).max() < 1.2  # not clipped, unlike the change of scale
    assert found[0] == pytest.approx(view[0] + np.clip(expected, -2 * prior, 2 * prior), abs=1e-9)


def test_a_path_has_as_many_candidates_as_it_is_long_enough_for():
    path = np.random.default_rng(0).normal(0, 0.1, (40, 2))
    numbers = {
        num: len(motion._candidates(np.arange(num), path[:num])) for num in (5, 6, 7, 9, 11, 12, 13, 14, 40)
    }
    assert numbers == {5: 1, 6: 2, 7: 2, 9: 3, 11: 3, 12: 4, 13: 4, 14: 5, 40: motion.MAX_BREAKPOINTS + 1}
