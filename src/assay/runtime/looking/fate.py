"""Following a delivered row through a pipeline: which tables hold it, and why others do not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from narwhals import Expr

from assay.model.data import Version
from assay.model.fate import Kind, Place, Rejected, Step
from assay.model.files import Csv
from assay.model.pipeline import Pipeline
from assay.model.ports import Frame, Session, Warehouse
from assay.model.published import Life, State
from assay.model.rows import Groups
from assay.model.schema import Schema
from assay.model.source import PART_BIT, POSITION, SLICE_BIT, SOURCE_FILE, Slice, Source
from assay.model.table import Node, Table
from assay.runtime.looking.functions import Evaluated, Functions
from assay.runtime.looking.sought import Sought, at
from assay.sources import lines

_PARTS = ((1 << (SLICE_BIT - PART_BIT)) - 1) << PART_BIT


@dataclass(slots=True)
class Follower:
    """What follows rows through one pipeline, as it is published."""

    functions: Functions
    sought: Sought
    rejected: Sequence[Rejected]

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that is followed."""
        return self.functions.pipeline

    @property
    def state(self) -> State:
        """What is published."""
        return self.functions.state

    @property
    def session(self) -> Session:
        """What evaluates."""
        return self.functions.session

    def steps(self, source: str, position: int) -> tuple[Step, ...]:
        """Return what became of the row at a position of a source, node by node."""
        reached = {source}
        found = []
        for node in self.pipeline.nodes.values():
            if not reached & set(node.upstream):
                step = Step(node.name, "unseen")
            elif isinstance(node, Table):
                step = self._in_table(node, position, reached)
            else:
                step = self._in_view(node, position)
            if step.kind in ("holds", "grouped", "unknown"):
                reached.add(node.name)
            found.append(step)
        return tuple(found)

    def place(self, source: str, position: int) -> Place:
        """Return where the row at a position stands."""
        slices = self.state.slices.get(self.pipeline.dataset_of(source), ())
        return place_of(source, slices, position, self.pipeline.sources[source])

    def _in_table(self, table: Table, position: int, reached: set[str]) -> Step:
        version = self.state.versions.get(self.pipeline.dataset_of(table.name))
        if version is None:
            return Step(table.name, "unknown", reasons=("it has never been published",))
        stored = self.functions.scan(version, version.schema, table.name)
        match = self._match(stored, position)
        grouped = isinstance(table.rows, Groups)
        if match is not None and not (grouped and POSITION not in version.schema):
            if self.session.fetch(stored.filter(match).head(1)):
                return self._held(table, match)
            found = (row for row in self.rejected if row.node == table.name and row.position & ~_PARTS == position)
            if why := next(found, None):
                return Step(table.name, "rejected", since=why.run, reasons=why.reasons)
        if version.fingerprint != self.functions.traced[table.name].fingerprint:
            return Step(table.name, "unknown", reasons=("its function has changed since it was published",))
        return self._by_its_function(table, version, stored, position, reached) or self._past(table, match)

    def _held(self, table: Table, match: Expr) -> Step:
        since, _ = span(self.session, self.functions.warehouse, self.pipeline.dataset_of(table.name), match)
        return Step(table.name, "holds", since=since)

    def _past(self, table: Table, match: Expr | None) -> Step:
        if match is None:
            return Step(table.name, "unknown", reasons=("it has neither the row's position nor these columns",))
        since, until = span(self.session, self.functions.warehouse, self.pipeline.dataset_of(table.name), match)
        if since is not None:
            return Step(table.name, "gone", since=since, until=until)
        return Step(table.name, "unseen", reasons=("its function does not return it",))

    def _in_view(self, view: Node, position: int) -> Step:
        evaluated = self.functions.of(view)
        if evaluated is None:
            return Step(view.name, "unknown")
        if reason := self._dropped(evaluated, position):
            return Step(view.name, "filtered", reasons=(reason,))
        match = self._match(evaluated.frame, position)
        there = match is None or self.session.fetch(evaluated.frame.filter(match).head(1))
        return Step(view.name, "holds" if there else "unseen")

    def _by_its_function(
        self, table: Table, version: Version, stored: Frame, position: int, reached: set[str]
    ) -> Step | None:
        """Return what the function does with the row: drop it, return another of its key, or group it."""
        evaluated = self.functions.of(table)
        if evaluated is None:
            return Step(table.name, "unknown", reasons=("what it reads was published with other columns",))
        if reason := self._dropped(evaluated, position):
            return Step(table.name, "filtered", reasons=(reason,))
        match = self._match(evaluated.frame, position)
        if match is not None and table.key and POSITION in evaluated.frame.collect_schema().names():
            mine = evaluated.frame.filter(match)
            if self.session.fetch(mine.head(1)):
                return self._deduplicated(table, stored, mine)
        return self._through_key(table, version, stored, evaluated, position, reached)

    def _deduplicated(self, table: Table, stored: Frame, mine: Frame) -> Step:
        keys = mine.select(*table.key)
        stands = stored.join(keys, on=list(table.key), how="semi")
        known = self.session.fetch(stands.select(POSITION, *table.key).head(1))
        if not known:
            return Step(table.name, "unknown", reasons=("no row of its key is there",))
        (place, *values) = known[0]
        source = self._source_of(stands)
        instead = self.place(source, place & ~_PARTS) if source else None
        return Step(table.name, "deduplicated", instead=instead, key=dict(zip(table.key, values, strict=True)))

    def _through_key(
        self, table: Table, version: Version, stored: Frame, evaluated: Evaluated, position: int, reached: set[str]
    ) -> Step | None:
        """Return the row that a row counts in, by the key that both have."""
        key = list(version.key)
        for name in table.upstream:
            frame = evaluated.opened[name]
            columns = frame.collect_schema().names()
            match = self._match(frame, position) if name in reached else None
            if match is None or not key or not set(key) <= set(columns):
                continue
            into = stored.join(frame.filter(match).select(*key), on=key, how="semi").select(*key)
            if found := self.session.fetch(into.head(1)):
                kind: Kind = "grouped" if isinstance(table.rows, Groups) else "holds"
                return Step(table.name, kind, key=dict(zip(key, found[0], strict=True)))
        if isinstance(table.rows, Groups):
            return Step(table.name, "unknown", reasons=("it is grouped by what is computed there",))
        return None

    def _dropped(self, evaluated: Evaluated, position: int) -> str | None:
        for drop in evaluated.dropped:
            match = self._match(drop.before, position)
            if match is not None and self.session.fetch(drop.before.filter(drop.gone & match).head(1)):
                return drop.reason
        return None

    def _match(self, frame: Frame, position: int) -> Expr | None:
        known = POSITION in frame.collect_schema().names()
        return at(position) if known else self.sought.matches(frame, self.session)

    def _source_of(self, stands: Frame) -> str | None:
        """Return the source that the rows of a table come from: the only one, or the one with its file."""
        is_told = SOURCE_FILE in stands.collect_schema().names()
        known = self.session.fetch(stands.select(SOURCE_FILE).head(1)) if is_told else []
        for source in self.pipeline.sources:
            names = {part.name for part in self.state.slices.get(self.pipeline.dataset_of(source), ())}
            if len(self.pipeline.sources) == 1 or (known and known[0][0] in names):
                return source
        return None


