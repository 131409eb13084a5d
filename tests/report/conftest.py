"""What the tests of pages share: a project with runs, and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.served import Served, project_with_runs, served


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs, only read by tests."""
    return project_with_runs(tmp_path_factory.mktemp("pages") / "project")


@pytest.fixture(scope="session")
def site(project: Path) -> Iterator[Served]:
    """Its pages, and a browser that was given the key."""
    with served(project) as pages:
        yield pages.enter()
