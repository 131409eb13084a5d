"""What a session opens that has not come from a warehouse: files and rows as sources deliver them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import narwhals as nw
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from assay.engines.duckdb import csv_reader, parquet_reader, quoting
from assay.engines.duckdb.spool_reader import spool_query
from assay.model.database import Spooled
from assay.model.files import Columnar, Csv
from assay.model.ports import Frame
from assay.model.schema import Schema
from assay.model.source import Slice


class SourceReader:
    """The part of a session that reads sources, on its cursor."""

    def __init__(self, cursor: DuckDBPyConnection) -> None:
        self._cursor = cursor

    def open_csv(self, source: Csv, header: Sequence[str], part: Slice, newline: str) -> Frame:
        """Read a plain delimited file; a row that does not fit its declared types has no position."""
        return _opened(self._cursor.sql(csv_reader.plain_query(source, header, part, newline)))

    def lines_left_out(self) -> int:
        """Return how many faults the last reading of a plain file found, and forget them."""
        ((count,),) = self._cursor.execute(f"select count(*) from {csv_reader.REJECT_ERRORS}").fetchall()
        for table in (csv_reader.REJECT_ERRORS, csv_reader.REJECT_SCANS):
            self._cursor.execute(f"drop table {table}")
        return int(count)

    def open_parquet(self, source: Columnar, parts: Sequence[Slice]) -> Frame:
        """Read Parquet files of equal columns, which were found to fit."""
        return _opened(self._cursor.sql(parquet_reader.files_query(source, parts)))

    def open_spool(self, spooled: Spooled, columns: Mapping[str, str]) -> Frame:
        """Read rows of a database, with their columns in these types, and those that assay adds to every row."""
        return _opened(self._cursor.sql(spool_query(spooled, columns)))

    def open_mended(self, source: Csv, header: Sequence[str], part: Slice, path: str) -> Frame:
        """Read a file whose lines begin with record and line number, with the reasons of rows that do not fit."""
        return _opened(self._cursor.sql(csv_reader.mended_query(source, header, part, path)))

    def open_json_lines(self, path: str, schema: Schema) -> Frame:
        """Read a file of one JSON object a line."""
        columns = quoting.struct({column.name: quoting.text(column.type) for column in schema})
        # Each thread makes room for two of the longest that there may be, whatever there is.
        options = f"columns = {columns}, format = 'newline_delimited', maximum_object_size = {_longest_line(path)}"
        return _opened(self._cursor.sql(f"select * from read_json({quoting.path(path)}, {options})"))


def _longest_line(path: str) -> int:
    """Return the bytes of the longest line of a file, at least one; a line of it is held at once."""
    with Path(path).open("rb") as file:
        return max(map(len, file), default=1)


def _opened(relation: DuckDBPyRelation) -> Frame:
    frame: Frame = nw.from_native(relation)
    return frame
