import math

import pytest

from data.bounce.physics import Body, simulate


def energy(bodies):
    return sum(b.mass * (b.vx**2 + b.vy**2) for b in bodies)


def test_wall_bounce_at_the_exact_time_and_place():
    ball = Body("circle", 0.2, 0.5, 0.5, 1.0, 0.25)
    impacts = simulate([ball], 1.0, 1.0, 0.5)
    assert [i.kind for i in impacts] == ["wall"]
    assert impacts[0].time_s == pytest.approx(0.3)
    assert impacts[0].speed == pytest.approx(1.0)
    assert impacts[0].position == pytest.approx((1.0, 0.575))
    assert ball.position(0.5) == pytest.approx((0.6, 0.625))
    assert ball.position(0.1) == pytest.approx((0.6, 0.525))


def test_upright_shapes_touch_walls_with_their_outline():
    falling = Body("triangle", 0.2, 0.5, 0.5, 0.0, 1.0)
    rising = Body("triangle", 0.2, 0.5, 0.5, 0.0, -1.0)
    assert simulate([falling], 1.0, 1.0, 1.0)[0].time_s == pytest.approx(0.5 - 0.2 * 0.61)
    assert simulate([rising], 1.0, 1.0, 1.0)[0].time_s == pytest.approx(0.5 - 0.2 * 1.22)


def test_equals_swap_velocities_head_on():
    a, b = Body("circle", 0.1, 0.3, 0.5, 0.5, 0.0), Body("circle", 0.1, 0.7, 0.5, -0.25, 0.0)
    impacts = simulate([a, b], 1.0, 1.0, 0.4)
    assert impacts[0].kind == "object"
    assert impacts[0].objects == (0, 1)
    assert impacts[0].time_s == pytest.approx(0.2 / 0.75)
    assert (a.vx, b.vx) == pytest.approx((-0.25, 0.5))


def test_mass_is_area():
    light, heavy = Body("circle", 0.1, 0.3, 0.5, 1.0, 0.0), Body("circle", 0.2, 0.7, 0.5, 0.0, 0.0)
    simulate([light, heavy], 1.0, 1.0, 0.2)
    assert (light.vx, heavy.vx) == pytest.approx((-0.6, 0.4))


def test_squares_meet_face_to_face():
    a, b = Body("square", 0.1, 0.2, 0.5, 1.0, 0.0), Body("square", 0.1, 0.8, 0.5, 0.0, 0.0)
    assert simulate([a, b], 1.0, 1.0, 0.5)[0].time_s == pytest.approx(0.6 - 2 * 0.088)


def test_energy_is_kept_and_no_body_leaves_the_room():
    bodies = [
        Body("circle", 0.1, 0.2, 0.2, 0.9, 0.43),
        Body("star", 0.14, 1.2, 0.3, -0.6, 0.7, spin=2.0),
        Body("square", 0.12, 0.7, 0.7, 0.3, -0.8),
    ]
    before = energy(bodies)
    impacts = simulate(bodies, 1.5, 1.0, 60.0)
    assert len(impacts) > 100
    assert {i.kind for i in impacts} == {"wall", "object"}
    assert energy(bodies) == pytest.approx(before, rel=1e-9)
    assert [i.time_s for i in impacts] == sorted(i.time_s for i in impacts)
    for body in bodies:
        for k in range(600):
            x, y = body.position(k / 10)
            assert body.reach(-1, 0) - 1e-6 <= x <= 1.5 - body.reach(1, 0) + 1e-6
            assert body.reach(0, -1) - 1e-6 <= y <= 1.0 - body.reach(0, 1) + 1e-6


def test_momentum_is_kept_in_a_glancing_hit():
    a, b = Body("circle", 0.1, 0.3, 0.45, 0.5, 0.0), Body("circle", 0.15, 0.7, 0.5, 0.0, 0.0)
    simulate([a, b], 1.0, 1.0, 0.5)
    assert a.mass * a.vx + b.mass * b.vx == pytest.approx(0.5 * a.mass)
    assert a.mass * a.vy + b.mass * b.vy == pytest.approx(0.0)
    assert b.vy > 0 > a.vy  # pushed apart along the line between the centers
    assert math.hypot(b.vx, b.vy) > 0.1
