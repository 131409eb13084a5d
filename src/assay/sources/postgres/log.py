"""Reading the log of a database: what has changed in all of its tables that are followed so, up to one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay.model.database import parts_of
from assay.model.errors import SourceError
from assay.sources.postgres import catalog, coalescing, modes, publication, replication, slot
from assay.sources.postgres.catalog import ServerTable
from assay.sources.postgres.coalescing import Followed, TableChanges
from assay.sources.postgres.connection import Connection, connect
from assay.sources.postgres.looking import Asked
from assay.sources.postgres.reading import Reading
from assay.sources.postgres.slot import SlotError
from assay.sources.postgres.snapshot import identity
from assay.sources.postgres.spool import Spool
from assay.sources.postgres.watermark import Watermark


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log tells."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    """By name; none where all tables must be read whole, as one of them must."""
    start: int | None = None
    """The place in the log that a snapshot which is taken now goes with."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What tells each table's place in the publication from another, by name."""
    failed: str | None = None
    """Why the log could not tell what has changed, though nothing else speaks for reading all rows."""

    def stored(self, whole: Reading, name: str, failed: str | None) -> Reading:
        """Return a reading of all rows, by a snapshot that was taken since, as one that the log goes on from."""
        mark = replace(whole.watermark, lsn=self.start, told=self.told[name])
        return replace(whole, watermark=mark, failed=failed or self.failed)


def read_log(url: str, name: str, asked: Mapping[str, Asked], folder: Path, *, whole: bool) -> Logged:
    """Read what has changed in some tables of a database, by name; its slot and publication are named after `name`.

    Where one of the tables must be read whole, all must: they are of one moment.
    """
    with connect(url, writes=True) as connection:
        replication.check_server(connection)
        name = slot.name_in(connection, name)
        tables = {key: catalog.declared(connection, each.source, each.columns) for key, each in asked.items()}
        followed = _followed(connection, asked, tables)
        publication.publish(connection, name, list(followed.values()))
        marks = publication.marks(connection, name, list(followed.values()))
        told = {each: marks[tables[each].oid] for each in asked}
        stored = None if whole else _stored(asked, tables, identity(connection), told)
        if stored is None:
            return Logged(start=_start(connection, name), told=told)
        try:
            found = _changes(connection, name, list(followed.values()), stored, folder)
        except (SlotError, coalescing.UnfollowedError) as error:
            return Logged(start=_start(connection, name), told=told, failed=str(error))
        changes = {each.table.oid: each for each in found.tables}
        return Logged({each: _reading(each, asked, tables, changes.get(tables[each].oid), found.lsn) for each in asked})


def _followed(
    connection: Connection, asked: Mapping[str, Asked], tables: Mapping[str, ServerTable]
) -> dict[str, Followed]:
    wanted: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, each in asked.items():
        missing = catalog.missing_columns(each.source, tables[name])
        place = parts_of(each.source.relation)
        if place in wanted:
            raise SourceError(f"{each.source.relation}: is two sources of one database; let tables share one.")
        wanted[place] = tuple(column for column in each.source.columns if column not in missing)
    found = dict(zip(asked, replication.followed(connection, wanted), strict=True))
    for name, table in found.items():
        if set(table.key) != set(asked[name].source.key):
            raise SourceError(
                f"{table}: the log tells its rows apart by {', '.join(table.key)}, and not by its primary key. Have it "
                f"do so:\nALTER TABLE {table.quoted} REPLICA IDENTITY DEFAULT;"
            )
    return found


def _stored(
    asked: Mapping[str, Asked], tables: Mapping[str, ServerTable], server: str, told: Mapping[str, str]
) -> int | None:
    """Return the place up to which all tables have been read; None where one must be read whole.

    An undo takes those back that had changes. What is read again of the others does them no harm: of each row the log
    ends with what it is.
    """
    places = []
    for name, each in asked.items():
        mark = Watermark.from_text(each.watermark) if each.watermark else None
        if mark is None or mark.lsn is None or mark.told != told[name]:
            return None
        if modes.why_whole(each.source, tables[name], mark, server, None):
            return None
        places.append(mark.lsn)
    return min(places)


def _changes(
    connection: Connection, name: str, followed: list[Followed], stored: int, folder: Path
) -> coalescing.Reading:
    """Read what has changed since a place; raises SlotError or UnfollowedError where the log cannot tell it."""
    slot.check_slot(connection, name, stored)
    # What is published needs no log any more.
    slot.advance(connection, name, stored)
    end = slot.end_of_log(connection)
    messages = slot.changes(connection, name, name, upto=end)
    found = coalescing.coalesced(messages, followed, start=stored, end=end, folder=folder)
    for unfollowed in found.unfollowed:
        raise unfollowed
    return found


def _start(connection: Connection, name: str) -> int:
    """Return a place in the log: what was committed before it is seen by a snapshot that is taken now."""
    place = slot.end_of_log(connection)
    try:
        slot.check_slot(connection, name, place)
    except SlotError:
        return slot.make_slot(connection, name)
    replication.wait_for_writers(connection, seconds=replication.WAIT_SECONDS)
    return place


def _reading(
    name: str, asked: Mapping[str, Asked], tables: Mapping[str, ServerTable], found: TableChanges | None, lsn: int
) -> Reading:
    source, table = asked[name].source, tables[name]
    before = Watermark.from_text(asked[name].watermark or "{}")
    told = Reading(
        rows=Spool(Path(), (), 0, 0),
        complete=False,
        watermark=replace(before, lsn=lsn, labels=table.labels),
        missing=catalog.missing_columns(source, table),
        columns=tuple(table.columns),
        partial=True,
    )
    if found is None:
        return told
    return replace(
        told,
        rows=Spool(found.upserts, found.table.columns, found.upserted, found.longest),
        complete=found.truncated,
        watermark=replace(told.watermark, numbered=before.numbered + found.upserted),
        deleted=Spool(found.removals, found.table.key, found.removed, found.longest, bare=True),
    )
