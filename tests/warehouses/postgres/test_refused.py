"""A publish that is refused leaves every row in its place: what it had moved by then comes back with it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from assay.model.errors import AssayError, ConflictError, LeaseError
from tests.conformance.implementations import ADDRESS, ENGINES, WAREHOUSES
from tests.conformance.place import Place


@pytest.mark.parametrize(("lost", "why"), [(False, ConflictError), (True, LeaseError)])
def test_rows_that_a_refused_publish_has_moved_are_where_they_were(
    tmp_path: Path, postgres_url: str, lost: bool, why: type[AssayError]
) -> None:
    (tmp_path / ADDRESS).write_text(postgres_url)
    with ENGINES["duckdb"]() as engine, psycopg.connect(postgres_url.replace("+psycopg", "")) as server:
        place = Place("postgres", tmp_path, WAREHOUSES["postgres"](tmp_path), engine)
        place.run(a="select 1 as id", b="select 1 as id")
        handle, planned = place.begin(), place.warehouse.state()
        for name in ("bronze.a", "bronze.b"):
            place.stage(handle, name, "select 2 as id", state=planned)
        if lost:
            server.execute("update assay.assay_lease set token = token + 1 where pipeline = 'shop'")
            server.commit()
        else:
            place.run("other", c="select 1 as id")
        with pytest.raises(why):
            place.publish(handle, state=planned, reads=() if lost else ["bronze.c"])
        for name in ("a", "b"):
            assert server.execute(f"select id from bronze.{name}".encode()).fetchall() == [(1,)]
