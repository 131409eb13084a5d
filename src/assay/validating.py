"""Validating a pipeline: what is published is judged by what is declared, and by the pipeline's own rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from assay import assembly, platform, queries
from assay.assembly import Location
from assay.model.errors import UsageError
from assay.model.ledger import Ledger
from assay.model.pipeline import Pipeline
from assay.model.validation import Finding, Validation, finding
from assay.runtime.functions import Functions
from assay.runtime.trace import trace
from assay.runtime.validate import FILES, Validator

__all__ = ["Finding", "Validation", "validate"]

_PLAIN = ("returned", "rejected", "deduplicated", "written")
_SHOWN = 3
"""Of the rows that break a rule."""


def validate(pipeline: Pipeline | str, *, warehouse: Location | None = None) -> Validation:
    """Judge what a pipeline has published: schemas, tables, row flow, quality, its rules, metadata. Changes nothing.

    Every check is judged again, over all rows as they stand. Raises WarehouseError where there is no warehouse.
    """
    found = platform.find(pipeline)
    told = list(_declared(found, warehouse))
    whole = all(each.what != FILES or each.state == "holds" for each in told)
    rules = list(_rules(found, warehouse)) if whole else []
    own = [each for each in told if each.part != "metadata"]
    return Validation(found.name, (*own, *rules, *(each for each in told if each.part == "metadata")))


def _declared(pipeline: Pipeline, warehouse: Location | None) -> Iterator[Finding]:
    """Judge by what the pipeline declares, all but its rules."""
    # A warehouse that is not there is an error here; a run would make it.
    stored = platform.stored(warehouse)
    with platform.embedded(assembly.current_settings(), {"warehouse": warehouse}) as opened:
        traced, state = trace(pipeline, opened.engine), stored.state()
        with opened.engine.session() as session:
            functions = Functions(pipeline, traced, state, stored, session)
            yield from Validator(functions, _ledgers(pipeline, warehouse)).findings()


def _rules(pipeline: Pipeline, warehouse: Location | None) -> Iterator[Finding]:
    for rule in pipeline.rules:
        try:
            _, rows = queries.query(f"select * from ({rule.query}) limit {_SHOWN + 1}", warehouse)
        except UsageError as error:
            yield finding("rules", pipeline.name, rule.name, f"it cannot be judged: {str(error).splitlines()[0]}")
            continue
        shown = "; ".join(", ".join(map(str, row)) for row in rows[:_SHOWN]) + ("; ..." if len(rows) > _SHOWN else "")
        yield finding("rules", pipeline.name, rule.name, shown and f"not for {shown}", warns=rule.warns)


def _ledgers(pipeline: Pipeline, warehouse: Location | None) -> dict[str, Ledger]:
    """Return the ledger of each table, from the newest published run that has computed it."""
    connection = platform.connect(warehouse)
    with closing(connection):
        lines = connection.execute(
            "select node, line, name, row_count from meta.ledger l join meta.run r on r.id = l.run "
            "where r.pipeline = ? and r.seq is not null "
            "qualify r.seq = max(r.seq) over (partition by node)",
            [pipeline.name],
        ).fetchall()
    found = {}
    for table in pipeline.tables:
        mine = [(line, name, count) for node, line, name, count in lines if node == table]
        named = {kind: {name: count for line, name, count in mine if line == kind} for kind in ("read", "filtered")}
        plain = {line: count for line, _, count in mine if line in _PLAIN}
        if mine:
            found[table] = Ledger(read=named["read"], filtered=named["filtered"], **plain)
    return found
