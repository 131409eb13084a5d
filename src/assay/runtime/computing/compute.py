"""Calling a node's function over its inputs as they will stand, or over just those of their rows that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw
from narwhals import lit

from assay.model.errors import TableError
from assay.model.ledger import ControlTotal
from assay.model.ports import Frame, Session
from assay.model.rows import Groups, counted_inputs
from assay.model.run import Run
from assay.model.table import Node, Table
from assay.runtime.computing import account
from assay.runtime.computing.narrow import COMPLETE, Scope
from assay.runtime.tracing.trace import INPUT, call
from assay.runtime.work import Dataset, Work, versions_of, would_be
from assay.transform.drop import Dropped, collecting

_FEW_ROWS = 1_000_000
"""New rows up to here are computed once and held, instead of once for each count of them."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a function returned, and what is needed to account for it."""

    frame: Frame
    opened: Mapping[str, Frame]
    """What the function was given, by parameter."""
    dropped: list[Dropped]
    read: Mapping[str, int]
    """Rows of each input that it was given, by name."""
    versions: Mapping[str, int]
    """What the inputs stand for, complete."""


def compute(work: Work, node: Node, session: Session, scope: Scope = COMPLETE, keys: Frame | None = None) -> Computed:
    """Call a node's function; raises TableError for an input that is not there or a result that is no frame.

    `keys` are the affected ones of a table computed by keys.
    """
    opened, read = {}, {}
    for parameter, name in node.inputs.items():
        data = _input(work, node, name, scope)
        # Of several parameters for one input, each is opened for itself; its rows are read once.
        frame = data.open(work, session, work.traced[name].seen, f"{INPUT}{parameter}")
        read[name] = data.rows
        if keys is not None and parameter in scope.restricted:
            frame = _rows_of(work, node, name, frame, session, scope, keys)
            read[name] = account.scalar(session, frame.select(nw.len()))
        opened[parameter] = frame
    with collecting() as dropped:
        result = call(node, opened, Run(work.plan.options.as_of))
        frame = session.cast(session.resolve(result, node.name), work.traced[node.name].schema)
    # Counting the rows of a grouping costs as much as the grouping; its result is small.
    small = scope.mode == "new" and sum(read.values()) <= _FEW_ROWS
    frame = session.hold(frame) if small or isinstance(node.rows, Groups) else frame
    versions = {dataset: v for name in node.upstream for dataset, v in versions_of(work, name).items()}
    return Computed(frame, opened, dropped, read, versions)


def _rows_of(work: Work, node: Node, name: str, frame: Frame, session: Session, scope: Scope, keys: Frame) -> Frame:
    """Return an input's rows of the affected keys, held; columns that the function does not read are null."""
    from assay.runtime.tracing.parsing import columns_read

    seen = work.traced[name].seen
    read = {*columns_read(work.traced[node.name].definition, seen.names), *scope.on}
    wanted = frame.select(*(column for column in seen.names if column in read))
    # Nulls come after the join: carried through it, a column without values costs as much as one with.
    held = session.hold(wanted.join(keys, on=list(scope.on), how="semi"))
    return session.cast(held.select(*(c if c in read else lit(None).alias(c) for c in seen.names)), seen)


def control_totals(
    table: Table, session: Session, found: Computed, lost: Sequence[account.Loss]
) -> tuple[ControlTotal, ...]:
    """Return the control totals of a grouping, as they went in and as they came out."""
    if not isinstance(table.rows, Groups):
        return ()
    (base,) = counted_inputs(table.rows, tuple(found.read))
    parameter = next(p for p, name in table.inputs.items() if name == base)
    return account.control_totals(session, table.rows, found.frame, found.opened[parameter], lost)


def _input(work: Work, node: Node, name: str, scope: Scope) -> Dataset:
    if scope.mode == "new" and name in scope.deltas:
        delta = scope.deltas[name]
        return Dataset(name, {}, delta.files, delta.schema)
    found = would_be(work, name)
    if found is None:
        raise TableError(f"{node.name} reads {name}, which is not there.")
    return found
