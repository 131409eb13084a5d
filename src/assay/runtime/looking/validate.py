"""Judging what is published by what is declared: schemas, tables, row flow, quality, metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import narwhals as nw

from assay.model.check import Check, CrossCheck, OwnCheck, Reconciles, References, RowCheck
from assay.model.data import Version, dataset_of_rejects
from assay.model.ledger import Ledger
from assay.model.ports import Frame
from assay.model.rows import Lookup, Same, counted_inputs
from assay.model.table import Table
from assay.model.validation import Finding, finding
from assay.quality.checks import columns_of, count_orphans, count_own, not_null, unique
from assay.runtime.computing import account
from assay.runtime.looking.functions import Functions
from assay.runtime.planning.plan import leaves

FILES = "has every file that it refers to"


@dataclass(frozen=True, slots=True)
class Validator:
    """What looks at one published state of a pipeline."""

    functions: Functions
    ledgers: Mapping[str, Ledger]
    """By table, as the run recorded it that last computed it."""

    def findings(self) -> Iterator[Finding]:
        """Yield all that can be told without the pipeline's rules, part by part."""
        missing = self.functions.warehouse.missing()
        # What is in files that are gone cannot be judged.
        looks = (self._schema, self._table) if missing else (self._schema, self._table, self._flow, self._quality)
        for look in looks:
            for table in self.functions.pipeline.tables.values():
                yield from look(table, self._version(table.name))
        yield from self._metadata(missing)

    def _schema(self, table: Table, version: Version | None) -> Iterator[Finding]:
        if version is None:
            return
        declared = {c.name: c.type for c in self.functions.traced[table.name].stored}
        found = {c.name: c.type for c in version.schema}
        wrong = [f"{n} is {found.get(n, 'not there')}" for n, kind in declared.items() if found.get(n) != kind]
        wrong += [f"{name} is not declared" for name in found if name not in declared]
        yield finding("schemas", table.name, "has the columns that its function returns", "; ".join(wrong))

    def _table(self, table: Table, version: Version | None) -> Iterator[Finding]:
        yield finding("tables", table.name, "is published", "" if version else "it is not")
        if version is None:
            return
        pipeline = self.functions.pipeline
        owner = self.functions.state.owners.get(version.dataset)
        foreign = "" if owner == pipeline.name else f"it is written by {owner}"
        yield finding("tables", table.name, "belongs to this pipeline", foreign)
        yield finding("tables", table.name, "has rows", "" if version.rows else "it has none", warns=True)

    def _flow(self, table: Table, version: Version | None) -> Iterator[Finding]:
        if version is None:
            return
        ledger = self.ledgers.get(table.name)
        wrong = "; ".join(ledger.imbalances(table.rows)) if ledger else "no run has recorded it"
        yield finding("row flow", table.name, "has a ledger that balances", wrong)
        rows = account.scalar(self.functions.session, self._open(version).select(nw.len()))
        recorded = "" if rows == version.rows else f"{rows:,} rows are there, {version.rows:,} were recorded"
        yield finding("row flow", table.name, "has the rows that were recorded", recorded)
        counted = counted_inputs(table.rows, table.upstream)
        whole = isinstance(table.rows, Same | Lookup) and not (ledger and ledger.filtered_rows)
        if whole and not set(counted) & set(self.functions.pipeline.views):
            yield self._conserved(table, rows, counted)

    def _conserved(self, table: Table, rows: int, counted: Sequence[str]) -> Finding:
        """Judge that each row that was read is there or refused; of several with one key, that no more than one is."""
        read = sum(version.rows for name in counted if (version := self._version(name)) is not None)
        rejects = dataset_of_rejects(self.functions.pipeline.dataset_of(table.name))
        version = self.functions.state.versions.get(rejects)
        refused = version.rows if version is not None else 0
        fits = rows + refused == read if table.keep is None else rows + refused <= read
        what = "has or has refused every row that it read" + (", one of each key" if table.keep else "")
        wrong = "" if fits else f"{read:,} read, {rows:,} there, {refused:,} refused"
        return finding("row flow", table.name, what, wrong)

    def _quality(self, table: Table, version: Version | None) -> Iterator[Finding]:
        if version is None:
            return
        frame, judged, known = self._open(version), _judged(table), set(version.schema.names)
        rows = [check for check in judged if isinstance(check, RowCheck) and set(check.columns) <= known]
        verdicts = account.judge_rows(self.functions.session, frame, rows).verdicts if rows else ()
        # By place: two checks may have one name.
        broken = iter(verdict.broken for verdict in verdicts)
        for check in judged:
            if not set(columns_of(check)) <= known:
                yield finding("quality", table.name, check.name, "its columns are not there")
                continue
            number = next(broken) if isinstance(check, RowCheck) else self._counted(table, frame, check)
            wrong = f"broken by {number:,} {'case' if number == 1 else 'cases'}" if number else ""
            yield finding("quality", table.name, check.name, wrong, warns=check.action == "warn")

    def _counted(self, table: Table, frame: Frame, check: OwnCheck | CrossCheck) -> int:
        session = self.functions.session
        if not isinstance(check, References | Reconciles):
            return account.scalar(session, count_own(frame, check, self.functions.as_of(table)))
        version = self._version(check.other)
        if version is None or (check.other_column is not None and check.other_column not in version.schema):
            return 1
        other = self._open(version)
        if isinstance(check, References):
            return account.scalar(session, count_orphans(frame, check, other))
        return int(not account.reconciled(session, check, frame, other).agrees)

    def _metadata(self, missing: Sequence[str]) -> Iterator[Finding]:
        pipeline, state, traced = self.functions.pipeline, self.functions.state, self.functions.traced
        about = partial(finding, "metadata", pipeline.name)
        published = {name: version for name in pipeline.tables if (version := self._version(name)) is not None}
        changed = [name for name, version in published.items() if version.fingerprint != traced[name].fingerprint]
        yield about("has tables that its functions, as they are now, have computed", ", ".join(changed))
        behind = [name for name, version in published.items() if self._is_behind(name, version)]
        yield about("has tables that are made of what stands now", ", ".join(behind))
        newest = self.functions.warehouse.newest(pipeline.name)
        ended = newest.state if newest is not None else "not there"
        fits = ended in ("published", "unchanged", "undone")
        yield about("has a newest run that was published", "" if fits else f"it is {ended}")
        yield about(FILES, ", ".join(missing))
        for name in pipeline.sources:
            version = self._version(name)
            if version is not None:
                rows = sum(part.rows for part in state.slices.get(version.dataset, ()))
                wrong = "" if rows == version.rows else f"{rows:,} rows delivered, {version.rows:,} stored"
                yield finding("metadata", name, "has the rows of its deliveries", wrong)

    def _is_behind(self, name: str, version: Version) -> bool:
        reads = [self._version(read) for read in leaves(self.functions.pipeline, name)]
        return any(now is None or version.inputs.get(now.dataset) != now.id for now in reads)

    def _version(self, name: str) -> Version | None:
        return self.functions.state.versions.get(self.functions.pipeline.dataset_of(name))

    def _open(self, version: Version) -> Frame:
        return self.functions.scan(version, version.schema, version.dataset)


def _judged(table: Table) -> list[Check]:
    """Return the checks that what is stored can be judged by, and those that its key implies beside them."""
    implied: list[Check] = [unique(*table.identity)] if table.identity else []
    implied += [not_null(*table.key)] if table.key else []
    own = [check for check in table.checks if not (isinstance(check, RowCheck) and check.flag)]
    said = {check.name for check in own}
    return [*(check for check in implied if check.name not in said), *own]
