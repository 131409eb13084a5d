"""Writing pages: `pytest tests/docs --fill-pages` puts the real output where another is shown."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fill-pages", action="store_true", help="write what commands print into the pages")


@pytest.fixture
def fill_pages(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--fill-pages", default=False))
