"""Materialized views over published tables: each is brought up to date by the publish that changes what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from sqlalchemy import Connection

from assay.model.errors import UsageError
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.tables import relation

_ABOVE = """
with recursive above(oid, depth) as (
    select unnest(%s::regclass[])::oid, 0
    union
    select c.oid, a.depth + 1 from above a
    join pg_depend d on d.refobjid = a.oid and d.refclassid = 'pg_class'::regclass
    join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
    join pg_class c on c.oid = r.ev_class and c.oid <> a.oid
)
select n.nspname, c.relname, bool_or(coalesce(i.indisunique and i.indpred is null and i.indexprs is null, false))
from above a join pg_class c on c.oid = a.oid join pg_namespace n on n.oid = c.relnamespace
left join pg_index i on i.indrelid = c.oid
where c.relkind = 'm' group by 1, 2 order by max(a.depth), 1, 2
"""
"""Every materialized view that shows one of some tables, also through other views; those that others show first."""


def refresh(connection: Connection, datasets: Sequence[str]) -> None:
    """Bring the views over changed tables up to date; who reads one in a transaction keeps what it showed then."""
    for layer, entity, _ in _above(connection, datasets):
        # Not concurrently, it would be seen at once, by readers of an older state too.
        statement = sql.SQL("refresh materialized view concurrently {}").format(sql.Identifier(layer, entity))
        driver(connection).execute(statement)


def check(connection: Connection, datasets: Sequence[str]) -> None:
    """Raise UsageError for a view that cannot be brought up to date beside its readers."""
    for layer, entity, is_unique in _above(connection, datasets):
        if not is_unique:
            raise UsageError(
                f"{layer}.{entity}: a materialized view over published tables needs a unique index of plain columns: "
                "a publish brings it up to date while others read it."
            )


def _above(connection: Connection, datasets: Sequence[str]) -> list[tuple[str, str, bool]]:
    names = [relation(dataset).as_string() for dataset in datasets]
    return driver(connection).execute(_ABOVE, [names]).fetchall() if names else []
