"""Fixtures of the conformance suites: each warehouse and engine in turn, and what is written into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.model.ports import Engine, Session, Warehouse
from tests.conformance.implementations import ADDRESS, ENGINES, WAREHOUSES
from tests.conformance.place import Place


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ENGINES[request.param]() as engine:
        yield engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with engine.session() as session:
        yield session


@pytest.fixture(params=WAREHOUSES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A warehouse that others can open too, with an engine to write and read its files."""
    if request.param != "lake":
        url = request.getfixturevalue("postgres_url").replace("+psycopg", "")
        (tmp_path / ADDRESS).write_text(url)
    with ENGINES["duckdb"]() as engine:
        yield Place(request.param, tmp_path, WAREHOUSES[request.param](tmp_path), engine)


@pytest.fixture
def warehouse(place: Place) -> Warehouse:
    return place.warehouse
