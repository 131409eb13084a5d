"""Staging one table or view: compute it, account for it, write what is new, record the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import narwhals as nw

from assay.model.check import OwnCheck, Unique, Verdict
from assay.model.data import IN_PART, Manifest, Version, dataset_of_news, rows_in
from assay.model.ledger import Ledger
from assay.model.ports import Destination, Frame, Session
from assay.model.rows import Groups
from assay.model.run import NodeRun
from assay.model.schema import Schema
from assay.model.table import Node, Table
from assay.quality.checks import count_own, unique
from assay.runtime.computing import account
from assay.runtime.computing.compute import compute, control_totals
from assay.runtime.computing.narrow import (
    COMPLETE,
    Scope,
    affected_keys,
    scopes_of,
    serves,
    source_news,
    takes_only_new,
)
from assay.runtime.computing.rejects import rejects_of_table
from assay.runtime.computing.replace import Replaced, adds_to, replace_rows
from assay.runtime.computing.settle import settle
from assay.runtime.work import Work, inputs_moved, would_be


def stage_view(work: Work, name: str, session: Session, attempt: int, *, complete: bool = False) -> NodeRun:
    """Compute a view into files that live as long as the run: all of it, or where that is enough, its new rows."""
    node = work.pipeline.views[name]
    only_new = not complete and takes_only_new(work, name)
    scope = source_news(work, node) if only_new else COMPLETE
    views = _complete_views(work, node, scope, session, attempt)
    found = compute(work, node, session, scope)
    schema = work.traced[name].stored
    dataset = dataset_of_news(name) if only_new else work.dataset(name)
    files = session.write(found.frame, _destination(work, dataset, schema, (), attempt, temporary=True))
    rows = rows_in(files)
    ledger = Ledger(
        read=found.read,
        filtered=account.filtered(account.losses(session, found.dropped, node.rows)),
        returned=account.judge_rows(session, found.frame, ()).returned,
        written=rows,
    )
    manifest = _manifest(work, node, attempt, schema, found.versions)
    work.warehouse.record(work.handle, replace(manifest, dataset=dataset, added=files))
    return NodeRun(name, "computed", work.plan.steps[name].reason, rows, ledger, along=views)


def stage_table(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Compute a table as its function over its inputs as they will stand, and stage what is new."""
    base = work.base(name)
    if base is not None and work.plan.steps[name].action == "maybe" and not inputs_moved(work, name, base):
        return NodeRun(name, "unchanged", "what it reads turned out unchanged", base.rows)
    table = work.pipeline.tables[name]
    views: list[NodeRun] = []
    for scope in scopes_of(work, table):
        # Before the keys are looked for: those of a period are in the views too.
        views += _complete_views(work, table, scope, session, attempt)
        staged = _stage(work, table, session, attempt, scope)
        if staged is not None:
            return replace(staged, along=tuple(views))
    raise AssertionError("the last scope is everything, which always serves")


def _stage(work: Work, table: Table, session: Session, attempt: int, scope: Scope) -> NodeRun | None:
    """Stage a table over one scope; None where its rows turn out to need a wider one."""
    keys = affected_keys(work, table, scope, session) if scope.on else None
    if keys is not None and scope.mode == "keys" and not serves(work, table, keys, session):
        return None
    found = compute(work, table, session, scope, keys)
    if scope.mode == "new" and not adds_to(work, table, session, found.frame):
        return None
    settled = settle(work, table, session, found.frame, attempt, by_new=scope.mode == "new")
    replaced = replace_rows(work, table, session, settled, scope, keys, attempt)
    base = work.base(table.name)
    change = replaced.change
    lost = account.losses(session, found.dropped, table.rows)
    ledger = Ledger(
        read=found.read,
        filtered=account.filtered(lost),
        returned=settled.judged.returned,
        rejected=settled.judged.rejected,
        deduplicated=settled.deduplicated,
        written=replaced.written,
        inserted=change.inserted,
        updated=change.updated,
        unchanged=change.unchanged,
        deleted=change.deleted,
        totals=control_totals(table, session, found, lost),
    )
    manifest = _manifest(work, table, attempt, replaced.schema, found.versions)
    if scope.mode == "period":
        manifest = _in_part(manifest, base)
    manifest = replaced.told_in(manifest)
    verdicts = (*settled.judged.verdicts, *_own_verdicts(work, table, session, replaced, scope, keys, settled.rows))
    rejects = rejects_of_table(work, table, session, settled.rejected, scope, keys, attempt)
    work.warehouse.record(work.handle, manifest, *filter(None, (settled.keys, rejects)))
    return NodeRun(
        name=table.name,
        status="written" if change.changed else "unchanged",
        reason=work.plan.steps[table.name].reason if change.changed or base is None else "its content is as published",
        rows=rows_in(replaced.stands),
        ledger=ledger,
        verdicts=verdicts,
        quarantine=tuple(file.path for file in settled.rejected),
        unaccounted=ledger.unaccounted(table.rows),
    )


