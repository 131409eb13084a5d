"""Validating a pipeline: what is published is judged by what is declared, and by the pipeline's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

from duckdb import DuckDBPyConnection

from assay import assembly, platform, queries
from assay.assembly import Location
from assay.engines.duckdb.reader import open_reader
from assay.model.errors import UsageError
from assay.model.ledger import Ledger
from assay.model.pipeline import Pipeline
from assay.model.ports import Warehouse
from assay.model.published import State
from assay.model.validation import Finding, Validation, finding
from assay.runtime.looking.functions import Functions
from assay.runtime.looking.validate import FILES, Validator
from assay.runtime.tracing.trace import trace

__all__ = ["Finding", "Validation", "validate"]

_PLAIN = ("returned", "rejected", "deduplicated", "written")
_SHOWN = 3
"""Of the rows that break a rule."""


def validate(pipeline: Pipeline | str, *, warehouse: Location | None = None) -> Validation:
    """Judge what a pipeline has published: schemas, tables, row flow, quality, its rules, metadata. Changes nothing.

    Every check is judged again, over all rows as they stood when it began: what is published meanwhile is not seen.
    Raises WarehouseError where there is no warehouse.
    """
    found = platform.find(pipeline)
    # A warehouse that is not there is an error here; a run would make it.
    stored = platform.stored(warehouse)
    opened = stored.open()
    # The state is closed when the connection is no more.
    connection = open_reader(opened, stored.control_rows())
    told = list(_declared(found, stored, opened.state, _ledgers(found, connection, opened.state.seq)))
    whole = all(each.what != FILES or each.state == "holds" for each in told)
    rules = list(_rules(found, connection)) if whole else []
    own = [each for each in told if each.part != "metadata"]
    return Validation(found.name, (*own, *rules, *(each for each in told if each.part == "metadata")))


def _declared(pipeline: Pipeline, stored: Warehouse, state: State, ledgers: Mapping[str, Ledger]) -> Iterator[Finding]:
    """Judge by what the pipeline declares, all but its rules."""
    with closing(assembly.engine(assembly.current_settings(), None)) as engine, engine.session() as session:
        functions = Functions(pipeline, trace(pipeline, engine), state, stored, session)
        yield from Validator(functions, ledgers).findings()


def _rules(pipeline: Pipeline, connection: DuckDBPyConnection) -> Iterator[Finding]:
    for rule in pipeline.rules:
        try:
            _, coming = queries.ask_there(connection, f"select * from ({rule.query}) limit {_SHOWN + 1}")
            rows = list(coming)
        except UsageError as error:
            yield finding("rules", pipeline.name, rule.name, f"it cannot be judged: {str(error).splitlines()[0]}")
            continue
        shown = "; ".join(", ".join(map(str, row)) for row in rows[:_SHOWN]) + ("; ..." if len(rows) > _SHOWN else "")
        yield finding("rules", pipeline.name, rule.name, shown and f"not for {shown}", warns=rule.warns)


def _ledgers(pipeline: Pipeline, connection: DuckDBPyConnection, seq: int) -> dict[str, Ledger]:
    """Return the ledger of each table, from the newest run that has computed it among those published until then."""
    lines = connection.execute(
        "select node, line, name, row_count from meta.ledger l join meta.run r on r.id = l.run "
        "where r.pipeline = ? and r.seq <= ? qualify r.seq = max(r.seq) over (partition by node)",
        [pipeline.name, seq],
    ).fetchall()
    found = {}
    for table in pipeline.tables:
        mine = [(line, name, count) for node, line, name, count in lines if node == table]
        named = {kind: {name: count for line, name, count in mine if line == kind} for kind in ("read", "filtered")}
        plain = {line: count for line, _, count in mine if line in _PLAIN}
        if mine:
            found[table] = Ledger(read=named["read"], filtered=named["filtered"], **plain)
    return found
