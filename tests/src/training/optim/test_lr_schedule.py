import pytest

from src.training.optim.lr_schedule import learning_rate, num_halvings


def rates(schedule: str, **changes: float) -> list[float]:
    options = {"peak": 1.0, "warmup": 10, "total": 100, "final": 0.1} | changes
    return [learning_rate(step, schedule=schedule, **options) for step in range(100)]  # type: ignore[arg-type]


def test_constant_warms_up_linearly() -> None:
    r = rates("constant")
    assert r[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert set(r[10:]) == {1.0}


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_falls_along_a_cosine_to_the_final_rate(schedule: str) -> None:
    r = rates(schedule)
    assert r[9] == pytest.approx(1.0)
    assert r[9:] == sorted(r[9:], reverse=True)
    assert r[54] == pytest.approx(0.55, abs=1e-6)  # half way down
    assert r[-1] == pytest.approx(0.1)
    assert r[:10] == sorted(r[:10])


def test_linear_falls_to_the_final_rate() -> None:
    r = rates("linear", final=1e-4)
    assert r[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert r[54] == pytest.approx(0.5, abs=1e-4)
    assert r[-1] == pytest.approx(1e-4)


def test_plateau_halves_after_patience_and_stops_at_the_floor() -> None:
    assert num_halvings([3, 2, 1], patience=1) == 0
    assert num_halvings([1, 2, 2], patience=1) == 1
    assert num_halvings([1, 2, 2, 2, 2], patience=1) == 2
    assert num_halvings([1, 2, 0.5, 2, 2], patience=1) == 1
    falling = [rates("plateau", halvings=n)[50] for n in range(6)]
    assert falling == pytest.approx([1, 0.5, 0.25, 0.125, 0.1, 0.1])


def test_no_warmup_and_one_step() -> None:
    assert learning_rate(0, schedule="cosine", peak=2.0, warmup=0, total=1, final=0.5) == 1.0
