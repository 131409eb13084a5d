"""A database for each test, as people write its address, and copies of its files that no other test has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest


@pytest.fixture
def copies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the copies of each test's files apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url.replace("+psycopg", "")


@pytest.fixture
def server(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
