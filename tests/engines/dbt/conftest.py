"""The tiny project with databases of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.dbt.tiny import Tiny


@pytest.fixture
def tiny(postgres_url: str, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, warehouse = (url.replace("+psycopg", "") for url in (postgres_url, empty_url))
    return Tiny(source, warehouse, tmp_path)
