"""The proof: the same rows in every order, in batches, by any number of workers, again and in full."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Session
from assay.model.run import RunOptions, RunResult
from assay.proof.grounds import Grounds
from assay.proof.proving.content import Contents, Published
from assay.proof.proving.evidence import Finding
from assay.proof.proving.frozen import Inbox, Rows
from assay.proof.proving.order import by_position
from assay.proof.proving.trials import AS_SET, Asked, How, Then, Trial, trials

_LAKE = "lake"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a proof works with."""

    run: Callable[[Pipeline, RunOptions, Path, How], RunResult]
    """Runs a pipeline on the warehouse of a path."""
    published: Callable[[Path], Published]
    """What stands in the warehouse of a path."""
    folder: Path
    """Where scratch warehouses are made."""
    grounds: Grounds
    """What makes them."""
    keep: bool = False
    """Whether they stay."""


@dataclass(frozen=True, slots=True)
class Prover:
    """Tries everything, and compares what it leaves with what the pipeline gives as delivered."""

    bench: Bench
    engine: Engine
    contents: Contents
    options: RunOptions

    @property
    def _pipeline(self) -> Pipeline:
        return self.contents.pipeline

    def prove(self, asked: Asked) -> Iterator[Finding]:
        """Yield what is found, as it is found; nothing more where the pipeline cannot be run as delivered."""
        lake = self.bench.folder / "as-delivered"
        result = self.bench.run(self._pipeline, self.options, lake, AS_SET)
        yield _as_delivered(result, self._pipeline)
        if not result.ok:
            return
        delivered = self.bench.published(lake)
        for number, trial in enumerate(trials(asked), 1):
            place = self.bench.folder / f"{number:02}-{trial.folder}"
            with self.engine.session() as session:
                yield from _Attempt(self, trial, delivered, place, session).findings()
            if not self.bench.keep:
                self.bench.grounds.remove(place / _LAKE)
                shutil.rmtree(place)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One trial in a folder of its own."""

    prover: Prover
    trial: Trial
    delivered: Published
    place: Path
    session: Session

    def findings(self) -> Iterator[Finding]:
        """Carry it out."""
        results = list(self._deliveries())
        if not results[-1].ok:
            yield Finding(self.trial.name, len(results), "failed", "; ".join(results[-1].problems))
            return
        finding = self._compared(self.trial.name, len(results))
        yield replace(finding, detail=finding.detail or _waited(results))
        for then in self.trial.then:
            yield self._unmoved(then)

    def _deliveries(self) -> Iterator[RunResult]:
        """Deliver batch after batch, each followed by a run."""
        deal = self.trial.deal
        rows = Rows(self._pipeline, self.delivered)
        frames = rows.permuted(self.session, 1) if self.trial.permuted else rows.batches(self.session, deal)
        for batch in range(deal.batches):
            self._inbox.deliver(self.session, frames, None if self.trial.permuted else batch)
            yield self._run(full=False)

    def _unmoved(self, then: Then) -> Finding:
        """Run once more, which must find nothing to do, or nothing else than there is."""
        name = f"  and {'in full' if then == 'full' else 'again'}"
        result = self._run(full=then == "full")
        if not result.ok:
            return Finding(name, 1, "failed", "; ".join(result.problems))
        finding = self._compared(name, 1)
        wrote = [table for table, node in result.tables.items() if node.status == "written"]
        if finding.ok and (result.state != "unchanged" or (then == "again" and result.run is not None)):
            return replace(finding, verdict="differs", detail=f"run again: {', '.join(wrote) or 'the sources'}")
        return finding

    def _compared(self, name: str, runs: int) -> Finding:
        """Compare every table with what it is as delivered."""
        contents, here = self.prover.contents, self.prover.bench.published(self._lake)
        found = {
            table: difference
            for table in self._pipeline.tables
            if (difference := contents.difference(self.session, table, self.delivered, here)) is not None
        }
        moved = by_position(contents, found) if self.trial.permuted else frozenset()
        wrong = [table for table in found if table not in moved]
        if wrong:
            return Finding(name, runs, "differs", "", tuple(found), found[wrong[0]])
        return Finding(name, runs, "order-dependent" if found else "same", "", tuple(found))

    def _run(self, *, full: bool) -> RunResult:
        prover = self.prover
        options = replace(prover.options, full=full)
        return prover.bench.run(self._inbox.reader, options, self._lake, self.trial.how)

    @property
    def _pipeline(self) -> Pipeline:
        return self.prover.contents.pipeline

    @property
    def _inbox(self) -> Inbox:
        return Inbox(self.place / "inbox", self._pipeline)

    @property
    def _lake(self) -> Path:
        return self.place / _LAKE


def _as_delivered(result: RunResult, pipeline: Pipeline) -> Finding:
    if not result.ok:
        return Finding("as delivered", 1, "failed", "; ".join(result.problems))
    rows = sum(node.ledger.written for name, node in result.nodes.items() if name in pipeline.sources)
    return Finding("as delivered", 1, "same", f"{rows:,} rows")


def _waited(results: Sequence[RunResult]) -> str:
    """Return which batches the checks kept back until a later one came."""
    waited = [str(n) for n, result in enumerate(results, 1) if not result.ok]
    return f"batch {', '.join(waited)} waited for the next: {results[int(waited[0]) - 1].problems[0]}" if waited else ""
