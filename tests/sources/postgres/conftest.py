"""A database of its own for each test: a shop's, or one with nothing in it that is followed by its changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.postgres.following import Follower, connected
from tests.sources.postgres.shop import Shop, opened


@pytest.fixture
def follower(logical_url: str, tmp_path: Path) -> Iterator[Follower]:
    """What follows a database with nothing in it by its changes."""
    with connected(logical_url) as connection:
        yield Follower(connection, tmp_path)


@pytest.fixture
def shop(logical_url: str, tmp_path: Path) -> Shop:
    """A shop with three orders that were made a day ago."""
    return opened(logical_url, tmp_path)


@pytest.fixture
def storm_seconds(request: pytest.FixtureRequest) -> float:
    """How long a storm lasts: `--storm`."""
    return float(request.config.getoption("--storm"))
