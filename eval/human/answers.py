"""Answers of raters: checking them, and turning positions of the screen into stimuli."""

import math
from collections.abc import Sequence
from typing import Any

from eval.human.schema import CHOICES, AnswerType, Item

KEYS: dict[AnswerType, str] = {
    "choice": "choice",
    "rating": "rating",
    "mushra": "ratings",
    "ranking": "ranking",
}


def check_answer(answer_type: AnswerType, num_stimuli: int, answer: Any) -> dict[str, Any]:
    """Return the answer if it is valid for an axis and a number of stimuli.

    Raises:
        ValueError: one line that names the key and what is expected.
    """
    key = KEYS[answer_type]
    if not isinstance(answer, dict) or set(answer) != {key}:
        raise ValueError(f"answer: expected an object with the key {key!r}, got {answer!r:.80}")
    value = answer[key]
    positions = list(range(num_stimuli))
    if answer_type == "choice":
        valid, expected = value in CHOICES, " or ".join(CHOICES)
    elif answer_type == "rating":
        valid, expected = _is_number(value, 1, 5) and value == int(value), "a whole number from 1 to 5"
    elif answer_type == "mushra":
        valid = isinstance(value, list) and len(value) == num_stimuli
        valid = valid and all(_is_number(each, 0, 100) for each in value)
        expected = f"{num_stimuli} numbers from 0 to 100"
    else:
        valid = isinstance(value, list) and all(type(each) is int for each in value)
        valid = valid and sorted(value) == positions
        expected = f"the positions {positions} from best to worst"
    if not valid:
        raise ValueError(f"answer: {key}: expected {expected}, got {value!r:.80}")
    return answer


def preference(answer: dict[str, Any], order: Sequence[int], a: int, b: int) -> int | None:
    """Return 1 if stimulus `a` is preferred to `b`, -1 if `b`, 0 if equal; None for a single rating."""
    at_a, at_b = list(order).index(a), list(order).index(b)
    if "choice" in answer:
        chosen = {"left": 0, "right": 1}.get(answer["choice"])
        return 0 if chosen is None else 1 if chosen == at_a else -1
    if "ratings" in answer:
        difference = answer["ratings"][at_a] - answer["ratings"][at_b]
        return (difference > 0) - (difference < 0)
    if "ranking" in answer:
        ranks = answer["ranking"]
        return 1 if ranks.index(at_a) < ranks.index(at_b) else -1
    return None


def meets_expectation(item: Item, order: Sequence[int], answer: dict[str, Any]) -> bool | None:
    """Return whether an answer is the expected one of a gold or practice item; None if it has none.

    Of several stimuli the best and the worst must be in the expected order. A rating of a single stimulus
    is expected to be below the middle.
    """
    if item.expected is None:
        return None
    if "rating" in answer:
        return int(answer["rating"]) <= 2
    if not item.expected:
        return preference(answer, order, 0, 1) == 0
    return preference(answer, order, item.expected[0], item.expected[-1]) == 1


def _is_number(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high
