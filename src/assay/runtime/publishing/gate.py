"""The gate before publishing: every ledger balances, no check blocks, nothing failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from assay.model import graph
from assay.model.check import CrossCheck, Reconciles, References, Verdict
from assay.model.past import PastRun, RecordedRun
from assay.model.pipeline import Pipeline, made_of
from assay.model.ports import Frame, Session
from assay.model.rows import Free
from assay.model.run import NodeRun
from assay.model.table import Table
from assay.quality.checks import count_orphans
from assay.runtime.computing.account import reconciled, scalar
from assay.runtime.computing.narrow import stands
from assay.runtime.work import Work, is_behind, would_be
from assay.settings import Settings

_LookUp = Callable[[int], tuple[PastRun, RecordedRun] | None]


def judge(work: Work, nodes: Mapping[str, NodeRun]) -> tuple[dict[str, NodeRun], tuple[str, ...]]:
    """Return the nodes with the verdicts of checks between tables, and why the run cannot be published, if so."""
    # In the order of the plan, not in that in which they happened to end.
    judged = {name: nodes[name] for name in work.plan.steps if name in nodes}
    problems = [problem for node in judged.values() for problem in faults(work.pipeline, work.settings, node)]
    if not any(node.status in ("failed", "blocked") for node in nodes.values()):
        # Many checks ask for the same run.
        look_up = cache(work.warehouse.look_up)
        with work.engine.session() as session:
            for table in work.pipeline.tables.values():
                judged[table.name] = _judge_cross_checks(work, table, session, nodes, look_up)
        problems += [
            f"{node.name}: check {v.check} is broken by {v.broken:,} {'row' if v.broken == 1 else 'rows'}"
            + (f" ({v.detail})" if v.detail else "")
            for node in judged.values()
            for v in node.verdicts
            if stops(v, work.settings)
        ]
    return judged, tuple(problems)


def stops(verdict: Verdict, settings: Settings) -> bool:
    """Return whether a verdict stops the publish: by its own action, or because the settings allow no warnings."""
    return verdict.blocks or (settings.warnings == "block" and not verdict.passed and verdict.action == "warn")


def faults(pipeline: Pipeline, settings: Settings, node: NodeRun) -> list[str]:
    """Return what is wrong with one node by its own record; of blocked nodes only their causes are told."""
    if node.status == "failed":
        tries = "" if node.attempts == 1 else f" after {node.attempts} attempts"
        return [f"{node.name} failed{tries}: {node.error}"]
    if node.status not in ("written", "unchanged", "computed") or node.attempts == 0:
        return []
    ledger = node.ledger
    faults = imbalances(pipeline, node)
    # A file that is all bad is bad, however much was delivered before it. Of a table computed in part the rows that
    # stand count too: it is judged as a full run would.
    rows = ledger.returned if node.name in pipeline.files else max(ledger.returned, (node.rows or 0) + ledger.rejected)
    share = ledger.rejected / rows if rows else 0.0
    own = pipeline.rejected_share
    allowed, where = (settings.rejected_share, "setting") if own is None else (own, "the pipeline's")
    if share > allowed:
        faults.append(
            f"{node.name}: {ledger.rejected:,} of {rows:,} rows ({share:.1%}) were rejected, more than "
            f"{allowed:.1%} ({where} rejected_share)"
        )
    return faults


def imbalances(pipeline: Pipeline, node: NodeRun) -> list[str]:
    """Return what does not balance in a node's ledger, a sentence each; one that was not computed has none."""
    ledger = node.ledger
    if not node.attempts or not (ledger.read or ledger.returned):
        return []
    declared = pipeline.nodes.get(node.name)
    grain = declared.rows if declared is not None else Free("a file has lines, not rows, and a model is dbt's")
    return [f"{node.name}: {sentence}" for sentence in ledger.imbalances(grain)]


