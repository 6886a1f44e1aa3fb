"""Physics of paths: exact fits of simulated motion, broken laws, ambiguous impacts, and rendered videos."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.bounce import physics as world_physics
from data.bounce.config import WorldConfig
from data.bounce.physics import Body, simulate
from data.bounce.world import make_video
from eval.bounce_checker.motion import MotionReading
from eval.bounce_checker.physics import BouncePhysics, measure_physics, read_impacts, reflection_error
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import write_video

WORLD = WorldConfig(
    max_objects=1, bounce_prob=1.0, still_prob=0.0, cameras=("static shot",), holdout="include", split="all",
    spin_prob=0.0, appear_prob=0.0, vanish_prob=0.0,
)  # fmt: skip
FRAMES = 40


def read_body(body: Body) -> MotionReading:
    """Return the exact reading of a simulated path; a frame is 1 second."""
    times = tuple(leg[0] for leg in body.path[1:])
    velocities = tuple((leg[3], leg[4]) for leg in body.path)
    return MotionReading("right", bool(times), 0.0, times, 0.0, velocities, (0.0, FRAMES), body.path[0][1:3])


def collide(*bodies: Body) -> tuple[list[MotionReading], list[float]]:
    simulate(list(bodies), 1.0, 1.0, FRAMES)
    return [read_body(body) for body in bodies], [body.mass for body in bodies]


def test_the_laws_of_the_world_have_no_error() -> None:
    found, unclear = read_impacts(*collide(Body("circle", 0.1, 0.3, 0.5, 0.03, 0.013)))
    assert unclear == 0
    assert len(found) >= 2
    for each in found:
        assert (each.angle, each.speed) == (pytest.approx(0, abs=1e-4), pytest.approx(0, abs=1e-9))
        assert each.momentum is None
        assert each.is_natural
    motions, masses = collide(
        Body("circle", 0.1, 0.2, 0.5, 0.015, 0.0), Body("circle", 0.15, 0.6, 0.52, -0.01, 0)
    )
    met = [each for each in read_impacts(motions, masses)[0] if len(each.objects) == 2]
    assert len(met) == 1
    assert (met[0].momentum, met[0].speed) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    wrong = read_impacts(motions, [masses[0], 4 * masses[1]])[0]
    assert max(each.momentum or 0 for each in wrong) > 0.25


def test_broken_laws_are_measured() -> None:
    (motion,), masses = collide(Body("circle", 0.1, 0.3, 0.5, 0.03, 0.0))
    first = motion.velocities[1]
    turned = (first[0] * math.cos(0.5), first[0] * math.sin(0.5))
    for velocity, angle, speed in ((turned, math.degrees(0.5), 0.0), ((0.5 * first[0], 0.0), 0.0, 0.5)):
        changed = replace(
            motion, breakpoints=motion.breakpoints[:1], velocities=(motion.velocities[0], velocity)
        )
        (impact,), _ = read_impacts([changed], masses)
        assert (impact.angle, impact.speed) == (pytest.approx(angle, abs=1e-4), pytest.approx(speed))
        assert not impact.is_natural
    assert reflection_error(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx(90)


def test_what_cannot_be_measured_is_counted() -> None:
    still = MotionReading("still", False, 0.0, (), 0.0, ((0.0, 0.0),), (0.0, FRAMES), (0.75, 0.5))
    (motion,), (mass,) = collide(Body("circle", 0.1, 0.5, 0.5, 0.02, 0.0))
    one = replace(motion, breakpoints=motion.breakpoints[:1], velocities=motion.velocities[:2])
    assert len(read_impacts([one], [mass])[0]) == 1
    assert read_impacts([one, still], [mass, mass]) == ([], 1)  # perhaps it met the other one
    assert read_impacts([replace(one, ends=(one.breakpoints[0] - 4, FRAMES))], [mass]) == ([], 1)
    assert read_impacts([replace(one, ends=(0, one.breakpoints[0] + 4))], [mass]) == ([], 1)
    assert read_impacts([replace(one, rmse=0.005)], [mass]) == ([], 1)
    far = replace(still, origin=(0.2, 0.2))
    assert len(read_impacts([one, far], [mass, mass])[0]) == 1


def absorb(bodies: list[Body], hit: world_physics._Hit) -> world_physics.Impact:
    """Resolve an impact after which half of the speed is left."""
    impact = RESOLVE(bodies, hit)
    for index in impact.objects:
        bodies[index].vx *= 0.5
        bodies[index].vy *= 0.5
    return impact


RESOLVE = world_physics._resolve


def test_rendered_videos_obey_and_absorbing_walls_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = []
    for resolve in (RESOLVE, absorb):
        monkeypatch.setattr(world_physics, "_resolve", resolve)
        total = np.zeros(2)
        for seed in SEEDS:
            video = make_video(seed, WORLD, num_frames=32, height=64, width=64, fps=16).video_THWC
            total += measure_physics(video, 16).pooled["impacts_natural"]
        sums.append(total)
    assert sums[0][1] >= 4
    assert sums[0][0] == sums[0][1]
    assert sums[1][1] >= 2
    assert sums[1][0] == 0


SEEDS = (0, 7, 8)


def test_what_it_refuses(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", np.full((1, 32, 32, 3), 128, np.uint8), 16)
    write_video(tmp_path / "b.mp4", np.full((6, 32, 32, 3), 128, np.uint8), 16)
    for name, reason in (("a", "an image has no motion"), ("b", "no objects are found")):
        with pytest.raises(ValueError, match=reason):
            BouncePhysics().measure(Item(Sample(id=name, prompt="", video=f"{name}.mp4"), tmp_path))
