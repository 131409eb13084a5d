"""Mirroring a table of a database: what a reading brought, merged by key into what is published of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import narwhals as nw
from narwhals import Expr, col, lit, when

from assay.model.check import Verdict
from assay.model.data import Manifest, Version, rows_in
from assay.model.errors import SourceError
from assay.model.ledger import Ledger
from assay.model.ports import Frame
from assay.model.quarantine import QUARANTINE
from assay.model.run import NodeRun
from assay.model.schema import Schema
from assay.model.source import SYSTEM_COLUMNS, UNCHANGED, Slice, among
from assay.model.table import Table
from assay.model.write import Merge, Overwrite
from assay.runtime.computing.account import Judged, scalar
from assay.runtime.computing.changes import WAS, Changes, any_distinct
from assay.runtime.computing.narrow import COMPLETE, Scope
from assay.runtime.computing.rejects import rejects_of, rejects_of_table
from assay.runtime.computing.replace import Replaced, replace_rows
from assay.runtime.computing.settle import Settled
from assay.runtime.extracting.brought import Brought, Errand, brought
from assay.runtime.extracting.reading import stored_schema

_KNOWN = "_assay_known"


class UntoldError(SourceError):
    """Changes that do not tell what a row is now, as nobody here knows what it was: all rows must be read."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What is staged of a source, and the record of it."""

    manifests: tuple[Manifest, ...]
    node: NodeRun


@dataclass(frozen=True, slots=True)
class Merged:
    """What the rows of a reading do to those that are published."""

    replaced: Replaced
    told: Frame | None
    """The keys whose rejected rows this reading tells anew; None for all."""
    unchanged: int = 0
    """Rows that were read and stand as they were."""


def mirror(errand: Errand) -> Mirrored:
    """Merge what was read into what is published, and return what is to be recorded of it."""
    work, base = errand.work, errand.work.base(errand.name)
    if errand.found.is_empty and base is not None:
        return _as_published(errand, base)
    found = brought(errand)
    merged = _merged(errand, found)
    scope = Scope("keys", {}, (), errand.source.key) if merged.told is not None else COMPLETE
    table = _table(errand)
    rejects = rejects_of_table(work, table, errand.session, found.rejected, scope, merged.told, errand.attempt)
    changed = merged.replaced.change.changed or rejects is not None
    manifest = _manifest(errand, merged.replaced, changed=changed)
    return Mirrored((manifest, *filter(None, [rejects])), _node(errand, found, merged, rejects, changed=changed))


def _as_published(errand: Errand, base: Version) -> Mirrored:
    """Return what is told of a table in which nothing has changed."""
    none = errand.work.scan(errand.session, (), base.schema, errand.name)
    same = _same(base, none)
    nothing = Brought(none, (), 0, (), None)
    manifest = _manifest(errand, same, changed=False)
    return Mirrored((manifest,), _node(errand, nothing, Merged(same, None), None, changed=False))


def _same(base: Version, rows: Frame) -> Replaced:
    """Return that a table stands as it is published."""
    return Replaced(Changes(rows, changed=False, inserted=0), base.schema, (), (), base.files, 0)


def _table(errand: Errand) -> Table:
    """Return the table that a source is stored as: rows of a key are updated, others are replaced together."""
    write = Merge() if errand.source.key else Overwrite()
    return Table(errand.name, mirror, {}, write=write, key=errand.source.key)


def _merged(errand: Errand, found: Brought) -> Merged:
    work, session, key = errand.work, errand.session, errand.source.key
    base, stored = work.base(errand.name), work.traced[errand.name].stored
    rows = found.fit.select(*stored.names)
    if base is None:
        first = Changes(rows, changed=True, inserted=found.rows)
        return Merged(Replaced(first, stored_schema(work, errand.name), found.files, (), found.files, found.rows), None)
    if not key or base.key != key or _pairs(base.schema) != _pairs(stored):
        if not errand.found.complete:
            raise UntoldError(f"{errand.source.relation}: is published with other columns, so all rows must be read.")
        return _whole(errand, rows, found.rows)
    published = work.scan(session, base.files, base.schema, "published")
    fresh = session.hold(_fresh(errand, found.fit, published))
    count = scalar(session, fresh.select(nw.len()))
    gone = session.hold(_gone(errand, found, published))
    lost = scalar(session, gone.select(nw.len()))
    told = None if errand.found.complete else _told(errand, fresh, found)
    if not count and not lost:
        return Merged(_same(base, fresh), told, found.rows)
    keys = session.hold(nw.concat([fresh.select(*key), gone]))
    settled = Settled(fresh.select(*stored.names), Judged(count, 0, ()), 0, (), None)
    replaced = replace_rows(work, _table(errand), session, settled, Scope("keys", {}, (), key), keys, errand.attempt)
    return Merged(replaced, told, found.rows - count)


