"""Narrowing: which rows of a table a run must compute anew, so that the result is as if it had computed them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import narwhals as nw

from assay.model.data import DataFile, Manifest, Version, dataset_of_news, rows_in
from assay.model.ports import Frame, Session
from assay.model.rows import counted_inputs
from assay.model.schema import Schema
from assay.model.table import Node, Table
from assay.model.write import Append, FirstInSource
from assay.runtime.planning.plan import leaves, reads_date
from assay.runtime.work import Work, would_be

_LARGEST_SHARE = 0.3
"""Of a table's rows; where more keys than this are affected, computing all is cheaper."""
_WIDER = {"INTEGER": "BIGINT", "DATE": "TIMESTAMP"}
"""Types whose every value is one of another type too; between others several keys may be one, as '1' and '01' are."""


@dataclass(frozen=True, slots=True)
class Delta:
    """How an input differs from what a table was last made of."""

    files: tuple[DataFile, ...]
    """Rows that are new; or, where not `only_new`, the old and new versions of rows that changed."""
    only_new: bool
    schema: Schema

    @property
    def rows(self) -> int:
        """The number of rows in the files."""
        return rows_in(self.files)


_STANDS = Delta((), only_new=True, schema=Schema(()))
"""An input that is as it was."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a table is computed over."""

    mode: Literal["all", "new", "keys", "period"]
    """all: complete inputs. new: only the new rows of one input. keys: all rows of the affected keys. period: all rows
    of a month or day."""
    deltas: Mapping[str, Delta]
    """By name of the input; those that did not change are left out."""
    restricted: tuple[str, ...] = ()
    """Parameters whose input is opened in part."""
    on: tuple[str, ...] = ()
    """The columns that affected keys are of: the table's key, or the column of a period."""


COMPLETE = Scope("all", {})


def scopes_of(work: Work, table: Table) -> list[Scope]:
    """Return how a table may be computed, the narrowest first; the last is over everything, or over the period."""
    period = work.plan.periods.get(table.name)
    if period is not None:
        return [Scope("period", {}, period.inputs, (period.column,))]
    found = _scopes(work, table)
    return [*(scope for scope in found if scope is not None), COMPLETE]


def _scopes(work: Work, table: Table) -> list[Scope | None]:
    base = work.base(table.name)
    if base is None or not stands(work, table, base) or base.partition_by != table.partition_by:
        return []
    deltas = {}
    for name in table.upstream:
        delta = _delta(work, name, base)
        if delta is None:
            return []
        if delta.files:
            deltas[name] = delta
    if not deltas:
        return []
    return [_new_rows(work, table, deltas), _affected_keys(work, table, deltas)]


def stands(work: Work, table: Table, base: Version) -> bool:
    """Return whether only a table's inputs can have changed since its published version."""
    options = work.plan.options
    moved = reads_date(work.pipeline, table.name) and base.as_of != options.as_of.isoformat()
    chosen = table.name in {each.name for each in options.selections}
    return not (options.full or chosen or moved) and base.fingerprint == work.traced[table.name].fingerprint


def takes_only_new(work: Work, name: str) -> bool:
    """Return whether everything that reads a view can do with the new rows of its sources alone."""
    view = work.pipeline.views[name]
    if any(not _grows(work, source) for source in view.upstream) or len(view.inputs) != 1:
        return False
    if not _rows_apart(work, view, next(iter(view.inputs))):
        return False
    for reader in work.pipeline.nodes.values():
        if name in reader.upstream and work.plan.steps[reader.name].action != "skip":
            base = work.base(reader.name) if isinstance(reader, Table) else None
            if not isinstance(reader, Table) or base is None or not stands(work, reader, base):
                return False
            if not _keeps_what_it_has(reader) or not _rows_apart(work, reader, _parameter(reader, name)):
                return False
    return True


def source_news(work: Work, node: Node) -> Scope:
    """Return the scope of a view over just the slices that this run adds to its source."""
    (name,) = node.upstream
    dataset = work.dataset(name)
    manifest = work.warehouse.manifests(work.handle.id, [dataset])[dataset]
    delta = Delta(manifest.added, only_new=True, schema=manifest.schema)
    return Scope("new", {name: delta}, tuple(node.inputs))


def affected_keys(work: Work, table: Table, scope: Scope, session: Session) -> Frame:
    """Return the keys of all rows, old and new, that the deltas touch or a period holds, each once."""
    if scope.mode == "period":
        return _keys_of_period(work, table, session)
    frames, kinds = [], []
    for n, delta in enumerate(scope.deltas.values()):
        columns = Schema(tuple(delta.schema[name] for name in table.key))
        frames.append(work.scan(session, delta.files, columns, f"delta_{n}"))
        kinds.append([column.type for column in columns])
    if any(kind != kinds[0] for kind in kinds):
        # The keys of several inputs are put together in types that hold them all.
        wide = Schema.of((name, _WIDER.get(kind, kind)) for name, kind in zip(table.key, kinds[0], strict=True))
        frames = [session.cast(frame, wide) for frame in frames]
    every = nw.concat(frames) if len(frames) > 1 else frames[0]
    return session.hold(every.group_by(*table.key).agg(_assay_n=nw.len()).select(*table.key))


def _keys_of_period(work: Work, table: Table, session: Session) -> Frame:
    period = work.plan.periods[table.name]
    base = work.base(table.name)
    found = [would_be(work, table.inputs[parameter]) for parameter in period.inputs]
    places = [(data.files, data.schema) for data in found if data is not None]
    places += [(base.files, base.schema)] if base is not None else []
    frames = [
        work.scan(session, files, Schema((schema[period.column],)), f"period_{n}")
        for n, (files, schema) in enumerate(places)
    ]
    frames = [frame.filter(period.holds) for frame in frames]
    return session.hold(nw.concat(frames).group_by(period.column).agg(_assay_n=nw.len()).select(period.column))


