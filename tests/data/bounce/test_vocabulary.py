import itertools

import numpy as np
import pytest

from data.bounce.vocabulary import (
    BACKGROUNDS,
    COLORS,
    DIRECTIONS,
    HELD_OUT,
    SHAPES,
    circumradius,
    coverage,
    extent,
    is_held_out,
    signed_distance,
)


def mask(shape: str, radius: float, angle: float = 0.0, size: int = 32) -> np.ndarray:
    grid = np.arange(size) + 0.5 - size / 2
    return coverage(shape, grid[None, :], grid[:, None], radius, angle)


def test_words_are_many_enough():
    assert len(COLORS) >= 8
    assert len(SHAPES) >= 6
    assert len(DIRECTIONS) == 8
    assert len(BACKGROUNDS) >= 4


def test_colors_are_far_apart():
    for (a, x), (b, y) in itertools.combinations(COLORS.items(), 2):
        assert np.linalg.norm(np.subtract(x, y)) > 80, (a, b)


def test_directions_are_unit_vectors_with_y_down():
    assert DIRECTIONS["up"] == (0.0, -1.0)
    assert DIRECTIONS["right"] == (1.0, 0.0)
    assert all(np.hypot(*d) == pytest.approx(1) for d in DIRECTIONS.values())
    assert DIRECTIONS["down-left"][0] < 0 < DIRECTIONS["down-left"][1]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_of_one_visible_size(shape):
    area = mask(shape, 80.0, size=256).sum() / 80.0**2
    assert 1.8 < area < 3.3  # a disc has pi


@pytest.mark.parametrize("shape", SHAPES)
def test_extent_and_circumradius_bound_the_outline(shape):
    grid = np.linspace(-1.6, 1.6, 801)
    inside = signed_distance(shape, grid[None, :], grid[:, None]) <= 0
    y, x = (grid[i] for i in np.nonzero(inside))
    for turn in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        n = (np.cos(turn), np.sin(turn))
        assert extent(shape, *n) == pytest.approx((x * n[0] + y * n[1]).max(), abs=0.01)
    assert circumradius(shape) == pytest.approx(np.hypot(x, y).max(), abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_is_exact_across_the_outline(shape):
    """Antialiasing needs a gradient of one where the outline is smooth, or edges blur or alias."""
    grid = np.linspace(-1.5, 1.5, 601)
    d = signed_distance(shape, grid[None, :], grid[:, None])
    slope = np.hypot(*np.gradient(d, grid[1] - grid[0]))
    near = np.abs(d) < 0.05
    assert np.median(slope[near]) == pytest.approx(1, abs=0.02)
    assert (np.abs(slope[near] - 1) < 0.1).mean() > 0.9


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(SHAPES, 2)))
def test_small_shapes_differ_at_32_pixels_at_any_scale_and_angle(a, b):
    first = mask(a, 0.14 * 32)
    best = 0.0
    for radius in np.linspace(3.4, 5.8, 9):
        for angle in np.linspace(0, np.pi / 2, 10, endpoint=False):
            second = mask(b, radius, angle)
            best = max(best, np.minimum(first, second).sum() / np.maximum(first, second).sum())
    assert best < 0.88


def test_angle_turns_clockwise_on_the_screen():
    up, turned = mask("triangle", 10.0), mask("triangle", 10.0, np.pi / 2)
    np.testing.assert_allclose(np.rot90(up, -1), turned, atol=1e-6)


def test_every_word_is_held_out_with_some_and_kept_with_most():
    for kind, words in (("shape-color", COLORS), ("shape-direction", DIRECTIONS)):
        pairs = HELD_OUT[kind]
        assert {shape for shape, _ in pairs} == set(SHAPES)
        assert {word for _, word in pairs} <= set(words)
        for word in words:
            assert sum(w == word for _, w in pairs) <= 1
    assert is_held_out("star", "blue", "left")
    assert is_held_out("star", "red", "down-right")
    assert not is_held_out("star", "red", "left")
