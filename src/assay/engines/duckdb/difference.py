"""Two versions of a table compared in SQL, row by row, over just the files that are not in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from assay.engines.duckdb import quoting
from assay.engines.duckdb.comparing import close_to
from assay.engines.duckdb.session import scan_query
from assay.model.data import DataFile, Version, name_of_table, rows_in
from assay.model.difference import RowDifference, TableDifference
from assay.model.schema import Schema
from assay.model.write import STAMPS

_ROUGH = ("DOUBLE", "REAL")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column that both versions have, and how SQL calls its values then and now, in the type that it has now."""

    name: str
    old: str
    new: str
    type: str

    def differs(self) -> str:
        """Return SQL for whether its values differ: null equals null, and a DOUBLE has nine digits."""
        if self.type in _ROUGH:
            return f"(not {close_to(self.old, self.new)})"
        return f"({self.old} is distinct from {self.new})"

    def comparable(self, value: str) -> str:
        """Return SQL for its value as it is compared where rows have no key."""
        return f"format('{{:.8e}}', {value} + 0.0)" if self.type in _ROUGH else value


@dataclass(frozen=True, slots=True)
class _Sides:
    """The rows of two versions that are in no file of both; their columns are o0, o1, ... then and n0, n1, ... now."""

    old: Schema
    new: Schema
    old_rows: str
    new_rows: str
    pairs: tuple[_Pair, ...]
    """The columns of both; of these, stamps are not compared."""
    stamps: tuple[str, ...]

    @property
    def compared(self) -> list[_Pair]:
        """The columns by which rows are told to be equal."""
        return [pair for pair in self.pairs if pair.name not in self.stamps]

    def by_key(self, key: Sequence[str]) -> str:
        """Return every row beside the one with its key in the other version, with how it differs."""
        on = " and ".join(f"{p.old} is not distinct from {p.new}" for p in self.pairs if p.name in key)
        differs = " or ".join(p.differs() for p in self.compared if p.name not in key) or "false"
        return (
            "select case when was is null then 1 when stands is null then -1 else 0 end as times, "
            f"was and stands and not ({differs}) as same, {self._columns('{0}')} "
            f"from (select true as was, * from ({self.old_rows})) "
            f"full join (select true as stands, * from ({self.new_rows})) on {on}"
        )

    def as_whole(self) -> str:
        """Return each row that stands more often in one version than in the other, with how much more often."""
        groups = ", ".join(f"g{n}" for n in range(len(self.compared))) or "1"
        old = "".join(f"{p.comparable(p.old)} as g{n}, " for n, p in enumerate(self.compared))
        new = "".join(f"{p.comparable(p.new)} as g{n}, " for n, p in enumerate(self.compared))
        return (
            f"select sum(side)::bigint as times, false as same, {self._columns('any_value({0})')} from ("
            f"select {old}-1 as side, * from ({self.old_rows}) "
            f"union all by name select {new}1 as side, * from ({self.new_rows})) group by {groups} having times <> 0"
        )

    def _columns(self, how: str) -> str:
        names = [f"o{n}" for n in range(len(self.old.columns))] + [f"n{n}" for n in range(len(self.new.columns))]
        return ", ".join(f"{how.format(name)} as {name}" for name in names)


def compare(
    connection: DuckDBPyConnection, root: str, before: Version | None, after: Version | None, *, rows: int
) -> TableDifference:
    """Return what became of a table between two versions, one of which may be missing; with up to `rows` rows."""
    found = _columns(before, after)
    if before is not None and after is not None and {f.path for f in before.files} == {f.path for f in after.files}:
        return found
    sides = _sides(root, before, after)
    key = _common_key(before, after, sides)
    counts = _counts(connection, sides.by_key(key)) if key else None
    if counts is None or (counts[2] + counts[1], counts[2] + counts[0]) != _rows_read(before, after):
        # Without a key, or with one that tells not all rows apart: of appended rows it may be null.
        key, counts = (), _counts(connection, sides.as_whole())
    found = replace(found, key=key, added=counts[0], removed=counts[1], changed=counts[3])
    return replace(found, rows=tuple(_listed(connection, sides, key, rows))) if rows else found


def _counts(connection: DuckDBPyConnection, query: str) -> tuple[int, int, int, int]:
    """Return how many rows were added and removed, stand in both, and of those have changed."""
    ((added, removed, both, same),) = connection.execute(
        "select coalesce(sum(times) filter (times > 0), 0), coalesce(-sum(times) filter (times < 0), 0), "
        f"count(*) filter (times = 0), count(*) filter (same) from ({query})"
    ).fetchall()
    return int(added), int(removed), int(both), int(both) - int(same)


