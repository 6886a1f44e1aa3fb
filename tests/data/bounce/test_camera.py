import numpy as np
import pytest

from data.bounce.vocabulary import BACKGROUNDS, CAMERAS
from data.bounce.world import BounceVideo, WorldConfig, make_video


def shot(camera: str, seed: int = 3, **settings) -> BounceVideo:
    config = WorldConfig(
        cameras=(camera,), max_objects=1, still_prob=1.0, appear_prob=0.0, vanish_prob=0.0, **settings
    )
    return make_video(seed, config, num_frames=16, height=64, width=64, fps=16)


def shift(first: np.ndarray, last: np.ndarray) -> tuple[float, float]:
    """Return the shift of the content in pixels (right, down) by phase correlation."""
    a, b = (np.fft.fft2(f.astype(float).mean(-1) - f.mean()) for f in (first, last))
    cross = np.fft.ifft2(np.conj(a) * b).real
    y, x = np.unravel_index(cross.argmax(), cross.shape)
    return (x + 32) % 64 - 32, (y + 32) % 64 - 32


def test_static_view_is_exactly_the_room():
    one = shot("static shot")
    assert (one.video_THWC == one.video_THWC[0]).all()
    np.testing.assert_array_equal(one.view_T3, np.broadcast_to([0.5, 0.5, 1.0], (16, 3)))


@pytest.mark.parametrize(
    ("camera", "expected"),
    [("pan right", (-1, 0)), ("pan left", (1, 0)), ("tilt up", (0, 1)), ("tilt down", (0, -1))],
)
def test_content_moves_against_the_camera(camera, expected):
    one = shot(camera)
    x, y = shift(one.video_THWC[0], one.video_THWC[8])
    assert (np.sign(x), np.sign(y)) == expected
    assert max(abs(x), abs(y)) >= 5


def test_zooms_change_the_object_size():
    for camera, grows in (("zoom in", True), ("zoom out", False)):
        radius_T = shot(camera).tracks_NTXYRA[0, :, 2]
        assert (np.diff(radius_T) > 0).all() == grows
        assert max(radius_T[0], radius_T[-1]) / min(radius_T[0], radius_T[-1]) == pytest.approx(
            1.36, abs=0.01
        )


def test_handheld_shakes_and_comes_back():
    view = shot("handheld shot").view_T3
    assert 0.01 < view[:, 0].std() < 0.05
    assert 0.01 < view[:, 1].std() < 0.05
    assert np.abs(view[:, :2] - 0.5).max() <= 0.04


@pytest.mark.parametrize("camera", [c for c in CAMERAS if c != "static shot"])
def test_moving_cameras_show_the_walls(camera):
    one = shot(camera)
    dark = (np.abs(one.video_THWC.astype(int) - (38, 36, 40)).sum(-1) < 6).mean((1, 2))
    light = (np.abs(one.video_THWC.astype(int) - (196, 192, 184)).sum(-1) < 30).mean((1, 2))
    assert dark.max() > 0.02
    assert light.max() > 0.02


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backgrounds_are_muted_but_textured(background):
    still = make_video(
        1, WorldConfig(backgrounds=(background,), max_objects=1), num_frames=1, height=64, width=64, fps=16
    )
    x, y, radius, _ = still.tracks_NTXYRA[0, 0]
    grid = np.arange(64) + 0.5
    pixels = still.video_THWC[0][np.hypot(grid[None] - x, grid[:, None] - y) > 1.5 * radius].astype(float)
    assert (pixels.max(1) - pixels.min(1)).max() < 50  # colors of objects span over 150, or are white
    assert 40 < pixels.mean() < 150
    assert pixels.mean(1).std() > 3