def serves(work: Work, table: Table, keys: Frame, session: Session) -> bool:
    """Return whether a table can be computed by these keys: few enough, and none of them null, which no join finds."""
    base = work.base(table.name)
    unknown = nw.any_horizontal(*(nw.col(name).is_null() for name in table.key), ignore_nulls=True)
    counts = keys.select(nw.len().alias("keys"), unknown.cast(nw.Int64()).sum().alias("unknown"))
    ((count, without),) = session.fetch(counts)
    return base is not None and not without and count <= _LARGEST_SHARE * max(base.rows, 1)


def _new_rows(work: Work, table: Table, deltas: Mapping[str, Delta]) -> Scope | None:
    """A table that treats every row by itself, and loses none it has, needs just the new ones."""
    if len(deltas) != 1 or not _keeps_what_it_has(table):
        return None
    ((name, delta),) = deltas.items()
    parameter = _parameter(table, name)
    if not delta.only_new or name not in counted_inputs(table.rows, table.upstream):
        return None
    if list(table.inputs.values()).count(name) != 1 or not _rows_apart(work, table, parameter):
        return None
    if len(counted_inputs(table.rows, table.upstream)) != 1:
        return None
    return Scope("new", deltas, (parameter,))


def _affected_keys(work: Work, table: Table, deltas: Mapping[str, Delta]) -> Scope | None:
    """A table that treats the rows of each key by themselves needs all rows of the keys that are touched."""
    if not table.key or isinstance(table.write, Append):
        return None
    anchored = tuple(
        parameter
        for parameter, name in table.inputs.items()
        if _has_key(work, table, work.traced[name].seen) and name not in work.pipeline.views
    )
    names = {table.inputs[parameter] for parameter in anchored}
    if not set(deltas) <= names or not set(counted_inputs(table.rows, table.upstream)) <= names:
        return None
    if not _is_local(work, table, dict.fromkeys(anchored, table.key)):
        return None
    return Scope("keys", deltas, anchored, table.key)


def _has_key(work: Work, table: Table, seen: Schema) -> bool:
    """Return whether an input has the table's key, in types in which each of its keys is no more than one of those."""
    own = work.traced[table.name].schema
    kinds = [(seen[name].type, own[name].type) for name in table.key if name in seen]
    return len(kinds) == len(table.key) and all(_WIDER.get(a, a) == _WIDER.get(b, b) for a, b in kinds)


def _keeps_what_it_has(table: Table) -> bool:
    """Return whether rows that are new to a table can never replace one it has."""
    return table.keep is None or isinstance(table.keep, FirstInSource)


def _rows_apart(work: Work, node: Node, parameter: str) -> bool:
    return _is_local(work, node, {parameter: ()})


def _is_local(work: Work, node: Node, anchors: Mapping[str, Sequence[str]]) -> bool:
    from assay.runtime.tracing.locality import is_local

    seen = {parameter: work.traced[name].seen for parameter, name in node.inputs.items()}
    schemas = {parameter: {c.name: _WIDER.get(c.type, c.type) for c in columns} for parameter, columns in seen.items()}
    return is_local(work.traced[node.name].judged, schemas, anchors)


def _delta(work: Work, name: str, base: Version) -> Delta | None:
    """Return how an input differs from the version a table was made of; None where that cannot be told."""
    if name in work.pipeline.views:
        return _view_delta(work, name, base)
    dataset = work.dataset(name)
    planned = work.plan.state.versions.get(dataset)
    if planned is None or base.inputs.get(dataset) != planned.id:
        return None
    manifest = work.warehouse.manifests(work.handle.id, [dataset]).get(dataset)
    if manifest is None or not manifest.changed:
        return _STANDS
    return _staged_delta(manifest, planned, is_source=name in work.pipeline.sources)


def _staged_delta(manifest: Manifest, planned: Version, *, is_source: bool) -> Delta | None:
    if manifest.schema.names != planned.schema.names:
        return None
    if not manifest.removed:
        return Delta(manifest.added, only_new=True, schema=manifest.schema)
    if is_source and not manifest.delta:
        # A slice has files of its own: all of its rows may have changed.
        left = tuple(file for file in planned.files if file.path in set(manifest.removed))
        return Delta((*left, *manifest.added), only_new=False, schema=manifest.schema)
    return Delta(manifest.delta, only_new=False, schema=manifest.schema) if manifest.delta else None


def _view_delta(work: Work, name: str, base: Version) -> Delta | None:
    planned = work.plan.state.versions
    for leaf in leaves(work.pipeline, name):
        dataset = work.dataset(leaf)
        if dataset not in planned or base.inputs.get(dataset) != planned[dataset].id:
            return None
    news = dataset_of_news(name)
    manifest = work.warehouse.manifests(work.handle.id, [news]).get(news)
    if manifest is not None:
        return Delta(manifest.added, only_new=True, schema=manifest.schema)
    staged = work.warehouse.manifests(work.handle.id, [work.dataset(leaf) for leaf in leaves(work.pipeline, name)])
    return None if any(m.changed for m in staged.values()) else _STANDS


def _grows(work: Work, source: str) -> bool:
    """Return whether this run only adds slices to a source, behind those it has."""
    if source not in work.plan.sources or work.base(source) is None:
        return False
    plan = work.plan.sources[source]
    known = {part.name for part in work.plan.state.slices.get(work.dataset(source), ())}
    return bool(plan.to_read) and not plan.gone and not plan.to_read & known


def _parameter(node: Node, name: str) -> str:
    return next(parameter for parameter, upstream in node.inputs.items() if upstream == name)
