"""What one reading of a database's table brought: rows in the types of their columns, and those that do not fit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from narwhals import Expr, col

from assay.model.data import DataFile, dataset_of_delta, rows_in
from assay.model.database import PostgresTable, Spooled
from assay.model.ports import Destination, Frame, Rejects, Session
from assay.model.quarantine import QUARANTINE
from assay.model.source import SOURCE_FILE, UNCHANGED, Slice, as_text, unfit
from assay.quality.either import any_of
from assay.runtime.extracting.reading import stored_schema
from assay.runtime.work import Work
from assay.sources.postgres.reading import Reading
from assay.sources.postgres.spool import Spool


@dataclass(frozen=True, slots=True)
class Errand:
    """One table of a database that is being read for a run."""

    work: Work
    name: str
    source: PostgresTable
    found: Reading
    session: Session
    attempt: int

    @property
    def part(self) -> Slice:
        """The slice that stands for it, as it was planned."""
        return self.work.plan.sources[self.name].slices[0]

    def open(self, spool: Spool, columns: Collection[str]) -> Frame:
        """Open rows that were read, with just these columns and what assay adds."""
        numbered = self.found.watermark.numbered - self.found.rows.rows
        spooled = Spooled(str(spool.path), spool.columns, spool.bare, self.part, numbered, spool.longest, spool.rows)
        return self.session.open_spool(spooled, {name: self.source.columns[name] for name in columns})

    def keys(self, spool: Spool | None) -> Frame | None:
        """Open keys that were read, held."""
        if spool is None:
            return None
        return self.session.hold(self.open(spool, self.source.key).select(*self.source.key))


@dataclass(frozen=True, slots=True)
class Brought:
    """The rows of a reading."""

    fit: Frame
    """Those that fit their columns, with what assay stores beside them; later readings have `_assay_unchanged` too."""
    files: tuple[DataFile, ...]
    """What they were written to: of a first reading, the files that are published."""
    rows: int
    rejected: tuple[DataFile, ...]
    """Files of the quarantine with the others."""
    rejected_keys: Frame | None


def brought(errand: Errand) -> Brought:
    """Write the rows that fit their columns where they can be read several times, and the others to the quarantine.

    Those of a first reading are written to where they stay.
    """
    session = errand.session
    frame = errand.open(errand.found.rows, errand.source.columns)
    doubtful = tuple(name for name in errand.source.columns if unfit(name) in frame.collect_schema().names())
    to = _to(errand)
    files = session.write(frame.filter(~_any_unfit(doubtful)) if doubtful else frame, to)
    rows = rows_in(files)
    fit = session.scan(to.root, files, to.schema, "brought")
    if rows == errand.found.rows.rows:
        return Brought(fit, files, rows, (), None)
    bad = session.hold(frame.filter(_any_unfit(doubtful)))
    return Brought(fit, files, rows, _quarantined(errand, bad, doubtful), bad.select(*errand.source.key))


def _to(errand: Errand) -> Destination:
    work = errand.work
    dataset, schema = work.dataset(errand.name), stored_schema(work, errand.name)
    prefix, root = work.prefix(errand.attempt), work.warehouse.root
    if work.base(errand.name) is None:
        folder = work.warehouse.folder(dataset, work.handle.id)
        return Destination(root, folder, prefix, schema, row_bytes=errand.found.rows.mean)
    folder = work.warehouse.folder(dataset_of_delta(f"{dataset}.brought"), work.handle.id)
    with_unchanged = schema.plus(UNCHANGED, "VARCHAR")
    return Destination(root, folder, prefix, with_unchanged, temporary=True, row_bytes=errand.found.rows.mean)


def _any_unfit(doubtful: tuple[str, ...]) -> Expr:
    return any_of([col(unfit(name)) for name in doubtful])


def _quarantined(errand: Errand, bad: Frame, doubtful: tuple[str, ...]) -> tuple[DataFile, ...]:
    work, columns = errand.work, errand.source.columns
    texts = [col(as_text(name)).alias(name) if name in doubtful else col(name) for name in columns]
    reasons = {unfit(name): f"{name} is no {columns[name]}" for name in doubtful}
    # Without its place: each reading gives it another, and the row is rejected as it was.
    rows = bad.select(*texts, SOURCE_FILE, *reasons)
    quarantined = errand.session.rejected_rows(rows, Rejects(work.handle.id, errand.name, reasons))
    prefix = work.prefix(errand.attempt)
    return errand.session.write(
        quarantined, Destination(work.warehouse.root, work.warehouse.quarantine_folder(), prefix, QUARANTINE)
    )
