"""Camera motion of rendered scenes: rates, shake, independent motion, labels."""

import cv2
import numpy as np
import pytest

from data.curation.camera import CameraMotion, measure_camera
from data.curation.camera_labels import LABELS, label_camera
from data.curation.config import CameraConfig
from data.curation.truth.samples import FPS, NUM_FRAMES, camera_scene, make_scene, slideshow
from data.curation.truth.scenes import Camera
from data.curation.truth.trajectories import LABELS as RENDERED
from data.curation.truth.trajectories import make_camera, tremor
from src.core.rng import numpy_generator


def measured(frames_THWC: np.ndarray, fps: float = FPS) -> CameraMotion:
    scale = 128 / min(frames_THWC.shape[1:3])
    small = [
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for frame in frames_THWC
    ]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small])
    return measure_camera(gray, np.arange(len(gray)) / fps)


def test_labels_are_those_of_the_renderer() -> None:
    assert set(LABELS) == set(RENDERED)


@pytest.mark.parametrize(
    "label", ["pan right", "tilt up", "zoom out", "push in", "static shot", "handheld shot"]
)
def test_rendered_camera_motion_gets_its_label(label: str) -> None:
    rng = numpy_generator(3, "test/" + label)
    camera = make_camera(rng, label, NUM_FRAMES, FPS)
    found, confidence = label_camera(
        measured(make_scene(rng, camera, (0, 0), num_objects=5, noise=1.0)).scores(), CameraConfig()
    )
    assert found == label
    assert confidence > 0.3


def test_the_rate_of_a_pan_is_measured() -> None:
    rng, zero, t = numpy_generator(1, "test/rate"), np.zeros(NUM_FRAMES), np.arange(NUM_FRAMES) / FPS
    frames = make_scene(rng, Camera(zero, zero, zero, -0.2 * t, zero, np.ones(NUM_FRAMES)), num_objects=0)
    motion = measured(frames)
    assert motion.steps_P4[:, 0].mean() * motion.fps == pytest.approx(-0.2, rel=0.05)
    assert motion.independent_fraction < 0.02


def test_a_shaken_camera_accelerates_and_a_pan_does_not() -> None:
    rng, zero, one = numpy_generator(1, "test/shake"), np.zeros(NUM_FRAMES), np.ones(NUM_FRAMES)
    t = np.arange(NUM_FRAMES) / FPS
    violent = [tremor(rng, t * 2.5, 0.04) for _ in range(2)]
    shaken = measured(make_scene(rng, Camera(zero, zero, zero, *violent, one), num_objects=0))
    pan = measured(make_scene(rng, Camera(zero, zero, zero, -0.3 * t, zero, one), num_objects=0))
    assert shaken.shake > 10 > 1 > pan.shake
    assert shaken.net_path < 0.2 * shaken.path
    assert pan.net_path > 0.9 * pan.path


def test_uneven_frame_times_are_no_shake() -> None:
    rng, zero = numpy_generator(1, "test/uneven"), np.zeros(30)
    times = np.cumsum(np.tile([1.0, 1.0, 2.0], 10)) / FPS
    camera = Camera(zero, zero, zero, -0.3 * times, zero, np.ones(30))
    from data.curation.truth.scenes import make_background, render

    frames = render([make_background(rng, 30)], camera, 128, 128)
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    even = measure_camera(gray, np.arange(30) / FPS)  # the same frames with wrong times
    assert measure_camera(gray, times).shake < 0.25 * even.shake


def test_a_still_that_is_zoomed_is_a_slideshow_and_a_scene_is_not() -> None:
    moving = measured(slideshow(numpy_generator(2, "test/slideshow"), False))
    still = measured(slideshow(numpy_generator(2, "test/slideshow"), True))
    assert still.slideshow_score > 0.92 > moving.slideshow_score


def test_depth_tells_a_push_from_a_zoom() -> None:
    values = {}
    for label in ("push in", "zoom in"):
        values[label] = measured(camera_scene(numpy_generator(4, "test/depth"), label))
    assert values["push in"].parallax > 0.09 > values["zoom in"].parallax
    assert values["push in"].alignment > 0.5


def test_labels_are_confident_only_where_depth_or_its_lack_is_plain() -> None:
    push = {"camera_x": 0.0, "camera_y": 0.0, "camera_zoom": 0.2, "parallax": 0.35, "shake": 0.05}
    push |= {
        "camera_path": 0.2,
        "camera_net_path": 0.19,
        "parallax_alignment": 0.95,
        "slideshow_score": 0.9,
    }
    config = CameraConfig()
    assert label_camera(push, config) == ("push in", 1.0)
    objects = {"parallax_alignment": 0.2}  # what leaves the camera's motion goes anywhere
    assert label_camera(push | objects, config) == ("push in", 0.0)
    zoom = push | {"parallax": 0.005}
    assert label_camera(zoom, config) == ("zoom in", 1.0)
    for doubt in ({"parallax": 0.06}, {"slideshow_score": 0.75}, {"camera_zoom": 0.06}):
        assert label_camera(zoom | doubt, config) == ("zoom in", 0.0)


def test_what_jolts_is_no_confident_camera() -> None:
    smooth = {"camera_x": -0.2, "camera_y": 0.0, "camera_zoom": 0.0, "parallax": 0.0, "shake": 0.3}
    smooth |= {"parallax_alignment": 0.0, "slideshow_score": 1.0}
    smooth |= {"camera_path": 1.0, "camera_net_path": 0.95}
    assert label_camera(smooth, CameraConfig()) == ("pan right", 1.0)
    jolting = smooth | {"shake": 2.0}  # more than the 1.7 % of the width that it moves per frame
    assert label_camera(jolting, CameraConfig()) == ("pan right", 0.0)
    assert label_camera(jolting | {"camera_net_path": 0.1}, CameraConfig()) == ("handheld shot", 1.0)
    still = smooth | {"camera_x": 0.001, "shake": 0.4, "camera_net_path": 0.9}
    assert label_camera(still, CameraConfig())[1] < 0.2
