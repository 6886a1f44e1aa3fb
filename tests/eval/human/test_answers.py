import pytest

from eval.human.answers import check_answer, meets_expectation, preference
from eval.human.schema import AnswerType, Item


def test_answers_are_checked() -> None:
    valid: list[tuple[AnswerType, dict]] = [
        ("choice", {"choice": "equal"}),
        ("rating", {"rating": 5}),
        ("mushra", {"ratings": [0, 55.5, 100]}),
        ("ranking", {"ranking": [2, 0, 1]}),
    ]
    for answer_type, answer in valid:
        assert check_answer(answer_type, 3, answer) is answer
    invalid: list[tuple[AnswerType, object]] = [
        ("choice", {"choice": "top"}),
        ("choice", {"rating": 3}),
        ("choice", ["left"]),
        ("rating", {"rating": 6}),
        ("rating", {"rating": True}),
        ("mushra", {"ratings": [1, 2]}),
        ("mushra", {"ratings": [1, 2, float("nan")]}),
        ("ranking", {"ranking": [0, 0, 1]}),
    ]
    for answer_type, wrong in invalid:
        with pytest.raises(ValueError, match=r"answer: .*expected"):
            check_answer(answer_type, 3, wrong)


def test_positions_become_stimuli() -> None:
    assert preference({"choice": "left"}, (1, 0), 0, 1) == -1
    assert preference({"choice": "left"}, (0, 1), 0, 1) == 1
    assert preference({"choice": "equal"}, (1, 0), 0, 1) == 0
    assert preference({"ratings": [20, 70, 70]}, (2, 0, 1), 0, 2) == 1
    assert preference({"ratings": [20, 70, 70]}, (2, 0, 1), 0, 1) == 0
    assert preference({"ranking": [1, 2, 0]}, (2, 0, 1), 0, 1) == 1


def test_expected_answers() -> None:
    item = Item(
        id="i",
        kind="gold",
        sample="s",
        prompt="",
        axes=("x",),
        stimuli=("m", "n"),
        systems=("a", "a"),
        expected=(0, 1),
    )
    assert meets_expectation(item, (1, 0), {"choice": "right"})
    assert not meets_expectation(item, (1, 0), {"choice": "equal"})
    equal = Item(**{**vars(item), "expected": ()})
    assert meets_expectation(equal, (1, 0), {"choice": "equal"})
    assert meets_expectation(Item(**{**vars(item), "expected": None}), (0, 1), {"choice": "left"}) is None
    single = Item(**{**vars(item), "stimuli": ("m",), "systems": ("a",)})
    assert meets_expectation(single, (0,), {"rating": 2})
    assert not meets_expectation(single, (0,), {"rating": 4})
