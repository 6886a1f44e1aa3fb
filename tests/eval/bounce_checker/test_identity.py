from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker.checker import Reading, analyze_video
from eval.bounce_checker.identity import BounceIdentity, match_objects
from eval.core.degradations import rotate_colors
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import write_video

WORLD = {"max_objects": 1, "cameras": ("static shot",), "holdout": "include", "split": "all"}


def clip(seed, num_frames, **world):
    return make_video(
        seed, WorldConfig(**WORLD | world), num_frames=num_frames, height=48, width=48, fps=16
    ).video_THWC


def measured(folder, video):
    write_video(folder / "film.mp4", video, 16)
    return (
        BounceIdentity()
        .measure(Item(Sample(id="a", prompt="", video="film.mp4", reference="who.png"), folder))
        .values
    )


def test_same_object_in_other_videos(tmp_path):
    red_star = {"shapes": ("star",), "colors": ("red",)}
    Image.fromarray(clip(1, 1, **red_star)[0]).save(tmp_path / "who.png")
    for seed in (2, 3, 4):
        same = measured(tmp_path, clip(seed, 10, **red_star))
        assert same == {"identity": 1, "identity_shape": 1, "identity_color": 1}
    blue_star = measured(tmp_path, clip(2, 10, shapes=("star",), colors=("blue",)))
    assert blue_star == {"identity": 0, "identity_shape": 1, "identity_color": 0}
    red_ring = measured(tmp_path, clip(2, 10, shapes=("ring",), colors=("red",)))
    assert red_ring == {"identity": 0, "identity_shape": 0, "identity_color": 1}
    assert measured(tmp_path, rotate_colors(clip(2, 10, **red_star), 0))["identity"] == 0


def test_other_and_missing_objects(tmp_path):
    one = analyze_video(clip(1, 10, shapes=("star",), colors=("red",)), 16)
    two = analyze_video(clip(2, 10, shapes=("ring",), colors=("blue",)), 16)
    both = replace(one, objects=(*two.objects, *one.objects))
    assert match_objects(one, both)["identity"] == 1
    assert match_objects(both, one) == {"identity": 0, "identity_shape": 0.5, "identity_color": 0.5}
    assert match_objects(both, both)["identity"] == 1
    mixed = tuple(replace(a, color=b.color) for a, b in zip(both.objects, both.objects[::-1], strict=True))
    assert match_objects(both, replace(both, objects=mixed))["identity"] == 0
    # colors count as much as shapes: the star is found in red or as a star, the ring only in blue
    blue_star, red_cross = (
        replace(one.objects[0], shape=shape, color=color)
        for shape, color in (("star", "blue"), ("cross", "red"))
    )
    found = match_objects(both, replace(both, objects=(blue_star, red_cross)))
    assert found == {"identity": 0, "identity_shape": 0, "identity_color": 1}
    assert match_objects(one, Reading((), "static shot", 10))["identity_shape"] == 0
    Image.fromarray(np.full((48, 48, 3), 90, np.uint8)).save(tmp_path / "who.png")
    with pytest.raises(ValueError, match="the reference shows no object"):
        measured(tmp_path, clip(1, 10))
