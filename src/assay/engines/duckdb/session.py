"""One worker's DuckDB cursor: opens stored files, evaluates frames, writes Parquet."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw

from assay.engines.duckdb import comparing, quoting, spelling
from assay.engines.duckdb.rejects import apart_query, keys_query, quarantined_query
from assay.engines.duckdb.source_reader import SourceReader
from assay.engines.duckdb.stats import column_stats
from assay.model.data import DataFile
from assay.model.errors import TableError
from assay.model.ports import Destination, Frame, Rejects
from assay.model.quarantine import QUARANTINE
from assay.model.schema import Schema
from assay.model.source import POSITION, SLICE_BIT
from assay.transform.sql import Sql

Relation = duckdb.DuckDBPyRelation
_SLICE = "_assay_slice"
_VECTOR_ROWS, _GROUP_ROWS, _GROUP_BYTES = 2_048, 122_880, 8 << 20
_BEGINS_WITH = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/)*with\b", re.IGNORECASE | re.DOTALL)


class DuckDbSession(SourceReader):
    """A cursor of the engine; frames of two sessions cannot be mixed."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        super().__init__(cursor)
        self._held = 0
        self._names: set[str] = set()

    def scan(self, root: str, files: Sequence[DataFile], schema: Schema, name: str) -> Frame:
        """Open stored files, all written with these columns, in the schema's types; none give an empty frame."""
        query = scan_query([str(Path(root, file.path)) for file in files], schema)
        return _frame(self._cursor.sql(query).set_alias(name))

    def blank(self, schema: Schema, name: str) -> Frame:
        """Return an empty frame of the schema that definitions call by the name."""
        columns = ", ".join(f"{quoting.name(c.name)} {c.type}" for c in schema)
        self._names |= set(schema.names)
        self._cursor.execute(f"create or replace temp table {quoting.name(name)} ({columns})")
        return _frame(self._cursor.table(quoting.name(name)))

    def files_with(
        self, root: str, files: Sequence[DataFile], schema: Schema, keys: Frame, key: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the paths, as given, of those files that hold a row with one of the keys."""
        places = {str(Path(root, file.path)): file.path for file in files}
        every = scan_query(list(places), Schema(tuple(schema[name] for name in key)), filename=True)
        columns = ", ".join(map(quoting.name, key))
        found = self._cursor.execute(
            f"select distinct filename from ({every}) semi join ({_relation(keys).sql_query()}) using ({columns})"
        ).fetchall()
        return tuple(places[path] for (path,) in found)

    def resolve(self, result: Any, node: str) -> Frame:
        """Return the frame that a function's result stands for; raises TableError where it is none."""
        if isinstance(result, Sql):
            return _frame(self._cursor.sql(self._query(result, node)))
        if isinstance(result, nw.LazyFrame) and isinstance(result.to_native(), Relation):
            return result
        raise TableError(
            f"{node} returned {type(result).__name__}; a table returns a narwhals LazyFrame built from its inputs, "
            "or assay.sql(...), and does not collect."
        )

    def _query(self, result: Sql, node: str) -> str:
        """Return one SELECT that holds its inputs: each is seen by this text alone, and is part of what it computes."""
        inputs = {name: _relation(self.resolve(given, node)).sql_query() for name, given in result.inputs.items()}
        parts = ", ".join(f"{quoting.name(name)} as ({query})" for name, query in inputs.items())
        if not parts:
            return result.text
        text = result.text.rstrip().rstrip(";")
        # DuckDB 2.0 forgets the WITH of a SELECT in brackets; that of a subquery it keeps.
        return f"with {parts} select * from ({text}\n)" if _BEGINS_WITH.match(text) else f"with {parts} ({text}\n)"

    def columns(self, frame: Frame) -> list[tuple[str, str]]:
        """Return names and SQL types as DuckDB sees them."""
        return list(_kinds(_relation(frame)).items())

    def definition(self, frame: Frame) -> str:
        """Return the frame's SQL, with generated names replaced by their order."""
        return quoting.renumbered(_relation(frame).sql_query(), self._names)

    def cast(self, frame: Frame, schema: Schema) -> Frame:
        """Return the schema's columns in its order and types."""
        return _frame(_relation(frame).project(_cast_columns(schema)))

    def unfit(self, frame: Frame, schema: Schema) -> Frame:
        """Return the rows that `cast` would fail for: those with a value that is none of its column's type."""
        columns = [(quoting.name(c.name), c.type) for c in schema]
        lost = [f"({name} is not null and try_cast({name} as {kind}) is null)" for name, kind in columns]
        return _frame(_relation(frame).filter(" or ".join(lost)))

    def hold(self, frame: Frame) -> Frame:
        """Compute the frame once, into a temporary table of this session."""
        self._held += 1
        name = f"held_{self._held}"
        self._cursor.execute(f"create temp table {name} as {_relation(frame).sql_query()}")
        return _frame(self._cursor.table(name))

    def fetch(self, frame: Frame) -> list[tuple[Any, ...]]:
        """Return the rows of a small frame."""
        return _relation(frame).fetchall()

    def spelled(self, text: str, kind: str) -> str:
        """Return a text as a value of a SQL type is written; itself where it stands for none."""
        return spelling.spelled(self._cursor, text, kind)

    def same_rows(self, one: Frame, other: Frame, *, exactly: bool = False) -> bool:
        """Return whether two frames of one schema hold equal rows equally often; DOUBLE within 1e-9, or exactly."""
        mine, theirs = _relation(one), _relation(other)
        return comparing.same_rows(self._cursor, mine.sql_query(), theirs.sql_query(), _kinds(mine), close=not exactly)

    def only_in(self, one: Frame, other: Frame) -> Frame:
        """Return the rows of one frame that another of its schema does not hold as often; DOUBLE within 1e-9."""
        mine, theirs = _relation(one), _relation(other)
        return _frame(self._cursor.sql(comparing.only_in_query(mine.sql_query(), theirs.sql_query(), _kinds(mine))))

    def digest(self, frame: Frame) -> str:
        """Return a text that is equal for frames of equal rows equally often, in any order; DOUBLE to nine digits."""
        rows = comparing.rounded_query(_relation(frame).sql_query(), _kinds(_relation(frame)))
        found = self._cursor.execute(f"select count(*), coalesce(sum(hash(one)), 0) from ({rows}) as one").fetchall()
        return ":".join(map(str, found[0]))

    def write(self, frame: Frame, to: Destination) -> tuple[DataFile, ...]:
        """Write the frame as Parquet; rows and sizes are read back from the files' footers."""
        folder = Path(to.root, to.folder)
        folder.mkdir(parents=True, exist_ok=True)
        # As text, and not as one more relation: that would be bound once more, over every file that it reads.
        stored = f"select {_cast_columns(to.schema)} from ({_relation(frame).sql_query()})"
        written = self._cursor.execute(_copy_statement(stored, folder, to)).fetchall()
        if not written:
            return ()
        paths = quoting.paths(row[0] for row in written)
        found = self._cursor.execute(f"select file_name, num_rows from parquet_file_metadata({paths})").fetchall()
        rows = {Path(path): int(count) for path, count in found}
        files = []
        for file in written:
            path = Path(file[0])
            if rows[path] or to.even_empty:
                files.append(_data_file(file, rows[path], to))
            else:
                path.unlink()
        return tuple(files)

    def rejected_rows(self, frame: Frame, rejects: Rejects) -> Frame:
        """Return rejected rows as rows of the quarantine: each whole, as JSON, with its reasons."""
        return _frame(self._cursor.sql(quarantined_query(_relation(frame), rejects)))

    def rejected_apart(self, rejected: Frame, keys: Frame, kinds: Schema) -> Frame:
        """Return the rows of the quarantine that have none of the keys, whose columns are of these types."""
        return _frame(self._cursor.sql(apart_query(_relation(rejected), _relation(keys), kinds)))

    def rejected_keys(self, rejected: Frame, kinds: Schema) -> Frame:
        """Return the keys of rows of the quarantine, in columns of these types."""
        return _frame(self._cursor.sql(keys_query(_relation(rejected), kinds)))


def _data_file(written: Sequence[Any], rows: int, to: Destination) -> DataFile:
    """Return a file as it is recorded, by what the engine says of it."""
    path, _, size, _, statistics, partition, *_ = written
    # Only the metadata of tables repeats them.
    wanted = not (to.temporary or to.slices)
    return DataFile(
        path=path.removeprefix(f"{to.root}/"),
        rows=rows,
        bytes=int(size),
        partition=_partition(partition, to.partition_by),
        stats=column_stats(statistics) if wanted else {},
        slice=_slice(partition, to),
        sha256=_sha256(Path(path)),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scan_query(paths: Sequence[str], schema: Schema, *, filename: bool = False) -> str:
    """Return a SELECT of a schema's columns over Parquet files, all of which were written with it.

    By name, though the files have field ids: given `schema` by these, DuckDB 2.0 takes every table for one row long,
    and joins from the wrong side.
    """
    if not paths:
        columns = ", ".join(f"cast(null as {c.type}) as {quoting.name(c.name)}" for c in schema)
        return f"select {columns} where false"
    # Some types are stored as another; a cast to the type that is there costs nothing.
    columns = _cast_columns(schema)
    named = ", filename = true" if filename else ""
    return (
        f"select {columns}{', filename' if filename else ''} "
        f"from read_parquet({quoting.paths(paths)}, hive_partitioning = false{named})"
    )


def _cast_columns(schema: Schema) -> str:
    """Return the columns of a schema, in its types, for a SELECT."""
    return ", ".join(f"cast({quoting.name(c.name)} as {c.type}) as {quoting.name(c.name)}" for c in schema)


def quarantine_query(paths: Sequence[str]) -> str:
    """Return a SELECT over files of the quarantine."""
    return scan_query(paths, QUARANTINE)


def _copy_statement(query: str, folder: Path, to: Destination) -> str:
    ids = quoting.struct({c.name: str(c.field_id) for c in to.schema})
    options = [
        "format parquet",
        f"compression {'snappy' if to.temporary else 'zstd'}",
        f"field_ids {ids}",
        "return_stats",
        f"row_group_size {_group_rows(to.row_bytes)}",
    ]
    target = folder
    apart = to.partition_by
    if len(to.slices) > 1:
        # What is parted gets sorted, which leaves alone what is sorted already: rows that one thread reads in the order
        # of their positions. It takes one where it has to number them.
        query = f"select *, {POSITION} >> {SLICE_BIT} as {_SLICE} from ({query}) qualify row_number() over () > 0"
        apart = (_SLICE,)
    if apart:
        options += [
            f"partition_by ({', '.join(map(quoting.name, apart))})",
            f"write_partition_columns {str(bool(to.partition_by)).lower()}",
            "hive_file_pattern false",
            f"filename_pattern {quoting.text(to.prefix + '-{uuid}')}",
            "overwrite_or_ignore true",
        ]
    else:
        target = folder / f"{to.prefix}-{uuid.uuid4()}.parquet"
    return f"copy ({query}) to {quoting.text(str(target))} ({', '.join(options)})"


def _group_rows(row_bytes: int) -> int:
    """Return how many rows are collected before they are written: as many as DuckDB would, where they are not wide."""
    return max(_VECTOR_ROWS, min(_GROUP_ROWS, _GROUP_BYTES // max(row_bytes, 1)))


def _slice(partition: Mapping[str, str | None] | None, to: Destination) -> str | None:
    number = (partition or {}).get(_SLICE)
    return to.slices[int(number)] if number else next(iter(to.slices.values()), None)


def _partition(raw: Mapping[str, str | None] | None, names: tuple[str, ...]) -> dict[str, str | None]:
    found = dict(raw or {})
    return {name: found.get(name) for name in names}


def _kinds(relation: Relation) -> dict[str, str]:
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


def _relation(frame: Frame) -> Relation:
    native = frame.to_native()
    assert isinstance(native, Relation)
    return native


def _frame(relation: Relation) -> Frame:
    frame: Frame = nw.from_native(relation)
    return frame
