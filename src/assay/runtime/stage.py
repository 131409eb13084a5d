"""Staging one table: its inputs as they will stand, its function, its account, its files, its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from assay.model.check import FreshWithin, RowCount, Unique, Verdict
from assay.model.data import DataFile, Manifest, Version
from assay.model.errors import TableError
from assay.model.ledger import ControlTotal, Ledger
from assay.model.ports import Destination, Frame, Session
from assay.model.rows import Groups, counted_inputs
from assay.model.run import NodeRun, Run
from assay.model.schema import Schema
from assay.model.table import Node, Table
from assay.quality.checks import count_own, unique
from assay.runtime import account, changes
from assay.runtime.plan import leaves
from assay.runtime.settle import settle
from assay.runtime.trace import call
from assay.runtime.work import Dataset, Work, would_be
from assay.transform.drop import Dropped, collecting


@dataclass(frozen=True, slots=True)
class Computed:
    """What a function returned, and what is needed to account for it."""

    frame: Frame
    inputs: Mapping[str, Dataset]
    opened: Mapping[str, Frame]
    dropped: list[Dropped]


def stage_view(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Compute a view into files that live as long as the run."""
    node = work.pipeline.views[name]
    found = compute(work, node, session)
    schema = work.traced[name].stored
    files = session.write(found.frame, _destination(work, name, schema, (), attempt, temporary=True))
    rows = sum(file.rows for file in files)
    ledger = Ledger(
        read={read: data.rows for read, data in found.inputs.items()},
        filtered=account.filtered(session, found.dropped),
        returned=account.judge_rows(session, found.frame, ()).returned,
        written=rows,
    )
    work.warehouse.record(work.handle, _manifest(work, node, attempt, schema, files, None, found.inputs))
    return NodeRun(name, "computed", work.plan.steps[name].reason, rows, ledger)


def stage_table(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Compute a table as its function over its inputs as they will stand, and stage what is new."""
    table = work.pipeline.tables[name]
    base = work.base(name)
    if base is not None and work.plan.steps[name].action == "maybe" and not _inputs_moved(work, name, base):
        return NodeRun(name, "unchanged", "what it reads turned out unchanged", base.rows)
    found = compute(work, table, session)
    settled = settle(work, table, session, found.frame, attempt)
    before = Dataset(name, {}, base.files, base.schema) if base else None
    change = changes.compare(work, table, session, settled.frame, settled.rows, before)
    schema = work.traced[name].stored.following(base.schema if base else None, base.next_field_id if base else 1)
    if base is not None and not change.changed:
        schema, stands = base.schema, base.files
    else:
        stands = session.write(change.frame, _destination(work, name, schema, table.partition_by, attempt))
    ledger = Ledger(
        read={read: data.rows for read, data in found.inputs.items()},
        filtered=account.filtered(session, found.dropped),
        returned=settled.judged.returned,
        rejected=settled.judged.rejected,
        deduplicated=settled.deduplicated,
        written=sum(file.rows for file in stands),
        inserted=change.inserted,
        updated=change.updated,
        unchanged=change.unchanged,
        deleted=change.deleted,
        totals=_totals(table, session, found),
    )
    own = _own_verdicts(work, table, session, session.scan(work.warehouse.root, stands, schema, name))
    manifest = _manifest(work, table, attempt, schema, stands, base, found.inputs)
    if not change.changed:
        # The published files stand; what they were made from and how is still noted, so that it is not tried again.
        manifest = replace(manifest, changed=False, added=(), removed=())
    work.warehouse.record(work.handle, manifest, *([settled.keys] if settled.keys else []))
    return NodeRun(
        name=name,
        status="written" if change.changed else "unchanged",
        reason=work.plan.steps[name].reason if change.changed else "its content is as published",
        rows=ledger.written,
        ledger=ledger,
        verdicts=(*settled.judged.verdicts, *own),
        quarantine=settled.quarantine,
    )


def compute(work: Work, node: Node, session: Session) -> Computed:
    """Call a node's function over its inputs as they will stand; raises TableError for what it cannot use."""
    inputs = {}
    for name in node.upstream:
        found = would_be(work, name)
        if found is None and name in work.pipeline.views:
            # Planned as "maybe", and now needed after all: whoever needs it first computes it.
            stage_view(work, name, session, attempt=1)
            found = would_be(work, name)
        if found is None:
            raise TableError(f"{node.name} reads {name}, which is not there.")
        inputs[name] = found
    opened = {
        parameter: inputs[name].open(work, session, work.traced[name].seen, f"input_{parameter}")
        for parameter, name in node.inputs.items()
    }
    with collecting() as dropped:
        result = call(node, opened, Run(work.plan.options.as_of))
        frame = session.cast(session.resolve(result, node.name), work.traced[node.name].schema)
    # Counting the rows of a grouping costs as much as the grouping; its result is small.
    frame = session.hold(frame) if isinstance(node.rows, Groups) else frame
    return Computed(frame, inputs, opened, dropped)


def _inputs_moved(work: Work, name: str, base: Version) -> bool:
    for read in leaves(work.pipeline, name):
        now = would_be(work, read)
        if now is None or any(base.inputs.get(dataset) != version for dataset, version in now.versions.items()):
            return True
    return False


def _totals(table: Table, session: Session, found: Computed) -> tuple[ControlTotal, ...]:
    if not isinstance(table.rows, Groups):
        return ()
    (base,) = counted_inputs(table.rows, tuple(found.inputs))
    parameter = next(p for p, name in table.inputs.items() if name == base)
    return account.control_totals(session, table.rows, found.frame, found.opened[parameter], found.dropped)


def _own_verdicts(work: Work, table: Table, session: Session, staged: Frame) -> tuple[Verdict, ...]:
    own = [check for check in table.checks if isinstance(check, Unique | RowCount | FreshWithin)]
    for columns in (table.key, table.rows.keys if isinstance(table.rows, Groups) else ()):
        if columns and not any(isinstance(c, Unique) and set(c.columns) == set(columns) for c in own):
            own.append(unique(*columns))
    as_of = work.plan.options.as_of
    return tuple(
        Verdict(check.name, check.action, account.scalar(session, count_own(staged, check, as_of))) for check in own
    )


def _destination(
    work: Work, name: str, schema: Schema, partition_by: tuple[str, ...], attempt: int, *, temporary: bool = False
) -> Destination:
    folder = work.warehouse.folder(work.dataset(name), work.handle.id)
    return Destination(
        work.warehouse.root, folder, f"{work.handle.id}-{attempt}", schema, partition_by, temporary=temporary
    )


def _manifest(
    work: Work,
    node: Node,
    attempt: int,
    schema: Schema,
    added: tuple[DataFile, ...],
    replaced: Version | None,
    inputs: Mapping[str, Dataset],
) -> Manifest:
    base = work.base(node.name)
    return Manifest(
        dataset=work.dataset(node.name),
        attempt=attempt,
        base=base.id if base else None,
        changed=True,
        schema=schema,
        next_field_id=max(schema.highest_id + 1, base.next_field_id if base else 1),
        partition_by=node.partition_by if isinstance(node, Table) else (),
        added=added,
        removed=tuple(file.path for file in replaced.files) if replaced else (),
        fingerprint=work.traced[node.name].fingerprint,
        inputs={dataset: version for data in inputs.values() for dataset, version in data.versions.items()},
        as_of=work.plan.options.as_of.isoformat(),
    )