def _judge_cross_checks(
    work: Work, table: Table, session: Session, nodes: Mapping[str, NodeRun], look_up: _LookUp
) -> NodeRun:
    """Judge a table's checks against other tables, where either side has new content or the table was computed.

    A table that was left out and is behind is judged by the run that computes it: layers may be run one by one. Or by
    that which finds what it is made of unchanged, so that nobody has to.
    """
    node = nodes[table.name]
    left_out = node.status == "skipped"
    if left_out and is_behind(work, table.name):
        return node
    behind = graph.upstream(made_of(work.pipeline), [table.name]) if left_out else {table.name}
    computed = any(nodes[name].status == "unchanged" and nodes[name].attempts for name in behind & nodes.keys())
    verdicts = [
        _verdict(work, table, check, session, nodes, look_up)
        for check in table.checks
        if isinstance(check, References | Reconciles)
        and ("written" in (node.status, nodes[check.other].status) or computed)
    ]
    return replace(node, verdicts=(*node.verdicts, *verdicts))


def _verdict(
    work: Work,
    table: Table,
    check: CrossCheck,
    session: Session,
    nodes: Mapping[str, NodeRun],
    look_up: _LookUp,
) -> Verdict:
    mine, other = _open(work, table.name, session), _open(work, check.other, session)
    if isinstance(check, References):
        gained = _gained(work, table, check, session, nodes, look_up)
        mine = mine if gained is None else gained
        return Verdict(check.name, check.action, scalar(session, count_orphans(mine, check, other)))
    if (period := work.plan.periods.get(table.name)) is not None:
        # What is rebuilt for a period is judged by it: the rest of the table may wait for a run of its own.
        mine, other = period.within(mine, other)
    found = reconciled(session, check, mine, other)
    if found.agrees:
        return Verdict(check.name, check.action, 0, f"{found.came_out}")
    return Verdict(check.name, check.action, 1, f"{found.came_out} here, {found.went_in} there")


def _gained(
    work: Work,
    table: Table,
    check: References,
    session: Session,
    nodes: Mapping[str, NodeRun],
    look_up: _LookUp,
) -> Frame | None:
    """Return just the rows that a table gains, where those it has surely refer to rows that are still there."""
    base = work.base(table.name)
    if check.action != "block" or base is None or not stands(work, table, base) or table.name in work.plan.periods:
        return None
    here, there = work.dataset(table.name), work.dataset(check.other)
    staged = {n: m for n, m in work.warehouse.manifests(work.handle.id, [here, there]).items() if m.changed}
    # Files of the other may have been written anew for some of their rows; that none is gone is told by its ledger.
    stay = check.other_column in work.pipeline.tables[check.other].key and not nodes[check.other].ledger.deleted
    if (here in staged and staged[here].removed) or (there in staged and staged[there].removed and not stay):
        return None
    if not _stood(work, table, check, look_up):
        return None
    added = staged[here].added if here in staged else ()
    return work.scan(session, added, base.schema, table.name)


def _stood(work: Work, table: Table, check: References, look_up: _LookUp) -> bool:
    """Return whether a check was judged, and kept, by the run that last changed one of its sides.

    It was not where that run left out the table and it was behind, nor where it was an undo; and what a run that is
    beyond the retention found is forgotten.
    """
    sides = [work.base(table.name), work.base(check.other)]
    found = look_up(max(side.id for side in sides if side is not None)) if None not in sides else None
    verdicts = found[1].nodes.get(table.name, {}).get("checks", ()) if found is not None else ()
    kept = {"check": check.name, "action": check.action, "broken": 0}
    return any(kept.items() <= dict(verdict).items() for verdict in verdicts)


def _open(work: Work, name: str, session: Session) -> Frame:
    found = would_be(work, name)
    if found is None:
        # A table that was never published and is not selected now has no rows to judge by.
        return work.scan(session, (), work.traced[name].stored, name)
    return work.scan(session, found.files, found.schema, name)
