"""What every SQL warehouse forgets in the transaction of a vacuum, and what it still refers to afterwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, String, cast, delete, func, insert, or_, select, union, update

from assay.model.errors import WarehouseError
from assay.model.vacuum import Kind, Removed, Retention
from assay.warehouses import layout, lease
from assay.warehouses.control import (
    CHECKS,
    FILES,
    LEDGER,
    MANIFESTS,
    NODES,
    QUARANTINE_FILES,
    RETENTION,
    RUNS,
    SLICES,
    VERSIONS,
)

_PER_RUN = (LEDGER, CHECKS, NODES, MANIFESTS)
"""What is forgotten of every run beyond the retention."""


@dataclass(frozen=True, slots=True)
class References:
    """What the control tables refer to, and who may still write; all paths are relative to the warehouse."""

    paths: frozenset[str]
    locations: frozenset[str]
    """Where the metadata of tables begins, and where the files of slices are, as it is recorded."""
    plans: str
    """What runs are to do that work or can be resumed, as it is recorded: they need the files that it names."""
    ended: frozenset[int]
    """Runs that neither work nor can be resumed: what they left and nobody refers to is garbage."""

    def files(self, root: Path) -> frozenset[str]:
        """Return all files that are referred to, relative to the warehouse."""
        return self.paths | {location.removeprefix(f"{root}/") for location in self.locations}

    def gives_up(self, path: str, *, replaying: bool) -> bool:
        """Return whether a file that nothing refers to is of no run that may still do so.

        A delivery is kept before its run begins, by one who reads the warehouse until the run has ended.
        """
        if layout.is_delivery(path):
            return not replaying and path not in self.plans
        return layout.run_of(path) in self.ended


def oldest_kept(connection: Connection, retention: Retention, now: dt.datetime) -> int:
    """Return the number of the oldest published state that the retention and runs at work need.

    It is the one that stood before the oldest run within the retention: undoing that run brings it back.
    """
    newest = int(connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one())
    since = (now - dt.timedelta(days=retention.days)).isoformat()
    young = connection.execute(select(func.min(RUNS.c.seq)).where(RUNS.c.ended_at > since)).scalar()
    before = [newest - retention.runs, newest, *lease.at_work(connection).values()]
    return max(0, min(before if young is None else [*before, young - 1]))


def forget(connection: Connection, oldest: int, retention: Retention, now: dt.datetime, *, quarantine: bool) -> int:
    """Forget every state before the oldest that is kept, and what is told of runs before it; return how many rows.

    Runs themselves stay, for the history. The quarantine of a run stays while anything that it added stands, and as a
    whole where `quarantine` is unset.
    """
    connection.execute(delete(RETENTION))
    connection.execute(
        insert(RETENTION).values(
            oldest_seq=oldest, runs=retention.runs, days=retention.days, vacuumed_at=now.isoformat()
        )
    )
    count = sum(
        connection.execute(delete(table).where(table.c.removed_seq <= oldest)).rowcount for table in (FILES, SLICES)
    )
    standing = (
        select(VERSIONS.c.dataset, func.max(VERSIONS.c.seq).label("seq"))
        .where(VERSIONS.c.seq <= oldest)
        .group_by(VERSIONS.c.dataset)
        .subquery()
    )
    superseded = select(VERSIONS.c.run).where(VERSIONS.c.dataset == standing.c.dataset, VERSIONS.c.seq < standing.c.seq)
    count += connection.execute(delete(VERSIONS).where(superseded.exists())).rowcount
    beyond = _beyond(connection, oldest, retention, now)
    for table in _PER_RUN:
        count += connection.execute(delete(table).where(table.c.run.in_(beyond))).rowcount
    if quarantine:
        stands = [select(table.c.added_seq) for table in (FILES, SLICES)]
        gone = beyond.where(or_(RUNS.c.seq.is_(None), RUNS.c.seq.not_in(union(*stands))))
        count += connection.execute(delete(QUARANTINE_FILES).where(QUARANTINE_FILES.c.run.in_(gone))).rowcount
    _shorten(connection, beyond)
    return count


def references(connection: Connection) -> References:
    """Return what is referred to after `forget`, and whose files are garbage where nobody does."""
    paths = {*connection.execute(select(FILES.c.path)).scalars()}
    paths |= {*connection.execute(select(QUARANTINE_FILES.c.path)).scalars()}
    for files in connection.execute(select(VERSIONS.c.metadata_files)).scalars():
        paths |= {*files}
    metadata = select(VERSIONS.c.metadata_location).where(VERSIONS.c.metadata_location.is_not(None))
    locations = {*connection.execute(union(metadata, select(SLICES.c.path))).scalars()}
    newest = select(func.max(RUNS.c.id)).group_by(RUNS.c.pipeline)
    resumable = select(RUNS.c.id).where(RUNS.c.id.in_(newest), RUNS.c.state.in_(("failed", "staged")))
    active = {*lease.at_work(connection), *connection.execute(resumable).scalars()}
    plans = connection.execute(select(cast(RUNS.c.plan, String)).where(RUNS.c.id.in_(active))).scalars()
    return References(
        frozenset(paths),
        frozenset(locations),
        "\n".join(plans),
        frozenset({0, *connection.execute(select(RUNS.c.id)).scalars()} - active),
    )


def garbage(
    found: Iterable[str], root: Path, before: References, kept: References, *, replaying: bool
) -> dict[str, Kind]:
    """Return those files that nobody needs any more, each with what it was before `forget`."""
    needed, known = kept.files(root), before.files(root)
    return {
        path: _kind(path, path in known)
        for path in found
        if path not in needed and kept.gives_up(path, replaying=replaying)
    }


def sums(gone: Mapping[str, Kind], sizes: Mapping[str, int], rows: int) -> dict[Kind, Removed]:
    """Return how much of each kind goes: files that are garbage, and rows that were forgotten."""
    kinds: dict[Kind, Removed] = {}
    for kind in ("data", "metadata", "quarantine", "leftover"):
        found = [sizes[path] for path, its in gone.items() if its == kind]
        kinds[kind] = Removed(len(found), sum(found))
    return {**kinds, "rows": Removed(rows, 0)}


def oldest_readable(connection: Connection) -> int:
    """Return the number of the oldest state that vacuums have left; 0 where there was none yet."""
    return int(connection.execute(select(func.coalesce(func.max(RETENTION.c.oldest_seq), 0))).scalar_one())


def refuse_forgotten(connection: Connection, seq: int, what: str) -> None:
    """Raise WarehouseError where a state was forgotten by a vacuum; `what` begins the sentence."""
    row = connection.execute(select(RETENTION)).one_or_none()
    if row is not None and seq < row.oldest_seq:
        kept = Retention(row.runs, row.days)
        raise WarehouseError(
            f"{what} is older than what is kept here ({kept}), and was vacuumed at {row.vacuumed_at[:19]}; the oldest "
            f"state is that of run {run_of_state(connection, row.oldest_seq)}."
        )


def run_of_state(connection: Connection, seq: int) -> int | None:
    """Return the run that published a state; None for the state before the first."""
    return connection.execute(select(RUNS.c.id).where(RUNS.c.seq == seq)).scalar()


def _kind(path: str, was_kept: bool) -> Kind:
    if layout.is_metadata(path):
        return "metadata"
    if not was_kept:
        return "leftover"
    return "quarantine" if path.startswith(layout.QUARANTINE) else "data"


def _beyond(connection: Connection, oldest: int, retention: Retention, now: dt.datetime) -> Select[tuple[int]]:
    """Return the runs beyond the retention; of those that published nothing, the newest of each pipeline stays."""
    since = (now - dt.timedelta(days=retention.days)).isoformat()
    last = connection.execute(select(func.coalesce(func.max(RUNS.c.id), 0))).scalar_one()
    newest = select(func.max(RUNS.c.id)).group_by(RUNS.c.pipeline)
    old = (RUNS.c.id <= last - retention.runs) & (RUNS.c.ended_at <= since) & RUNS.c.id.not_in(newest)
    return select(RUNS.c.id).where(or_(RUNS.c.seq < oldest, RUNS.c.seq.is_(None) & old))


def _shorten(connection: Connection, beyond: Select[tuple[int]]) -> None:
    """Cut the record of runs down to what the history shows."""
    whole = cast(RUNS.c.plan, String) != "{}"
    query = select(RUNS.c.id, RUNS.c.result).where(RUNS.c.id.in_(beyond), whole)
    for run, result in connection.execute(query).all():
        tables = {name: _shown(node) for name, node in (result or {}).get("tables", {}).items()}
        kept = {name: result[name] for name in ("problems", "undone") if name in (result or {})}
        shown = {"problems": [], **kept, "tables": tables}
        connection.execute(update(RUNS).where(RUNS.c.id == run).values(plan={}, result=shown))


def _shown(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: node[name] for name in ("status", "inserted", "updated") if name in node}
