"""The changes of one reading, coalesced: of each key the last row, or that it is gone.

What comes of a reading, applied to the tables as they were before it, gives the tables as they are at its end. For each
table: where it was truncated, remove all rows; then remove those whose keys are gone; then put the new rows in place of
those with their keys. In this order: 1.0 and 1.00 are one number and two keys, and one may have become the other.

A first load and the changes after it meet without a gap and without a seam:

1. `make_slot` makes the slot. From its place in the log on, every change is told, and it returns only when all that was
   committed before can be seen.
2. One snapshot (REPEATABLE READ) reads all tables. The place of the slot is stored with them.
3. The next reading brings all changes since that place, so also some that the snapshot had. That does no harm: it
   brings, of each key that was touched, the last state, and that state is newer than the snapshot, since it reads to
   `end_of_log`. A row that the snapshot had and that was removed is told to be gone; one that came and went before the
   snapshot is told to be gone, and was never there.

A table that is added, or loaded again, joins in the same way: it is published first (`publish` waits as `make_slot`
does), then read in a snapshot, and its changes since then are among those of the next reading.

Exactly once: whoever applies a reading stores its `lsn` in the same transaction, and gives it to the next one as
`start`; transactions before it are passed over, whatever the slot tells again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.model.database import quoted
from assay.model.errors import SourceError
from assay.sources.postgres.latest import Latest, Scratch
from assay.sources.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Relation,
    Remark,
    Truncate,
    Update,
    Values,
    decode,
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A table whose changes are read: its number in the database, its name, the columns that are asked for, its key."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """Its name in SQL."""
        return quoted(self.schema, self.name)


class UnfollowedError(SourceError):
    """A table whose changes do not tell what its rows are now: it must be loaded in full."""

    def __init__(self, table: Followed, why: str) -> None:
        """Say why of a table."""
        super().__init__(f"{table}: {why}")
        self.table = table


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What a reading brings for one table.

    `upserts` and `removals` are files as PostgreSQL's COPY (FORMAT csv, FORCE_QUOTE *) writes them, without a header:
    NULL is nothing and an empty text is "". A removal has the columns of the key; an upsert has those that were asked
    for, and one more: a JSON array with the names of columns whose values are not told since no change touched them, or
    NULL where there is none. `inserts`, `updates` and `deletes` count the changes that were read, `upserted` and
    `removed` the rows that are left of them.
    """

    table: Followed
    truncated: bool
    inserts: int
    updates: int
    deletes: int
    upserts: Path
    upserted: int
    removals: Path
    removed: int
    longest: int
    """Bytes of the longest row in the files."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All changes of some tables up to a place in the log; `tables` are those that have any."""

    lsn: int
    tables: tuple[TableChanges, ...]
    unfollowed: tuple[UnfollowedError, ...]


def coalesced(messages: Iterable[bytes], tables: Sequence[Followed], *, start: int, end: int, folder: Path) -> Reading:
    """Return what the changes between two places of the log come to, with files in a folder.

    `messages` are those of pgoutput, of whole transactions; memory does not grow with their number. Tables that cannot
    be followed do not keep the others from being so. Raises SourceError for what pgoutput would not tell.
    """
    with Scratch.opened(folder) as scratch:
        reader = _Reader([_Following(table, scratch.table(table.columns, table.key)) for table in tables], start, end)
        for message in messages:
            reader.read(message)
        return reader.result(folder)


class _Reader:
    """Gives each change of the transactions between two places to the table that it is of."""

    def __init__(self, tables: Sequence[_Following], start: int, end: int) -> None:
        self._tables = {table.table.oid: table for table in tables}
        self._start, self._end = start, end
        self._inside = self._wanted = False

    def read(self, message: bytes) -> None:
        # Tables are described once, and that may be in a transaction that is passed over.
        if self._inside and not self._wanted and message[:1] not in b"RC":
            return
        match decode(message):
            case Begin(commit_lsn=commit_lsn):
                # By where the commits begin: one may begin where the one before it ends.
                self._inside, self._wanted = True, self._start <= commit_lsn < self._end
            case Commit():
                self._inside = False
            case Relation() as relation:
                if table := self._tables.get(relation.oid):
                    table.describe(relation)
            case Truncate(relations=relations):
                for oid in relations:
                    if table := self._tables.get(oid):
                        table.truncate()
            case Remark():
                pass
            case change:
                if table := self._tables.get(change.relation):
                    table.apply(change)

    def result(self, folder: Path) -> Reading:
        if self._inside:
            raise SourceError("The changes that the server has told end within a transaction; read them again.")
        tables = self._tables.values()
        changes = tuple(table.changes(folder) for table in tables if table.is_changed and not table.unfollowed)
        return Reading(self._end, changes, tuple(table.unfollowed for table in tables if table.unfollowed))


