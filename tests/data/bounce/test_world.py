import hashlib
import json
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from data.bounce.facts import VideoFacts
from data.bounce.splits import has_held_out, is_in_world, is_test
from data.bounce.vocabulary import COLORS, DIRECTIONS, SIZES, STILL
from data.bounce.world import WORLD_VERSION, BounceVideo, WorldConfig, make_video

TINY = {"num_frames": 16, "height": 32, "width": 32, "fps": 16.0}
SMALL = {"num_frames": 16, "height": 64, "width": 64, "fps": 16.0}
ONE_STATIC = WorldConfig(max_objects=1, cameras=("static shot",))


@pytest.fixture(scope="module")
def videos() -> list[BounceVideo]:
    return [make_video(seed, WorldConfig(), **SMALL) for seed in range(120)]


def digest(one: BounceVideo) -> str:
    facts = json.dumps(one.facts.to_dict(), sort_keys=True)
    return hashlib.sha256(one.video_THWC.tobytes() + facts.encode()).hexdigest()[:16]


# Golden videos. If one changes, every data set and cached latent changes with it: raise WORLD_VERSION.
GOLDEN = {
    "0": "e65729c4b1045144",
    "4": "9821cf56e547c5a9",
    "9": "c492cd3f19c56043",
    "image 2": "18697e878c9a1159",
    "wide 7": "62cc5bd473ce7a60",
}


def test_golden_videos():
    digests = {str(seed): digest(make_video(seed, WorldConfig(), **SMALL)) for seed in (0, 4, 9)}
    digests["image 2"] = digest(make_video(2, WorldConfig(), **{**SMALL, "num_frames": 1}))
    digests["wide 7"] = digest(make_video(7, WorldConfig(), num_frames=40, height=48, width=80, fps=24.0))
    assert WORLD_VERSION == "bounce-1"
    assert digests == GOLDEN


