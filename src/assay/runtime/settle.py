"""From the rows a function returned to the rows that stand: judged, rejected, deduplicated, numbered."""

from __future__ import annotations

from dataclasses import dataclass

from assay.model.check import RowCheck
from assay.model.data import Manifest
from assay.model.ports import Destination, Frame, Rejects, Session
from assay.model.quarantine import QUARANTINE
from assay.model.table import Table
from assay.model.write import Merge
from assay.quality.checks import any_broken
from assay.runtime import account
from assay.runtime.keys import number
from assay.runtime.work import Work
from assay.transform.dedupe import keep_one


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows that stand, and what became of the others."""

    frame: Frame
    judged: account.Judged
    deduplicated: int
    quarantine: tuple[str, ...]
    """Files with the rejected rows."""
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
    quarantine: tuple[str, ...] = ()
    if judged.rejected:
        quarantine = _reject(work, table, session, returned, checks, attempt)
        frame = returned.filter(~any_broken([check for check in checks if check.action == "reject"]))
    deduplicated = 0
    if table.keep is not None:
        base = work.base(table.name) if by_new else None
        if base is not None:
            taken = session.scan(work.warehouse.root, base.files, base.schema, "published").select(*table.key)
            frame = session.hold(frame.join(taken, on=list(table.key), how="anti"))
        deduplicated = judged.returned - judged.rejected - account.count_keys(session, frame, table.key)
        frame = keep_one(
            frame,
            table.key,
            table.keep,
            work.traced[table.name].schema.names,
            position_is_unique=work.traced[table.name].places_unique,
        )
    if isinstance(table.write, Merge) and table.write.surrogate:
        numbered = number(work, table, table.write.surrogate, session, frame, attempt)
        return Settled(numbered.frame, judged, deduplicated, quarantine, numbered.keys)
    return Settled(frame, judged, deduplicated, quarantine, None)


def _reject(
    work: Work, table: Table, session: Session, frame: Frame, checks: tuple[RowCheck, ...], attempt: int
) -> tuple[str, ...]:
    rows, reasons = account.rejected_with_reasons(frame, checks)
    quarantined = session.rejected_rows(rows, Rejects(work.handle.id, table.name, reasons))
    prefix = work.prefix(attempt)
    to = Destination(work.warehouse.root, work.warehouse.quarantine_folder(), prefix, QUARANTINE)
    return tuple(file.path for file in session.write(quarantined, to))
