"""Fixtures for tests of several processes."""

from collections.abc import Iterator

import pytest

from tests.fixtures.ranks import Ranks


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Two ranks on gloo, shared by all tests of a session."""
    pool = Ranks()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def four_ranks() -> Iterator[Ranks]:
    """Four ranks on gloo, shared by all tests of a session."""
    pool = Ranks(4)
    yield pool
    pool.close()
