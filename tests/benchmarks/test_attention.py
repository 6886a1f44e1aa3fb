"""The benchmark of attention kernels."""

import pytest

from benchmarks import attention
from src.core.errors import UserError


def run_rows(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, list[float]]:
    attention.main(["sizes=[2x8x5]", "heads=2", "head_dim=8", "repeats=2", *args])
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines()[4:]]
    assert [row[0] for row in rows] == ["| 2x8x5"] * len(attention.KERNELS)
    return {row[1]: [float(number.rstrip(" |")) for number in row[2:]] for row in rows}


def test_every_kernel_has_times_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    exact = run_rows(capsys, "dtype=float32")
    rounded = run_rows(capsys, "dtype=bfloat16")
    for kernel in attention.KERNELS:
        assert exact[kernel][1] > exact[kernel][0] > 0
        assert exact[kernel][2] < 1e-5 < 1e-3 < rounded[kernel][2] < 0.03


@pytest.mark.parametrize(
    ("arg", "message"),
    [("sizes=[8x5]", "SAMPLESxQUERIESxKEYS"), ("dtype=half", "float32"), ("repeats=1", "at least 2")],
)
def test_errors_for_invalid_settings(arg: str, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        attention.main([arg])
