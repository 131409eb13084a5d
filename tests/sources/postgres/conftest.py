"""A follower of a database with nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.postgres.following import Follower, connected


@pytest.fixture
def follower(logical_url: str, tmp_path: Path) -> Iterator[Follower]:
    with connected(logical_url) as connection:
        yield Follower(connection, tmp_path)