def test_another_process_makes_the_same_bytes():
    code = (
        "from tests.data.bounce.test_world import *;"
        "print([digest(make_video(s, WorldConfig(), **SMALL)) for s in (1, 2, 3)])"
    )
    env = {**os.environ, "PYTHONHASHSEED": "1234", "OMP_NUM_THREADS": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout
    assert out.strip() == str([digest(make_video(s, WorldConfig(), **SMALL)) for s in (1, 2, 3)])


def test_seeds_make_different_videos(videos):
    assert len({digest(one) for one in videos}) == len(videos)


def test_shapes_and_types():
    one = make_video(3, WorldConfig(), num_frames=5, height=40, width=72, fps=10)
    assert one.video_THWC.shape == (5, 40, 72, 3)
    assert one.video_THWC.dtype == np.uint8
    assert one.tracks_NTXYRA.shape == (len(one.facts.objects), 5, 4)
    assert one.view_T3.shape == (5, 3)
    assert (one.facts.num_frames, one.facts.height, one.facts.width, one.facts.fps) == (5, 40, 72, 10.0)


def test_facts_survive_json(videos):
    for one in videos:
        assert VideoFacts.from_dict(json.loads(json.dumps(one.facts.to_dict()))) == one.facts


def test_resolution_does_not_change_the_scene(videos):
    for seed in range(20):
        low, high = make_video(seed, WorldConfig(), **TINY), videos[seed]
        assert low.facts.objects == high.facts.objects
        assert low.facts.impacts == high.facts.impacts
        np.testing.assert_allclose(low.tracks_NTXYRA[..., :3] * 2, high.tracks_NTXYRA[..., :3], atol=1e-3)


def test_pixels_show_the_tracks(videos):
    """The center of the pixels of an object's color is where the track says."""
    seen = 0
    for one in videos:
        colors = [o.color for o in one.facts.objects]
        for n, fact in enumerate(one.facts.objects):
            if colors.count(fact.color) > 1 or fact.shape == "triangle":  # its center is not its mean
                continue
            for t in (0, 7, 15):
                x, y, radius, _ = one.tracks_NTXYRA[n, t]
                if radius < 4:
                    continue
                off = np.abs(one.video_THWC[t].astype(int) - COLORS[fact.color]).sum(-1)
                rows, columns = np.nonzero(off < 60)
                assert columns.mean() + 0.5 == pytest.approx(x, abs=0.7)
                assert rows.mean() + 0.5 == pytest.approx(y, abs=0.7)
                seen += 1
    assert seen > 150


def room_tracks(one: BounceVideo) -> np.ndarray:
    """Object centers in room units, [N, T, 2]."""
    px_T = one.view_T3[:, 2] / min(one.facts.height, one.facts.width)
    center = np.array([one.facts.width, one.facts.height]) / 2
    return (one.tracks_NTXYRA[..., :2] - center) * px_T[:, None] + one.view_T3[:, :2]


def test_facts_say_what_the_tracks_do(videos):
    """Direction before the first impact, stillness, and a change of course exactly where `bounces`."""
    for one in videos:
        for n, (fact, xy) in enumerate(zip(one.facts.objects, room_tracks(one), strict=True)):
            times = [i.time_s for i in one.facts.impacts if n in i.objects]
            assert fact.bounces == bool(times)
            first = min(times, default=math.inf)
            before = xy[np.arange(16) / 16 <= first]
            moved = before[-1] - before[0]
            if fact.direction == STILL:
                assert np.abs(moved).max() < 1e-5
            else:
                assert np.linalg.norm(moved) > 0.18
                np.testing.assert_allclose(
                    moved / np.linalg.norm(moved), DIRECTIONS[fact.direction], atol=1e-3
                )
            steps = np.diff(xy, axis=0)
            kink = np.linalg.norm(steps - steps[0], axis=1).max()
            assert (kink > 0.01) == fact.bounces


def test_impacts_are_legible(videos):
    hits = [(one, impact) for one in videos for impact in one.facts.impacts]
    assert {impact.kind for _, impact in hits} == {"wall", "object"}
    for one in videos:
        for n, _ in enumerate(one.facts.objects):
            first = next((i.time_s for i in one.facts.impacts if n in i.objects), None)
            assert first is None or 0.29 <= first <= 0.76


def test_objects_stay_in_view_and_apart_at_first(videos):
    for one in videos:
        x, y, radius = (one.tracks_NTXYRA[..., k] for k in range(3))
        assert ((x - 0.5 * radius > 0) & (x + 0.5 * radius < 64)).all()
        assert ((y - 0.5 * radius > 0) & (y + 0.5 * radius < 64)).all()
        start = one.tracks_NTXYRA[:, 0]
        for a in range(len(start)):
            for b in range(a):
                assert np.linalg.norm(start[a, :2] - start[b, :2]) > 0.85 * (start[a, 2] + start[b, 2])


def test_objects_of_a_video_can_be_distinguished(videos):
    for one in videos:
        names = [(o.shape, o.color) for o in one.facts.objects]
        assert len(set(names)) == len(names)


def test_everything_happens(videos):
    facts = [one.facts for one in videos]
    objects = [o for f in facts for o in f.objects]
    assert {len(f.objects) for f in facts} == {1, 2, 3}
    for name, words in (("size", SIZES), ("color", COLORS), ("direction", [*DIRECTIONS, STILL])):
        assert {getattr(o, name) for o in objects} == set(words)
    for flag in ("bounces", "spin", "appears", "vanishes"):
        assert {getattr(o, flag) for o in objects} == {True, False}
    assert any(o.direction == STILL and o.bounces for o in objects)
    assert len({f.camera for f in facts}) == 8


def test_appearing_and_vanishing_show():
    config = WorldConfig(max_objects=1, appear_prob=0.5, vanish_prob=0.5, cameras=("static shot",))
    for seed in range(30):
        one = make_video(seed, config, **TINY)
        radius_T, fact = one.tracks_NTXYRA[0, :, 2], one.facts.objects[0]
        assert (radius_T[0] == 0) == fact.appears
        assert (radius_T[-1] == 0) == fact.vanishes
        assert (radius_T > 0).sum() >= 8
        gone = one.video_THWC[0 if fact.appears else -1].astype(int)
        far = np.abs(gone - COLORS[fact.color]).sum(-1).min() > 60
        assert far == (fact.appears or fact.vanishes)


def test_spin_turns_the_image():
    config = WorldConfig(
        max_objects=1, shapes=("square",), still_prob=1.0, spin_prob=1.0, cameras=("static shot",)
    )
    spun = make_video(0, config, **TINY)
    assert spun.facts.objects[0].spin
    assert np.abs(spun.video_THWC[0].astype(int) - spun.video_THWC[8]).max() > 60


def test_images_have_still_facts():
    one = make_video(5, WorldConfig(), **{**TINY, "num_frames": 1})
    assert one.facts.is_image
    assert one.facts.camera == "static shot"
    assert not one.facts.impacts
    assert all(o.direction == STILL and not o.bounces and not o.spin for o in one.facts.objects)


@pytest.mark.parametrize(
    "size", [(8, 24, 64, 16.0), (2, 32, 32, 4.0), (48, 36, 20, 12.0), (120, 32, 56, 30.0)]
)
def test_any_size_length_and_rate(size):
    frames, height, width, fps = size
    for seed in range(8):
        one = make_video(seed, WorldConfig(), num_frames=frames, height=height, width=width, fps=fps)
        assert one.video_THWC.shape == (frames, height, width, 3)
        assert all(
            o.bounces == any(n in i.objects for i in one.facts.impacts)
            for n, o in enumerate(one.facts.objects)
        )


def test_training_never_sees_what_is_kept_from_it():
    facts = [make_video(seed, ONE_STATIC, **TINY).facts for seed in range(300)]
    assert not any(has_held_out(f) or is_test(f) for f in facts)
    images = [make_video(seed, ONE_STATIC, **{**TINY, "num_frames": 1}).facts for seed in range(200)]
    assert not any(has_held_out(f) for f in images)


def test_holdout_and_split_choose_the_rest():
    only = WorldConfig(holdout="only")
    assert all(has_held_out(make_video(s, only, **TINY).facts) for s in range(20))
    test = WorldConfig(split="test", max_objects=1)
    kept = [make_video(s, test, **TINY).facts for s in range(20)]
    assert all(is_test(f) and not has_held_out(f) for f in kept)
    assert not any(is_in_world(f, WorldConfig()) for f in kept)
    both = WorldConfig(holdout="include", split="all", max_objects=1)
    assert any(has_held_out(make_video(s, both, **TINY).facts) for s in range(60))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_objects": 0}, "min_objects must be at least 1, got 0"),
        ({"max_objects": 4}, "max_objects must be at most 3, got 4"),
        ({"min_objects": 3, "max_objects": 2}, "min_objects=3 is more than max_objects=2"),
        ({"colors": ("red", "mauve")}, "colors must be one of red, .*, got red, mauve"),
        ({"cameras": ()}, "cameras is empty"),
        ({"bounce_prob": 1.5}, "bounce_prob must be at most 1, got 1.5"),
        ({"holdout": "maybe"}, "holdout must be one of exclude, only, include, got maybe"),
    ],
)
def test_bad_configs_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        WorldConfig(**settings)


def test_bad_sizes_are_named():
    for bad in ({"num_frames": 0}, {"height": 4}, {"fps": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make_video(0, WorldConfig(), **{**TINY, **bad})


def test_a_world_without_videos_is_an_error():
    nothing = WorldConfig(shapes=("star",), colors=("blue",), max_objects=1)
    with pytest.raises(ValueError, match="no video for seed 0"):
        make_video(0, nothing, **TINY)


def test_a_video_takes_milliseconds():
    best = math.inf
    for seed in range(40):
        started = time.perf_counter()
        make_video(seed, ONE_STATIC, **TINY)
        best = min(best, time.perf_counter() - started)
    assert best < 0.003
