"""An Airflow of its own for the tests: its home, its database and its folder of DAGs, all of which go with them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Airflow reads these when it is imported, which the modules of the tests do.
HOME = Path(tempfile.mkdtemp(prefix="assay-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
DAGS = HOME / "dags"
DAGS.mkdir()
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


@pytest.fixture(scope="session")
def _database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def dags(_database: None) -> Iterator[Path]:
    """The folder of DAGs, with nothing in it."""
    yield DAGS
    for file in DAGS.iterdir():
        if file.is_file():
            file.unlink()