def _whole(errand: Errand, rows: Frame, count: int) -> Merged:
    """Return the rows as all there are, unless just these are published."""
    work, session = errand.work, errand.session
    base, stored = work.base(errand.name), work.traced[errand.name].stored
    if base is not None and _pairs(base.schema) == _pairs(stored) and base.rows == count:
        own = stored.without(*SYSTEM_COLUMNS).names
        published = work.scan(session, base.files, base.schema, "published")
        if session.same_rows(rows.select(*own), published.select(*own), exactly=True):
            return Merged(_same(base, rows), None, count)
    settled = Settled(rows, Judged(count, 0, ()), 0, (), None)
    return Merged(replace_rows(work, _table(errand), session, settled, COMPLETE, None, errand.attempt), None)


def _fresh(errand: Errand, rows: Frame, published: Frame) -> Frame:
    """Return the rows that are not published as they are: other rows keep the place and day that they were given."""
    stored, key = errand.work.traced[errand.name].stored, errand.source.key
    business = [column for column in stored if not column.is_system and column.name not in key]
    was = published.select(*key, lit(value=True).alias(_KNOWN), *(col(c.name).alias(WAS + c.name) for c in business))
    joined = rows.join(was, on=list(key), how="left").with_columns(col(_KNOWN).fill_null(value=False))
    if errand.found.partial:
        kept = {c.name: _is_kept(c.name) for c in business}
        _check_known(errand, joined)
        joined = joined.with_columns(when(kept[n]).then(col(WAS + n)).otherwise(col(n)).alias(n) for n in kept)
    return joined.filter(~col(_KNOWN) | any_distinct(business, within=0.0)).select(*stored.names)


def _is_kept(column: str) -> Expr:
    """Return whether a row leaves a column as it was."""
    return col(UNCHANGED).str.contains(among(column), literal=True).fill_null(value=False)


def _check_known(errand: Errand, joined: Frame) -> None:
    """Raise UntoldError where a row leaves a column as it was, and nobody knows what that is."""
    unknown = joined.filter(~col(_KNOWN) & (col(UNCHANGED).str.len_chars() > 0))
    if count := scalar(errand.session, unknown.select(nw.len())):
        raise UntoldError(
            f"{errand.source.relation}: {count:,} changed rows stand in no table here, as rejected ones do not, and "
            "large values of them that have not changed are not told."
        )


def _gone(errand: Errand, found: Brought, published: Frame) -> Frame:
    """Return the keys of published rows that are in the table no more, or are no rows for it any more."""
    key, session = list(errand.source.key), errand.session
    keys = published.select(*key)
    if errand.found.complete:
        return keys.join(found.fit.select(*key), on=key, how="anti")
    frames = [keys.head(0)]
    if (every := errand.keys(errand.found.keys)) is not None:
        frames.append(keys.join(every, on=key, how="anti"))
    if (deleted := errand.keys(errand.found.deleted)) is not None:
        # Of numbers, 1.0 and 1.00 are one key, and the one may have become the other.
        frames.append(keys.join(deleted, on=key, how="semi").join(found.fit.select(*key), on=key, how="anti"))
    left = (found.rejected_keys,)
    frames += (keys.join(session.hold(each), on=key, how="semi") for each in left if each is not None)
    return nw.concat(frames).unique(key)


def _told(errand: Errand, fresh: Frame, found: Brought) -> Frame:
    key = list(errand.source.key)
    others = (errand.keys(errand.found.deleted), found.rejected_keys, _gone_from_quarantine(errand))
    every = nw.concat([fresh.select(*key), *(each.select(*key) for each in others if each is not None)])
    return errand.session.hold(every.unique(key))


