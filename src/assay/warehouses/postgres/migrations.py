"""Migrations: the statements that bring a database to what this version and the tables of a pipeline need.

They are made from what is there, so that they are none where all is there already; rows are never lost by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql
from sqlalchemy import Connection, MetaData, inspect, select
from sqlalchemy.schema import CreateIndex, CreateTable

from assay.model.errors import UsageError, WarehouseError
from assay.model.published import TableShape
from assay.warehouses import control
from assay.warehouses.postgres import keys, scripts
from assay.warehouses.postgres.content import CONTENT, driver
from assay.warehouses.postgres.database import SCHEMA
from assay.warehouses.postgres.partitions import by, default_of, new_partitions
from assay.warehouses.postgres.tables import FILE_COLUMN, relation

_TYPES = {"DOUBLE": "DOUBLE PRECISION", "VARCHAR": "TEXT", "BLOB": "BYTEA"}
_WIDER = {
    ("integer", "bigint"),
    ("integer", "double precision"),
    ("real", "double precision"),
    ("date", "timestamp without time zone"),
}
"""Changes of type that keep every value; to text, each does."""
_SAID = """
select a.attname, d.description
from pg_description d join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
join pg_namespace n on n.oid = c.relnamespace
left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
where n.nspname = %s and c.relname = %s
"""
_METADATA = (control.METADATA, scripts.DONE.metadata)


def is_made(connection: Connection) -> bool:
    """Return whether the control tables are there; raises WarehouseError where they are another version's."""
    if not inspect(connection).has_table(control.FORMATS.name, schema=SCHEMA):
        return False
    found = connection.execute(select(control.FORMATS.c.format)).scalar()
    if found != control.FORMAT:
        raise WarehouseError(f"schema {SCHEMA}: has format {found}, and this assay reads format {control.FORMAT}.")
    return True


def missing(connection: Connection, shapes: Sequence[TableShape]) -> list[str]:
    """Return the statements that are to be carried out for tables of these shapes.

    Raises UsageError for a change of type that would lose something.
    """
    statements = lacking(connection, shapes)
    for shape in shapes:
        there = _columns(connection, shape.dataset)
        statements += (_text(statement) for statement in keys.missing_index(connection, shape, there))
        statements += (_text(statement) for statement in new_partitions(connection, shape))
        statements += (_text(statement) for statement in _comments(connection, shape))
    return statements


def lacking(connection: Connection, shapes: Sequence[TableShape]) -> list[str]:
    """Return those of them without which no run can publish tables of these shapes.

    Rows whose partition is not there yet are published all the same, among the others.
    """
    statements = [] if is_made(connection) else list(_control(connection))
    if shapes:
        there = set(inspect(connection).get_schema_names())
        layers = dict.fromkeys(shape.dataset.partition(".")[0] for shape in shapes)
        statements += [_text(sql.SQL("create schema {}").format(sql.Identifier(n))) for n in layers if n not in there]
    for shape in shapes:
        statements += _table(connection, shape)
    return statements


def carry_out(connection: Connection, statements: Sequence[str]) -> None:
    """Carry statements out, in the transaction of the connection."""
    for statement in statements:
        driver(connection).execute(statement.encode())


def _control(connection: Connection) -> Iterator[str]:
    yield f"create schema if not exists {SCHEMA}"
    dialect = connection.dialect
    for metadata in _METADATA:
        for table in _placed(metadata).sorted_tables:
            yield str(CreateTable(table).compile(dialect=dialect)).strip()
            yield from (str(CreateIndex(index).compile(dialect=dialect)).strip() for index in table.indexes)
    # What is kept is packed already.
    yield f"alter table {SCHEMA}.{CONTENT.name} alter column bytes set storage external"
    yield f"insert into {SCHEMA}.{control.FORMATS.name} values ({control.FORMAT})"


def _placed(metadata: MetaData) -> MetaData:
    placed = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(placed, schema=SCHEMA)
    return placed