def _listed(connection: DuckDBPyConnection, sides: _Sides, key: Sequence[str], limit: int) -> Iterator[RowDifference]:
    query = sides.by_key(key) if key else sides.as_whole()
    by_key = [f"coalesce(n{n}, {p.old})" for n, p in enumerate(sides.pairs) if p.name in key]
    by_values = ["sign(times)", *(f"o{n}" for n in range(len(sides.old.columns))), *(p.new for p in sides.pairs)]
    order = ", ".join(by_key or by_values)
    found = connection.execute(
        f"select * from ({query}) where not coalesce(same, false) order by {order} limit {limit:d}"
    )
    differing = [pair.name for pair in sides.pairs]
    for times, _, *values in found.fetchall():
        old = dict(zip(sides.old.names, values, strict=False))
        new = dict(zip(sides.new.names, values[len(old) :], strict=True))
        if times == 0:
            named = {name: new[name] for name in key}
            moved = [name for name in differing if old[name] != new[name]]
            yield RowDifference("changed", named, {n: old[n] for n in moved}, {n: new[n] for n in moved})
        else:
            whole = new if times > 0 else old
            named = {name: whole[name] for name in key}
            came = times > 0
            values_of = ({}, new) if came else (old, {})
            yield RowDifference("added" if came else "removed", named, *values_of, abs(times))


def _columns(before: Version | None, after: Version | None) -> TableDifference:
    some = after or before
    assert some is not None, "a table is in one of the two states"
    old, new = _visible(before), _visible(after)
    both = before is not None and after is not None
    return TableDifference(
        table=name_of_table(some.dataset),
        fate="stayed" if both else "came" if before is None else "went",
        rows_before=before.rows if before else 0,
        rows_after=after.rows if after else 0,
        columns_added=tuple(c.name for c in new if both and c.name not in old),
        columns_removed=tuple(c.name for c in old if both and c.name not in new),
        columns_retyped=tuple(
            f"{c.name}: {old[c.name].type} -> {c.type}" for c in new if c.name in old and old[c.name].type != c.type
        ),
    )


def _sides(root: str, before: Version | None, after: Version | None) -> _Sides:
    old, new = _visible(before), _visible(after)
    if before is None or after is None:
        # Rows of a table that is in one state only are all told, each for itself.
        old = new = _visible(before or after)
    pairs = []
    for n, column in enumerate(new):
        if column.name in old:
            was = f"o{old.names.index(column.name)}"
            cast = was if old[column.name].type == column.type else f"try_cast({was} as {column.type})"
            pairs.append(_Pair(column.name, cast, f"n{n}", column.type))
    stamps = STAMPS if any(version.stamps for version in (before, after) if version) else ()
    files = _files(before), _files(after)
    only = [tuple(f for f in mine.values() if f.path not in other) for mine, other in (files, files[::-1])]
    return _Sides(old, new, _side(root, only[0], old, "o"), _side(root, only[1], new, "n"), tuple(pairs), stamps)


def _common_key(before: Version | None, after: Version | None, sides: _Sides) -> tuple[str, ...]:
    """Return the key of both versions; none where it was declared otherwise."""
    keys = {version.key for version in (before, after) if version is not None}
    (key,) = keys if len(keys) == 1 else ((),)
    return key if set(key) <= {pair.name for pair in sides.pairs} else ()


def _rows_read(before: Version | None, after: Version | None) -> tuple[int, int]:
    """Return the rows of each version in files that the other has not, by the files' own footers."""
    old, new = _files(before), _files(after)
    return (
        rows_in(old[path] for path in old.keys() - new),
        rows_in(new[path] for path in new.keys() - old),
    )


def _files(version: Version | None) -> dict[str, DataFile]:
    return {file.path: file for file in version.files} if version else {}


def _side(root: str, files: Sequence[DataFile], schema: Schema, letter: str) -> str:
    columns = ", ".join(f"{quoting.name(c.name)} as {letter}{n}" for n, c in enumerate(schema))
    return f"select {columns} from ({scan_query([str(Path(root, file.path)) for file in files], schema)})"


def _visible(version: Version | None) -> Schema:
    return Schema(tuple(c for c in version.schema if not c.is_system)) if version else Schema(())
