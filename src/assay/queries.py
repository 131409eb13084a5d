"""Questions to a warehouse that are answered with SQL, over the tables as they are published."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from assay import assembly, platform
from assay.assembly import Location
from assay.engines.duckdb import quoting
from assay.model.data import Version, is_table, name_of_table
from assay.model.difference import TableDifference
from assay.model.errors import UsageError, near_miss
from assay.model.fate import BadLine, Rejected, Whereabouts
from assay.model.pipeline import Pipeline
from assay.platform import Place

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Rows = tuple[list[str], list[tuple[Any, ...]]]
"""Names of columns, and rows."""
Coming = tuple[list[str], Iterator[tuple[Any, ...]]]
"""Names of columns, and rows that are computed as they are taken."""

_BATCH = 2_000
"""Rows that are fetched at once."""


def query(text: str, warehouse: Location | None = None, *, at: int | dt.datetime | None = None) -> Rows:
    """Return the columns' names and the rows of a query over the published tables; raises as `ask` does."""
    names, rows = ask(text, warehouse, at=at)
    return names, list(rows)


def ask(text: str, warehouse: Location | None = None, *, at: int | dt.datetime | None = None) -> Coming:
    """Return the columns' names and the rows, as they come, of a query over the published tables.

    It is one statement, which reads, or COPY (...) TO a file. Raises UsageError with the engine's own words for what it
    cannot run, at the start or while rows come.
    """
    return ask_there(platform.connect(warehouse, at=at), text)


def ask_there(connection: DuckDBPyConnection, text: str) -> Coming:
    """Do as `ask` does in a state that is open already."""
    from assay.engines.duckdb import confined

    statement = confined.reading(text, exports=True)
    # Several queries may be under way in one state, each in a transaction of its own.
    own = connection.cursor()
    own.execute("begin transaction read only")
    return _coming(own, statement)


def first_rows(table: str, warehouse: Place | None, limit: int, *, at: int | dt.datetime | None = None) -> Rows:
    """Return the first rows of a table named like `gold_daily_revenue`; raises UsageError with the near miss."""
    connection = platform.connect(warehouse, at=at)
    return _rows(connection, f"select * from {_published(connection, table)} limit {limit:d}")


def profile(table: str, warehouse: Location | None = None) -> Rows:
    """Return what each column of a table holds: nulls, distinct values, bounds, mean, most frequent value."""
    from assay.engines.duckdb import profile as columns

    connection = platform.connect(warehouse)
    return list(columns.COLUMNS), columns.profile(connection, _published(connection, table))


def diff(
    before: int | dt.datetime,
    after: int | dt.datetime,
    warehouse: Location | None = None,
    *,
    table: str | None = None,
    limit: int = 20,
) -> list[TableDifference]:
    """Return what became of each published table from one state to another: after a run, or at a time (UTC).

    Tables that are as they were are left out. Of `table`, which may be given, there are up to `limit` rows too. Raises
    UsageError for a table that is in neither state, WarehouseError for a run that has published nothing.
    """
    from assay.engines.duckdb import difference, reader

    stored = platform.stored(warehouse)
    with closing(stored.open(before)) as earlier, closing(stored.open(after)) as later:
        old, new = _tables(earlier.state.versions), _tables(later.state.versions)
        names = in_order(old | new)
        if table is not None:
            names = [_named(table, names)]
        connection, rows = reader.connected(), limit if table is not None else 0
        found = [difference.compare(connection, later.root, old.get(n), new.get(n), rows=rows) for n in names]
    return [each for each in found if each.differs]


def where(
    *key: str,
    pipeline: Pipeline | str | None = None,
    warehouse: Location | None = None,
    limit: int = 5,
) -> Whereabouts:
    """Tell the fate of rows: what delivered them, which tables hold them and since when, and why others do not.

    `key` is a value, which is looked for in the columns that are keys, or several COLUMN=VALUE. A value may be written
    in any way that its column's type can be read from: 10.5 is 10.50. The pipeline is that of the warehouse, found in
    assay.toml, where it has just one. Raises UsageError where there is no such pipeline.
    """
    found = platform.find(pipeline) if pipeline is not None else _only_pipeline(key, warehouse)
    standing = platform.connect(warehouse).execute(
        "select q.node, q.position, q.source_file, q.line, q.raw, from_json(q.reasons, '[\"VARCHAR\"]'), q.run "
        "from meta.quarantine q join meta.run r on r.id = q.run where q.stands and r.pipeline = ? order by q.run, 3, 4",
        [found.name],
    )
    rows = standing.fetchall()
    values = [word.partition("=")[2] or word for word in key]
    rejected = [Rejected(node, place, tuple(why), run) for node, place, _, _, _, why, run in rows if place is not None]
    bad_lines = [
        BadLine(node, file, line, raw, tuple(why), run)
        for node, _, file, line, raw, why, run in rows
        if raw is not None and all(value in raw for value in values)
    ]
    return platform.follow(found, key, rejected, bad_lines, limit, warehouse)