def _table(connection: Connection, shape: TableShape) -> Iterator[str]:
    wanted = {name: _TYPES.get(kind, kind) for name, kind in shape.columns}
    there = _columns(connection, shape.dataset)
    table = relation(shape.dataset)
    if not there:
        columns = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(kind)) for n, kind in wanted.items()]
        columns.append(sql.SQL("{} BIGINT NOT NULL").format(sql.Identifier(FILE_COLUMN)))
        yield _text(sql.SQL("create table {} ({}){}").format(table, sql.SQL(", ").join(columns), by(shape)))
        yield from (_text(statement) for statement in default_of(shape))
        yield _text(sql.SQL("create index on {} using brin ({})").format(table, sql.Identifier(FILE_COLUMN)))
        yield from (_text(statement) for statement in keys.new_index(shape))
        return
    if FILE_COLUMN not in there:
        raise UsageError(f"{shape.dataset}: is a table in the database that assay has not made; rename one of the two.")
    for name, kind in wanted.items():
        column = sql.Identifier(name)
        if name not in there:
            yield _text(sql.SQL("alter table {} add column {} {}").format(table, column, sql.SQL(kind)))
        elif (now := there[name]) != _shown(kind):
            if _shown(kind) != "text" and (now, _shown(kind)) not in _WIDER and not _more_digits(now, kind):
                raise UsageError(
                    f"{shape.dataset}: column {name} is {now} in the database and {kind.lower()} in the pipeline; "
                    "not every value can become that. Give the column another name, or change the table by hand."
                )
            yield _text(sql.SQL("alter table {} alter column {} type {}").format(table, column, sql.SQL(kind)))
    yield from (_text(statement) for statement in keys.outdated(connection, shape))


def _comments(connection: Connection, shape: TableShape) -> Iterator[sql.Composed]:
    """Yield statements that say of a table and its columns what is to be said."""
    there = driver(connection).execute(_SAID, [*shape.dataset.split(".", 1)]).fetchall()
    said = {name or "": text for name, text in there}
    for name, text in shape.comments.items():
        if said.get(name) == text or (name and name not in dict(shape.columns)):
            continue
        table = relation(shape.dataset)
        what = (
            sql.SQL("column {}.{}").format(table, sql.Identifier(name)) if name else sql.SQL("table {}").format(table)
        )
        yield sql.SQL("comment on {} is {}").format(what, sql.Literal(text))


def _columns(connection: Connection, dataset: str) -> dict[str, str]:
    """Return the columns of a table with their types, as the server writes them."""
    layer, _, entity = dataset.partition(".")
    rows = driver(connection).execute(
        "select a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a "
        "join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped order by a.attnum",
        [layer, entity],
    )
    return dict(rows.fetchall())


def _shown(kind: str) -> str:
    """Return a type as the server writes it."""
    plain = kind.lower().replace("decimal", "numeric")
    zones = {"timestamp": "without", "timestamptz": "with", "time": "without"}
    return f"{plain.removesuffix('tz')} {zones[plain]} time zone" if plain in zones else plain


def _more_digits(now: str, kind: str) -> bool:
    """Return whether a DECIMAL takes every value of another one, or of a whole number."""
    digits = {"integer": (10, 0), "bigint": (19, 0)}
    if not kind.startswith(("DECIMAL", "numeric(")) or not (now in digits or now.startswith("numeric(")):
        return False
    precision, scale = _digits(kind)
    before, after = digits.get(now) or _digits(now)
    return precision - scale >= before - after and scale >= after


def _digits(kind: str) -> tuple[int, int]:
    precision, _, scale = kind.partition("(")[2].rstrip(")").partition(",")
    return int(precision), int(scale)


def _text(statement: sql.Composed) -> str:
    return statement.as_string()


def roles(shapes: Sequence[TableShape]) -> list[str]:
    """Return statements that make roles with few rights, and let them at tables of these shapes.

    `assay_loader` runs pipelines and can change no definition; `assay_reader` reads published tables and nothing else;
    `assay_transformer` reads them too, and makes what it likes in schemas of its own.
    """
    layers = [sql.Identifier(name) for name in dict.fromkeys(shape.dataset.partition(".")[0] for shape in shapes)]
    own = sql.Identifier(SCHEMA)
    loads, reads, transforms = (sql.Identifier(f"{SCHEMA}_{name}") for name in ("loader", "reader", "transformer"))
    made = [
        "do $$ begin create role {0} nologin; exception when duplicate_object then null; end $$",
        "revoke all on schema public from {0}",
    ]
    statements = [sql.SQL(text).format(role) for role in (loads, reads, transforms) for text in made]
    statements += [
        sql.SQL(text).format(own, loads)
        for text in (
            "grant usage on schema {0} to {1}",
            "grant select, insert, update, delete on all tables in schema {0} to {1}",
            "revoke insert, update, delete on {0}.assay_format from {1}",
            "grant usage on all sequences in schema {0} to {1}",
        )
    ]
    for layer in layers:
        everyone = sql.SQL(", ").join((loads, reads, transforms))
        statements.append(sql.SQL("grant usage on schema {} to {}").format(layer, everyone))
        statements.append(sql.SQL("grant select on all tables in schema {} to {}").format(layer, everyone))
        statements.append(sql.SQL("grant insert, delete on all tables in schema {} to {}").format(layer, loads))
    return [_text(statement) for statement in statements]
