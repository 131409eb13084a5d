"""The last row of each key of some tables, in a temporary file, however many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from assay.model.errors import SourceError
from assay.model.source import among
from assay.sources.postgres.pgoutput import UNCHANGED, Value, Values

_WAITING_BYTES = 8_000_000
_VALUE_BYTES = 50
"""What Python needs for a value besides its text."""
_SETTINGS = ("journal_mode = off", "synchronous = off", "locking_mode = exclusive", "cache_size = -16000")
"""Nobody reads the file after a crash."""
_GONE = b"gone"


class Scratch:
    """A temporary file with the rows of any number of tables; those put last wait in memory to be written together."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Begin with no table."""
        self.database = database
        self._tables: list[Latest] = []
        self._waiting = 0

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Scratch]:
        """Open one in a folder; raises SourceError where that has no room.

        It has no name there: whatever becomes of this process, the system removes it.
        """
        try:
            with NamedTemporaryFile(dir=folder) as file:
                database = sqlite3.connect(file.name, isolation_level=None)
                for setting in _SETTINGS:
                    database.execute(f"pragma {setting}")
                database.execute("begin exclusive")  # and so it is open, with all its locks
            with closing(database):
                yield cls(database)
        except sqlite3.Error as error:
            raise SourceError(f"{folder}: the changes of a database cannot be kept in it: {error}.") from error

    def table(self, columns: Sequence[str], key: Sequence[str]) -> Latest:
        """Return a table with some columns; those of its key tell rows apart."""
        self._tables.append(Latest(self, len(self._tables), columns, key))
        return self._tables[-1]

    def waits(self, row: Values) -> None:
        """Count a row that waits, and write all if it is enough."""
        self._waiting += sum([len(value) for value in row if isinstance(value, bytes)]) + _VALUE_BYTES * len(row)
        if self._waiting > _WAITING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for table in self._tables:
            table.flush()
        self._waiting = 0


@dataclass(frozen=True, slots=True)
class Written:
    """A file of rows, how many there are, and how many bytes the longest has."""

    path: Path
    rows: int
    longest: int


class Latest:
    """The last row of each key of one table; also of keys that are gone it is known that they are."""

    def __init__(self, scratch: Scratch, number: int, columns: Sequence[str], key: Sequence[str]) -> None:
        """Make the table; Scratch does."""
        self._scratch, self._columns = scratch, columns
        self._table = f"t{number}"
        self._key = [columns.index(name) for name in key]
        self._waiting: list[Values] = []
        names = [f"c{n}" for n in range(len(columns))]
        self._every, self._keys = ", ".join(names), ", ".join(names[n] for n in self._key)
        self._sought = " and ".join(f"{names[n]} = ?" for n in self._key)
        # A number is what is unchanged: all else is bytes or null.
        kept = [f"{c} = case typeof(excluded.{c}) when 'integer' then {c} else excluded.{c} end" for c in names]
        rest = [kept[n] for n in range(len(columns)) if n not in self._key]
        self._put = (
            f"insert into {self._table} values ({'?, ' * len(columns)}?) "
            f"on conflict do update set {', '.join([*rest, 'gone = excluded.gone'])}"
        )
        scratch.database.execute(
            f"create table {self._table} ({self._every}, gone, primary key ({self._keys})) without rowid"
        )

    def key_of(self, row: Values) -> Values:
        """Return the key of a row."""
        return tuple([row[n] for n in self._key])

    def only_key(self, row: Values) -> Values:
        """Return a row in which all but its key is unchanged."""
        return tuple([value if place in self._key else UNCHANGED for place, value in enumerate(row)])

    def put(self, row: Values) -> None:
        """Take a row as the last of its key; what is unchanged in it stays what it was, or else unchanged."""
        self._wait((*row, None))

    def remove(self, key: Values) -> None:
        """Take a key as gone."""
        row: list[Value] = [None] * len(self._columns)
        for place, value in zip(self._key, key, strict=True):
            row[place] = value
        self._wait((*row, _GONE))

    def clear(self) -> None:
        """Forget all keys."""
        self._waiting.clear()
        self._scratch.database.execute(f"delete from {self._table}")

    def find(self, key: Values) -> Values | None:
        """Return the row of a key, unless it is gone or not known."""
        self._scratch.flush()
        query = f"select {self._every} from {self._table} where {self._sought} and gone is null"
        row = self._scratch.database.execute(query, key).fetchone()
        return row and tuple(UNCHANGED if value == UNCHANGED else value for value in row)

    def flush(self) -> None:
        """Write what waits; Scratch does."""
        self._scratch.database.executemany(self._put, self._waiting)
        self._waiting.clear()

    def write_rows(self, path: Path) -> Written:
        """Write the rows, each with a last value that names what is unchanged in it."""
        return self._write(path, f"select {self._every} from {self._table} where gone is null", self._with_unchanged)

    def write_gone(self, path: Path) -> Written:
        """Write the keys that are gone."""
        return self._write(path, f"select {self._keys} from {self._table} where gone is not null", tuple)

    def _wait(self, row: Values) -> None:
        self._waiting.append(row)
        self._scratch.waits(row)

    def _write(self, path: Path, query: str, shaped: Callable[[Values], Values]) -> Written:
        self._scratch.flush()
        rows = self._scratch.database.execute(query)
        count = longest = 0
        with path.open("wb") as file:
            for row in rows:
                count += 1
                longest = max(longest, file.write(_line(shaped(row))))
        return Written(path, count, longest)

    def _with_unchanged(self, row: Values) -> Values:
        names = [name for name, value in zip(self._columns, row, strict=True) if value == UNCHANGED]
        if not names:
            return (*row, None)
        text = f"[{','.join(map(among, names))}]"
        return (*[None if value == UNCHANGED else value for value in row], text.encode())


def _line(row: Values) -> bytes:
    """Return a row as COPY (FORMAT csv, FORCE_QUOTE *) writes it."""
    return (
        b",".join([b'"%b"' % value.replace(b'"', b'""') if isinstance(value, bytes) else b"" for value in row]) + b"\n"
    )
