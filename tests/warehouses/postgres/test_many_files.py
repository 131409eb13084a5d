"""A database takes as many files as there are, however few parameters it takes in a statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assay.model.data import DataFile
from assay.warehouses.postgres import content, tables
from assay.warehouses.postgres.database import Database
from assay.warehouses.postgres.exchange import exchange
from tests.conformance.implementations import ADDRESS, ENGINES, WAREHOUSES
from tests.conformance.place import Place

MANY = 66_000
"""It takes 65,535 parameters."""
Server = psycopg.Connection[Any]


@pytest.fixture
def place(tmp_path: Path, url: str) -> Iterator[Place]:
    """A database, with an engine for its files."""
    (tmp_path / ADDRESS).write_text(url)
    with ENGINES["duckdb"]() as engine:
        yield Place("postgres", tmp_path, WAREHOUSES["postgres"](tmp_path), engine)


def kept(server: Server) -> list[str]:
    """Keep many files, as a run that has ended may have left them."""
    server.execute(
        "insert into assay.assay_content (path, part, bytes) select '_assay/sources/x/1-1-' || "
        "lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000.parquet', 0, 'abc' from generate_series(1, %s) n",
        [MANY],
    )
    return [path for (path,) in server.execute("select path from assay.assay_content where bytes = 'abc'").fetchall()]


def in_table(server: Server) -> list[str]:
    """Have a table show many files beside those it has."""
    query = (
        "insert into assay.assay_shown (path, dataset) select 'many ' || n, 'bronze.a' from generate_series(1, %s) n"
    )
    server.execute(query, [MANY])
    return [f"many {n}" for n in range(1, MANY + 1)]


def paths(server: Server) -> list[str]:
    return [path for (path,) in server.execute("select path from assay.assay_shown").fetchall()]


def test_a_vacuum_removes_them(place: Place, server: Server) -> None:
    place.run(a="select 1 as id")
    kept(server)
    removed = place.warehouse.vacuum(None, remove=True).kinds["leftover"]
    assert (removed.count, removed.bytes) == (MANY, 3 * MANY)
    assert server.execute("select count(*) from assay.assay_content").fetchone() == (1,)
    assert place.rows("bronze.a") == [(1,)]


def test_those_that_are_kept_are_told_from_those_that_are_not(tmp_path: Path, place: Place, server: Server) -> None:
    place.run(a="select 1 as id")
    (tmp_path / "new").write_bytes(b"new")
    files = dict.fromkeys([*kept(server), "new"])
    with Database((tmp_path / ADDRESS).read_text()).transaction() as connection:
        content.keep(connection, str(tmp_path), files)
    found = server.execute(
        "select bytes, count(*) from assay.assay_content where path = any(%s) group by 1", [[*files]]
    )
    assert sorted(found.fetchall()) == [(b"abc", MANY), (b"new", 1)]


def test_rows_of_theirs_are_found_and_hidden(tmp_path: Path, place: Place, server: Server) -> None:
    place.run(a="select 1 as id")
    many, (standing,) = in_table(server), (file.path for file in place.warehouse.state().versions["bronze.a"].files)
    server.execute(
        "insert into bronze.a (id, _assay_file) select file, file from assay.assay_shown where path <> %s", [standing]
    )
    with Database((tmp_path / ADDRESS).read_text()).transaction() as connection:
        assert len(tables.numbers(connection, "bronze.a", many)) == MANY
        tables.hide(connection, "bronze.a", many)
    assert (paths(server), server.execute("select id from bronze.a").fetchall()) == ([standing], [(1,)])


def test_those_of_a_partition_become_one(tmp_path: Path, place: Place, server: Server) -> None:
    place.run(a="select * from (values (1), (2)) t(id)")
    base, many = place.warehouse.state().versions["bronze.a"], in_table(server)
    handle = place.begin()
    old, new = (place.draft(handle, "view:x", f"select {n} as id").added for n in (1, 3))
    manifest = replace(
        place.draft(handle, "bronze.a", "select * from (values (2), (3)) t(id)"),
        removed=(*(file.path for file in base.files), *many),
        key=("id",),
        gone=old,
        came=new,
    )
    before = replace(base, files=(*base.files, *(DataFile(path, 0, 10) for path in many)))
    with Database((tmp_path / ADDRESS).read_text()).transaction() as connection:
        exchange(connection, place.warehouse.root, manifest, before)
    assert paths(server) == [file.path for file in manifest.added]
    assert server.execute("select id from bronze.a order by id").fetchall() == [(2,), (3,)]
