"""What the tests of faults share: a process whose disk and clock can be made wrong, and small projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.project import make
from tests.faults.disk import Disk, faulty_disk


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with faulty_disk(tmp_path_factory.mktemp("preload")) as disk:
        yield disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of its own, nothing run yet."""
    return make(tmp_path / "project")
