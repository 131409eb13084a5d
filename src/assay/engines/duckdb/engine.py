"""One DuckDB in memory for a process, and a session of it for each worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from assay.engines.duckdb.session import DuckDbSession
from assay.engines.duckdb.spill import Spill
from assay.model.errors import RunError, TableError, describe

_WOULD_COME_AGAIN = (duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError, duckdb.ProgrammingError)

_INTERRUPTED = "The run was interrupted."


class DuckDbEngine:
    """An engine that evaluates frames in this process, spilling to disk beyond its memory limit."""

    def __init__(self, *, threads: int, memory_limit: str, spill_folder: str | None = None) -> None:
        """Open DuckDB with `threads` threads over all sessions and a limit such as "1GB"."""
        self._memory_limit = memory_limit
        self._spill = Spill(spill_folder)
        self.room = self._spill.room
        self._lock = threading.Lock()
        self._at_work: dict[int, Callable[[], None]] = {}
        self._interrupted = False
        self._connection = duckdb.connect(
            config={
                "threads": str(threads),
                "memory_limit": memory_limit,
                "temp_directory": self._spill.name,
                # A name in SQL is a table, never a variable that happens to be in scope.
                "python_enable_replacements": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "preserve_insertion_order": "true",
            }
        )
        # Files never change once written, and are opened whenever a query that reads them is bound.
        self._connection.execute("set global parquet_metadata_cache = true")

    @contextmanager
    def session(self) -> Iterator[DuckDbSession]:
        """Open a session; what it held is dropped at its end."""
        cursor = self._connection.cursor()
        try:
            with self._listed(cursor.interrupt), self._translated():
                # What a time without an offset means must not depend on the machine.
                cursor.execute("set timezone = 'UTC'")
                yield self._on(cursor)
        finally:
            cursor.close()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Have something called where what is done within is to stop; how that ends is told as an interruption."""
        with self._listed(stop):
            try:
                yield
            except Exception as error:
                if self._interrupted:
                    raise RunError(_INTERRUPTED) from error
                raise

    @contextmanager
    def _listed(self, stop: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            if self._interrupted:
                # What was stopped would otherwise begin again, as a retry.
                raise RunError(_INTERRUPTED)
            self._at_work[id(stop)] = stop
        try:
            yield
        finally:
            with self._lock:
                del self._at_work[id(stop)]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Tell errors that would come again from those that may pass, which are left as they are."""
        try:
            yield
        except RuntimeError as error:
            # What DuckDB makes of a Ctrl-C that comes while it computes.
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from error
            raise
        except _WOULD_COME_AGAIN as error:
            raise TableError(describe(error)) from error
        except duckdb.OutOfMemoryException as error:
            raise MemoryError(
                f"the engine needs more than memory_limit = {self._memory_limit}; raise that setting, or lower workers."
            ) from error

    def _on(self, cursor: duckdb.DuckDBPyConnection) -> DuckDbSession:
        """Return the session that works on a cursor."""
        return DuckDbSession(cursor)

    def interrupt(self) -> None:
        """Make all that is at work within a session or `stopping` stop, with an error; nothing more begins there."""
        with self._lock:
            self._interrupted = True
            at_work = list(self._at_work.values())
        for stop in at_work:
            stop()

    def close(self) -> None:
        """Close DuckDB and remove what it spilled."""
        self._connection.close()
        self._spill.close()