class _Following:
    """What becomes of one table."""

    def __init__(self, table: Followed, rows: Latest) -> None:
        self.table = table
        self.unfollowed: UnfollowedError | None = None
        self._rows = rows
        self._truncated = False
        self._inserts = self._updates = self._deletes = 0
        self._places: list[int] | None = None

    @property
    def is_changed(self) -> bool:
        return self._truncated or bool(self._inserts or self._updates or self._deletes)

    def describe(self, relation: Relation) -> None:
        """Find the columns by their names, which may change in mid stream."""
        places = {column.name: place for place, column in enumerate(relation.columns)}
        if missing := [name for name in self.table.columns if name not in places]:
            self._refuse(f"changes without its column {missing[0]!r} were read, which came, went or changed its name.")
            return
        identity = {column.name for column in relation.columns if column.identifies}
        if not (set(self.table.key) == identity or (relation.identity == "f" and set(self.table.key) <= identity)):
            self._refuse(f"its rows are told apart by {', '.join(self.table.key)}, and some changes tell another key.")
            return
        self._places = [places[name] for name in self.table.columns]

    def truncate(self) -> None:
        self._truncated = True
        self._rows.clear()

    def apply(self, change: Insert | Update | Delete) -> None:
        if self.unfollowed:
            return
        match change:
            case Insert(new=new):
                self._inserts += 1
                self._rows.put(self._asked(new))
            case Update():
                self._updates += 1
                self._update(change)
            case Delete(old=old):
                self._deletes += 1
                self._rows.remove(self._rows.key_of(self._asked(old)))

    def changes(self, folder: Path) -> TableChanges:
        """Write the files; return what they hold."""
        upserts, removals = (folder / f"{self.table.oid}.{kind}.csv" for kind in ("upserts", "removals"))
        counts = self._inserts, self._updates, self._deletes
        new, gone = self._rows.write_rows(upserts), self._rows.write_gone(removals)
        longest = max(new.longest, gone.longest)
        return TableChanges(
            self.table, self._truncated, *counts, upserts, new.rows, removals, gone.rows, longest=longest
        )

    def _update(self, change: Update) -> None:
        new = self._asked(change.new)
        if change.old is not None:
            self._move(new, self._asked(change.old), whole=change.whole)
        elif UNCHANGED in self._rows.key_of(new):
            self._refuse_unknown()
        else:
            self._rows.put(new)

    def _move(self, new: Values, old: Values, *, whole: bool) -> None:
        """Take a row whose key may be another now, with all of its values."""
        key = self._rows.key_of(old)
        new = _filled(new, old if whole else self._rows.only_key(old))
        if self._rows.key_of(new) != key:
            if UNCHANGED in new:
                new = _filled(new, self._rows.find(key) or new)
            if UNCHANGED in new:
                self._refuse_unknown()
                return
            self._rows.remove(key)
        self._rows.put(new)

    def _asked(self, row: Values) -> Values:
        if self._places is None:
            raise SourceError(f"{self.table}: a change of it came before its columns were told.")
        return tuple([row[place] for place in self._places])

    def _refuse_unknown(self) -> None:
        self._refuse(
            "the key of a row has changed, and a large value of the row was not told again. Have all values told, and "
            f"load the table in full:\nALTER TABLE {self.table.quoted} REPLICA IDENTITY FULL;"
        )

    def _refuse(self, why: str) -> None:
        self.unfollowed = self.unfollowed or UnfollowedError(self.table, why)


def _filled(row: Values, known: Values) -> Values:
    """Return a row with the values of another in place of those that are unchanged."""
    return tuple([value if new is UNCHANGED else new for new, value in zip(row, known, strict=True)])