def _complete_views(work: Work, node: Node, scope: Scope, session: Session, attempt: int) -> tuple[NodeRun, ...]:
    """Compute the views that a node needs whole and nobody has computed whole: whoever needs one first does."""
    computed = []
    for name in node.upstream:
        whole = scope.mode != "new" or name not in scope.deltas
        if name in work.pipeline.views and whole and would_be(work, name) is None:
            done = stage_view(work, name, session, attempt, complete=True)
            computed += [*done.along, replace(done, along=())]
    return tuple(computed)


def _own_verdicts(
    work: Work, table: Table, session: Session, replaced: Replaced, scope: Scope, keys: Frame | None, rows: int
) -> tuple[Verdict, ...]:
    """Judge the table's own checks as it will stand. Keys that were not touched are as unique as they were.

    Of a table that keeps one row a key, `rows` is the number of its keys: that many rows in its files prove it unique,
    and a second scan would tell the same.
    """
    own = [check for check in table.checks if isinstance(check, OwnCheck)]
    for columns in (table.key, table.rows.keys if isinstance(table.rows, Groups) else ()):
        blocking = [set(c.columns) for c in own if isinstance(c, Unique) and c.action == "block"]
        if columns and set(columns) not in blocking:
            own.append(unique(*columns))
    whole = work.scan(session, replaced.stands, replaced.schema, table.name)
    touched, chosen = whole, table.keep is not None
    if scope.mode == "new" and table.key:
        touched = work.scan(session, replaced.added, replaced.schema, table.name)
    elif keys is not None and table.key:
        # None, unless the function was narrowed where it must not be: then more than what was touched is judged.
        strays = replaced.change.inserts.join(keys, on=list(scope.on), how="anti")
        astray = account.scalar(session, strays.select(nw.len())) > 0
        touched, chosen = whole if astray else replaced.change.frame, chosen and not astray
    as_of = work.plan.options.as_of
    verdicts = []
    for check in own:
        by_key = isinstance(check, Unique) and set(table.key) == set(check.columns)
        if by_key and chosen:
            broken = max(0, replaced.written - rows)
        else:
            broken = account.scalar(session, count_own(touched if by_key else whole, check, as_of))
        verdicts.append(Verdict(check.name, check.action, broken))
    return tuple(verdicts)


def _destination(
    work: Work, dataset: str, schema: Schema, partition_by: tuple[str, ...], attempt: int, *, temporary: bool = False
) -> Destination:
    folder = work.warehouse.folder(dataset, work.handle.id)
    return Destination(work.warehouse.root, folder, work.prefix(attempt), schema, partition_by, temporary=temporary)


def _in_part(manifest: Manifest, base: Version | None) -> Manifest:
    """Return the manifest of a table that is not done with its inputs: the next run must go on where it was."""
    inputs = dict.fromkeys(manifest.inputs, IN_PART)
    if base is None:
        return replace(manifest, inputs=inputs)
    return replace(manifest, inputs={**inputs, **base.inputs}, fingerprint=base.fingerprint, as_of=base.as_of)


def _manifest(work: Work, node: Node, attempt: int, schema: Schema, versions: Mapping[str, int]) -> Manifest:
    base = None if node.name in work.pipeline.views else work.base(node.name)
    return Manifest(
        dataset=work.dataset(node.name),
        attempt=attempt,
        base=base.id if base else None,
        changed=True,
        schema=schema,
        next_field_id=max(schema.highest_id + 1, base.next_field_id if base else 1),
        partition_by=node.partition_by if isinstance(node, Table) else (),
        added=(),
        removed=(),
        fingerprint=work.traced[node.name].fingerprint,
        inputs=dict(versions),
        as_of=work.plan.options.as_of.isoformat(),
        key=node.identity if isinstance(node, Table) else (),
        stamps=isinstance(node, Table) and node.write.stamps,
    )