def _gone_from_quarantine(errand: Errand) -> Frame | None:
    """Return the keys of rows that stand rejected and are in the table no more, where all keys were read."""
    standing = rejects_of(errand.work, errand.name)
    if not standing or (every := errand.keys(errand.found.keys)) is None:
        return None
    stored = errand.work.traced[errand.name].stored
    rejected = errand.work.scan(errand.session, standing, QUARANTINE, "rejected")
    keys = errand.session.rejected_keys(rejected, Schema(tuple(stored[name] for name in errand.source.key)))
    return keys.join(every, on=list(errand.source.key), how="anti")


def _manifest(errand: Errand, replaced: Replaced, *, changed: bool) -> Manifest:
    work, name = errand.work, errand.name
    base, schema = work.base(name), stored_schema(work, name)
    return Manifest(
        dataset=work.dataset(name),
        attempt=errand.attempt,
        base=base.id if base else None,
        changed=changed,
        schema=schema,
        next_field_id=max(schema.highest_id + 1, base.next_field_id if base else 1),
        partition_by=(),
        # What only other programs read of tables, nobody reads of a source.
        added=tuple(file if errand.source.publish else replace(file, stats={}) for file in replaced.added),
        removed=replaced.removed,
        fingerprint=work.traced[name].fingerprint,
        inputs={},
        gone=replaced.gone,
        came=replaced.came,
        key=errand.source.key,
        slices=(_part(errand, replaced),),
    )


def _part(errand: Errand, replaced: Replaced) -> Slice:
    text = errand.found.watermark.to_text()
    identity = replace(errand.part.identity, sha256=sha256(text.encode()).hexdigest())
    rows = rows_in(replaced.stands)
    return replace(errand.part, identity=identity, watermark=text, rows=rows, header=errand.found.columns)


def _node(errand: Errand, found: Brought, merged: Merged, rejects: Manifest | None, *, changed: bool) -> NodeRun:
    replaced, delivered = merged.replaced, errand.found.rows.rows
    change = replaced.change
    rows = rows_in(replaced.stands)
    return NodeRun(
        name=errand.name,
        status=("written" if errand.source.publish else "computed") if changed else "unchanged",
        reason=errand.work.plan.steps[errand.name].reason if changed else "read, and found as it is published",
        rows=rows,
        ledger=Ledger(
            read={errand.source.relation: delivered},
            returned=delivered,
            rejected=delivered - found.rows,
            written=replaced.written + merged.unchanged,
            inserted=change.inserted,
            updated=change.updated,
            unchanged=merged.unchanged,
            deleted=change.deleted,
        ),
        verdicts=_verdicts(errand, rows + _standing_rejects(errand, rejects)),
        quarantine=tuple(file.path for file in found.rejected),
    )


def _standing_rejects(errand: Errand, staged: Manifest | None) -> int:
    """Return how many rows of the source stand in the quarantine."""
    left = set(staged.removed) if staged else set()
    kept = (file for file in rejects_of(errand.work, errand.name) if file.path not in left)
    return rows_in((*kept, *(staged.added if staged else ())))


def _verdicts(errand: Errand, rows: int) -> tuple[Verdict, ...]:
    read, source, before = errand.found, errand.source, errand.part.header
    new = [column for column in read.columns if before and column not in before and column not in source.columns]
    told = [Verdict("columns that are not declared", "warn", len(new), ", ".join(new))] if new else []
    if read.missing:
        told.append(Verdict("columns that the table has lost", "warn", len(read.missing), ", ".join(read.missing)))
    if read.failed:
        told.append(Verdict("changes as the log tells them", "warn", 1, f"{read.failed} All rows were read."))
    if read.unindexed:
        told.append(Verdict("an index that begins with the stamp", "warn", 1, f"{source.relation}.{source.updated}"))
    if read.count is not None and read.count != rows:
        remedy = "look for deleted rows by deletes=True, or load it anew by --full"
        told.append(
            Verdict("rows as in the database", "warn", abs(read.count - rows), f"{read.count:,} there; {remedy}")
        )
    return tuple(told)


def _pairs(schema: Schema) -> list[tuple[str, str]]:
    return [(c.name, c.type) for c in schema]