def _only_pipeline(key: Sequence[str], warehouse: Location | None) -> Pipeline:
    """Return the pipeline that writes all tables, by its name in assay.toml or whatever it is called there."""
    owners = sorted(set(platform.stored(warehouse).state().owners.values()))
    place = [] if warehouse is None else ["--warehouse", str(warehouse)]
    asked = f"assay where {shlex.join([*key, *place])} --pipeline"
    if not owners:
        raise UsageError("The warehouse has no tables yet; `assay run PIPELINE` makes them.")
    name, *others = owners
    if others:
        raise UsageError(f"The warehouse has tables of {', '.join(owners)}. Type `{asked} {name}`, or another of them.")
    declared = assembly.current_settings().pipelines
    called = [name] if name in declared else [other for other in declared if platform.find(other).name == name]
    if not called:
        raise UsageError(
            f"The warehouse has tables of the pipeline {name!r}, which assay.toml does not name. Type where it is: "
            f"`{asked} MODULE:OBJECT`, such as {name}:{name}."
        )
    return platform.find(called[0])


def in_order(versions: Mapping[str, Version]) -> list[str]:
    """Return tables' datasets, each behind those that it was made from."""
    made_from = {name: sorted(set(versions[name].inputs) & set(versions)) for name in sorted(versions)}
    return list(TopologicalSorter(made_from).static_order())


def quarantine(
    warehouse: Location | None = None,
    *,
    run: int | None = None,
    table: str | None = None,
    history: bool = False,
    limit: int = 20,
) -> Rows:
    """Return rejected rows, the newest run's first: where each came from, why it was rejected, and itself.

    Those that stand now; with `run` what that run rejected, with `history` what any run did.
    """
    wanted = {"q.run": run, "q.node": table, "q.stands": None if history or run is not None else True}
    given = {column: value for column, value in wanted.items() if value is not None}
    found = platform.connect(warehouse).execute(
        "select q.run, r.state, q.stands, q.replayed_by, q.node as table, q.source_file, q.line, "
        "from_json(q.reasons, '[\"VARCHAR\"]') as reasons, "
        "coalesce(q.raw, q.row) as row, q.raw_encoding as encoding "
        "from meta.quarantine q join meta.run r on r.id = q.run "
        + ("where " + " and ".join(f"{column} = ?" for column in given) if given else "")
        + " order by q.run desc, q.node, q.source_file, q.line, q.position limit ?",
        [*given.values(), limit],
    )
    return _fetched(found)


def failed_with_rejects(warehouse: Location | None = None, *, table: str | None = None) -> int | None:
    """Return the newest run that failed and has rejected rows, where its pipeline has not published since; or None."""
    found = platform.connect(warehouse).execute(
        "select max(q.run) from meta.quarantine q join meta.run r on r.id = q.run "
        "where r.state = 'failed' and q.node = coalesce(?, q.node) and not exists "
        "(select 1 from meta.run later where later.pipeline = r.pipeline and later.state = 'published' "
        "and later.id > r.id)",
        [table],
    )
    ((run,),) = found.fetchall()
    return None if run is None else int(run)


def reasons(run: int, warehouse: Place | None = None) -> Rows:
    """Return what a run rejected, counted: the table or source, a reason, and the rows that had it, most first.

    A row with several reasons counts for each of them.
    """
    found = platform.connect(warehouse).execute(
        "select node, reason, count(*) as rows "
        "from (select node, unnest(from_json(reasons, '[\"VARCHAR\"]')) as reason from meta.quarantine where run = ?) "
        "group by all order by node, rows desc, reason",
        [run],
    )
    return _fetched(found)


def versions(dataset: str, warehouse: Place | None = None) -> Rows:
    """Return the versions of a table, called like `gold.daily_revenue`, oldest first: run, rows, as-of date."""
    found = platform.connect(warehouse).execute(
        "select run, row_count as rows, as_of from meta.table_version where dataset = ? order by seq", [dataset]
    )
    return _fetched(found)


def _tables(versions: Mapping[str, Version]) -> dict[str, Version]:
    return {name: version for name, version in versions.items() if is_table(name)}


def _published(connection: DuckDBPyConnection, table: str) -> str:
    found = "select schema_name, view_name from duckdb_views() where not internal and schema_name <> 'meta'"
    layer, _, entity = _named(table, [".".join(row) for row in _rows(connection, found)[1]]).partition(".")
    return f"{quoting.name(layer)}.{quoting.name(entity)}"


def _named(table: str, datasets: list[str]) -> str:
    """Return the dataset that is called so; raises UsageError with the near miss."""
    names = {name_of_table(dataset): dataset for dataset in datasets}
    wanted = table.replace(".", "_", 1)
    if wanted not in names:
        raise UsageError(
            f"There is no published table {table!r}.{near_miss(wanted, names)} There are: {', '.join(names) or 'none'}."
        )
    return names[wanted]


def _rows(connection: DuckDBPyConnection, text: str) -> Rows:
    names, rows = _coming(connection, text)
    return names, list(rows)


def _coming(connection: DuckDBPyConnection, text: str) -> Coming:
    with _told():
        found = connection.execute(text)
    return [column[0] for column in found.description or ()], _fetching(found)


def _fetching(found: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """Yield what a connection has found, some rows at a time: all of them may be more than fit into memory."""
    while True:
        with _told():
            rows = found.fetchmany(_BATCH)
        if not rows:
            return
        yield from rows


@contextmanager
def _told() -> Iterator[None]:
    """Raise UsageError with the engine's own words for what it cannot run."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise UsageError(str(error)) from None


def _fetched(found: DuckDBPyConnection) -> Rows:
    """Return the names and rows of what a connection has just found."""
    return [column[0] for column in found.description or ()], found.fetchall()
