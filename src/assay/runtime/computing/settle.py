"""From the rows a function returned to the rows that stand: judged, rejected, deduplicated, numbered."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
from narwhals import col

from assay.model.check import RowCheck
from assay.model.data import DataFile, Manifest
from assay.model.ports import Destination, Frame, Rejects, Session
from assay.model.quarantine import QUARANTINE
from assay.model.source import POSITION
from assay.model.table import Table
from assay.model.write import FirstInSource, Merge
from assay.quality.checks import any_broken, flags_of
from assay.runtime.computing import account
from assay.runtime.computing.keys import number
from assay.runtime.work import Work, slices_behind
from assay.transform.dedupe import FIRST, REPEATS, keep_first, keep_one, repeated


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows that stand, and what became of the others."""

    frame: Frame
    judged: account.Judged
    deduplicated: int
    rejected: tuple[DataFile, ...]
    """Files of the quarantine with the rejected rows."""
    keys: Manifest | None
    """What the key map gained, for a table with a surrogate key."""

    @property
    def rows(self) -> int:
        """How many rows stand, by the account: what is written is compared with it."""
        return self.judged.returned - self.judged.rejected - self.deduplicated


def settle(
    work: Work, table: Table, session: Session, returned: Frame, attempt: int, *, by_new: bool = False
) -> Settled:
    """Judge, reject, deduplicate and number the rows that a table's function returned.

    With `by_new` they stand behind all rows of the published table, which keeps its own of every key.
    """
    checks = account.row_checks(table)
    judged = account.judge_rows(session, returned, checks)
    frame = returned
    rejected: tuple[DataFile, ...] = ()
    if judged.rejected:
        rejected = _reject(work, table, session, returned, checks, attempt)
        frame = returned.filter(~any_broken([check for check in checks if check.action == "reject"]))
    frame = frame.drop(*flags) if (flags := flags_of(table)) else frame
    deduplicated = 0
    if table.keep is not None:
        rows = judged.returned - judged.rejected
        base = work.base(table.name) if by_new else None
        if base is not None:
            taken = work.scan(session, base.files, base.schema, "published").select(*table.key)
            frame = session.hold(frame.join(taken, on=list(table.key), how="anti"))
        standing = account.scalar(session, frame.select(nw.len())) if base is not None else rows
        frame, surplus = _deduplicated(work, table, session, frame)
        deduplicated = rows - standing + surplus
    if isinstance(table.write, Merge) and table.write.surrogate:
        numbered = number(work, table, table.write.surrogate, session, frame, attempt)
        return Settled(numbered.frame, judged, deduplicated, rejected, numbered.keys)
    return Settled(frame, judged, deduplicated, rejected, None)


def _deduplicated(work: Work, table: Table, session: Session, frame: Frame) -> tuple[Frame, int]:
    """Return one row for each key, and how many others there are: counted without choosing between them."""
    traced = work.traced[table.name]
    placed = POSITION in traced.schema
    repeats = session.hold(repeated(frame, table.key, placed=placed))
    # No join finds a null; a position that is null is no place.
    unplaced = nw.any_horizontal(
        *(col(name).is_null() for name in (*table.key, *([FIRST] if placed else []))), ignore_nulls=True
    )
    counts = repeats.select((col(REPEATS) - 1).sum().alias("surplus"), unplaced.cast(nw.Int64()).sum().alias("odd"))
    ((surplus, odd),) = session.fetch(counts)
    if not surplus:
        return frame, 0
    if isinstance(table.keep, FirstInSource) and placed and traced.places_unique and not odd:
        kept = keep_first(frame, table.key, repeats)
    else:
        assert table.keep is not None, "only tables that choose are deduplicated"
        columns = traced.schema.without(*flags_of(table)).names
        kept = keep_one(frame, table.key, table.keep, columns, position_is_unique=traced.places_unique)
    numbered = isinstance(table.write, Merge) and table.write.surrogate
    return session.hold(kept) if numbered else kept, int(surplus)


def _reject(
    work: Work, table: Table, session: Session, frame: Frame, checks: tuple[RowCheck, ...], attempt: int
) -> tuple[DataFile, ...]:
    rows, reasons = account.rejected_with_reasons(frame, checks)
    rows = rows.drop(*flags) if (flags := flags_of(table)) else rows
    slices = slices_behind(work, table.name)
    quarantined = session.rejected_rows(rows, Rejects(work.handle.id, table.name, reasons, slices))
    prefix = work.prefix(attempt)
    to = Destination(work.warehouse.root, work.warehouse.quarantine_folder(), prefix, QUARANTINE)
    return session.write(quarantined, to)