def span(session: Session, warehouse: Warehouse, dataset: str, match: Expr) -> tuple[int | None, int | None]:
    """Return the run since which rows are in a dataset without a break, and the run that took them away, if so."""
    found: list[Life] = []
    by_schema: dict[Schema, list[Life]] = {}
    for life in warehouse.lives(dataset):
        by_schema.setdefault(life.schema, []).append(life)
    for schema, lives in by_schema.items():
        if POSITION not in schema:
            continue
        files = list({life.file.path: life.file for life in lives}.values())
        root = warehouse.local(files)
        rows = session.scan(root, files, schema, "lives").filter(match).select(POSITION)
        paths = set(session.files_with(root, files, schema, rows, (POSITION,)))
        found += [life for life in lives if life.file.path in paths]
    return _unbroken(sorted(found, key=lambda life: life.since))


def _unbroken(lives: Sequence[Life]) -> tuple[int | None, int | None]:
    since = until = None
    for life in lives:
        if since is None or (until is not None and life.since > until):
            since, until = life.since, life.until
        elif until is not None:
            until = None if life.until is None else max(until, life.until)
    return since, until


def place_of(source: str, slices: Sequence[Slice], position: int, declared: Source | None) -> Place:
    """Return where the row at a position stands; its line is told also by the file itself, where it is there."""
    number, row = position >> SLICE_BIT, position % (1 << PART_BIT)
    part = next((each for each in slices if each.number == number), None)
    if part is None:
        return Place(source, "", row, None)
    if part.mends is not None:
        line = part.mended_lines[row - 1] if row <= len(part.mended_lines) else None
        return Place(source, part.name, row, line, part.mends)
    if part.starts:
        first, line = part.starts[bisect_right(part.starts, (row, 1 << 62)) - 1]
        return Place(source, part.name, row, line + row - first)
    return Place(source, part.name, row, lines.line_of(declared, part, row) if isinstance(declared, Csv) else None)
