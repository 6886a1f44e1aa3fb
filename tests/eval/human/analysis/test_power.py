import pytest

from eval.human.__main__ import main
from eval.human.analysis.net_wins import net_win
from eval.human.analysis.power import (
    difference_for,
    estimate_from_pilot,
    half_width_for,
    num_items_for,
    num_items_for_sigma,
    num_items_for_width,
    scaled_sigma,
)
from src.core.errors import UserError
from tests.eval.human.analysis.test_net_wins import votes


def test_items_for_a_difference() -> None:
    known = {0.03: 6969, 0.05: 2504, 0.08: 974, 0.10: 621, 0.15: 272, 0.20: 150}
    for difference, num in known.items():
        assert num_items_for(difference, 0.2) == num
        assert difference_for(num, 0.2) == pytest.approx(difference, rel=0.005)
    assert num_items_for(0.05, 0.0) == 3132
    assert num_items_for(0.05, 0.4) == 1876
    with pytest.raises(ValueError, match="at most 1 - tie"):
        num_items_for(0.9, 0.2)


def test_intervals_and_sigma() -> None:
    for num, half in ((381, 9.0), (527, 7.6), (1003, 5.5)):
        assert half_width_for(num, 0.2) == pytest.approx(half, abs=0.05)
        assert half_width_for(num_items_for_width(half, 0.2), 0.2) <= half
        assert half_width_for(num_items_for_width(half, 0.2) - 1, 0.2) > half
    assert scaled_sigma(5.07, 1003) == pytest.approx(3.12, abs=0.01)
    for points in (3.0, 10.0):  # at that number of items the difference is 1.96 + 0.84 sigmas
        num = num_items_for_sigma(points, 5.07)
        assert points / scaled_sigma(5.07, num) == pytest.approx(2.80, abs=0.02)


def test_a_pilot_gives_ties_and_sigma() -> None:
    table = {str(i): [[1, 1, 0], [0, 0, 1], [-1, -1, 1], [1, 0, -1]][i % 4] for i in range(40)}
    (pilot,) = estimate_from_pilot(votes(table), "tie")
    assert (pilot.tie, pilot.no_majority, pilot.num_items, pilot.num_votes) == (0.5, 0.25, 40, 120)
    row = net_win(votes(table), no_majority="tie")
    assert row is not None
    assert pilot.rater_sigma == pytest.approx(row.rater_sigma)


def test_the_command_prints_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    main(["power", "difference=[10]", "num_items=[381]"])
    printed = capsys.readouterr().out
    assert "| 10 | 621 | 18630 | 104 | 769 |" in printed
    assert "| 381 | 9.0 | 12.7 | 3.74 | 3.74 | 5.07 |" in printed
    with pytest.raises(UserError, match="at most 1 - tie"):
        main(["power", "difference=[95]"])
