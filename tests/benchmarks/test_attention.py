"""The benchmark of attention kernels: a line each, errors that tell formats apart."""

import pytest

from benchmarks import attention
from src.core.errors import UserError


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[float]]:
    attention.main(["sizes=[2x8x5]", "heads=2", "head_dim=8", "repeats=2", *words])
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines()[4:]]
    assert [row[0] for row in rows] == ["| 2x8x5"] * len(attention.KERNELS)
    return {row[1]: [float(number.rstrip(" |")) for number in row[2:]] for row in rows}


def test_every_kernel_has_times_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    exact = lines(capsys, "dtype=float32")
    rounded = lines(capsys, "dtype=bfloat16")
    for kernel in attention.KERNELS:
        assert exact[kernel][1] > exact[kernel][0] > 0
        assert exact[kernel][2] < 1e-5 < 1e-3 < rounded[kernel][2] < 0.03


@pytest.mark.parametrize(
    ("word", "message"),
    [("sizes=[8x5]", "SAMPLESxQUERIESxKEYS"), ("dtype=half", "neither float32"), ("repeats=1", "at least 2")],
)
def test_a_setting_that_cannot_be_is_named(word: str, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        attention.main([word])
