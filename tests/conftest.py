"""Settings of the whole suite."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_SERVICES set, fail a test of a service that skips: the service should be there."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_SERVICES") and item.get_closest_marker("services"):
        report.outcome = "failed"
        report.longrepr = f"skipped although REQUIRE_SERVICES is set: {report.longrepr}"
    return report
