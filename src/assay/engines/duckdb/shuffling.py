"""An engine that presents the rows of stored files in another order: what a table holds must not depend on it."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import narwhals as nw

from assay.engines.duckdb.engine import DuckDbEngine
from assay.engines.duckdb.session import DuckDbSession
from assay.model.data import DataFile
from assay.model.ports import Frame
from assay.model.schema import Schema


class ShufflingEngine(DuckDbEngine):
    """DuckDB, but for the order of rows: equal seeds give equal orders, and -1 that of 1 from last to first.

    So of two orders with opposite seeds one has any two rows the other way round than they are stored. The order is by
    what is in the rows: by their places, that of a table would depend on how those it was made of were presented.
    """

    def __init__(self, *, threads: int, memory_limit: str, seed: int) -> None:
        super().__init__(threads=threads, memory_limit=memory_limit)
        self._seed = seed

    def _on(self, cursor: duckdb.DuckDBPyConnection) -> DuckDbSession:
        return _ShufflingSession(cursor, self._seed)


class _ShufflingSession(DuckDbSession):
    def __init__(self, cursor: duckdb.DuckDBPyConnection, seed: int) -> None:
        super().__init__(cursor)
        self._by = f"hash(one, {abs(seed)}) {'desc' if seed < 0 else 'asc'}"

    def scan(self, root: str, files: Sequence[DataFile], schema: Schema, name: str) -> Frame:
        """Open stored files, their rows in another order."""
        stored = super().scan(root, files, schema, name).to_native().sql_query()
        ordered = self._cursor.sql(f"select * from ({stored}) as one order by {self._by}")
        # Held, as the optimizer leaves out an order that it takes for needless.
        held = self.hold(nw.from_native(ordered))
        shuffled: Frame = nw.from_native(held.to_native().set_alias(name))
        return shuffled
