"""A shop of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.shop.project import Shop, opened


@pytest.fixture
def shop(postgres_url: str, tmp_path: Path) -> Shop:
    """The shop with its sample, loaded, and nothing made of it yet."""
    return opened(postgres_url, tmp_path)
