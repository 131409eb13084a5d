"""The steps of a run in flow runs of their own, each on whatever worker is free: some tables in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import Flow, get_run_logger
from prefect.futures import wait
from prefect.runtime import flow_run

from assay import assembly
from assay.model.errors import RunError
from assay.model.pipeline import Pipeline
from assay.model.workflow import Part, pipeline_of
from assay.orchestrators.opening import parts, reference_to
from assay.orchestrators.outline import Stage, outline
from assay.orchestrators.prefect.steps import Reading, Trying, start
from assay.orchestrators.prefect.submitting import SubflowError, trigger_subflow, wait_for_flow_runs
from assay.orchestrators.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Spread:
    """Does the steps of a run by the runs of a deployment; what needs others begins when they have ended."""

    deployment: str
    """As Prefect calls it."""
    chunks: int

    def __call__(self, read: Reading, ticket: Ticket, stages: tuple[Stage, ...]) -> None:
        """Do one generation of steps after the other, each in so many chunks, and leave out what can no longer run."""
        stopped: set[str] = set()
        opened = _opened(read, ticket)
        for generation in _generations(stages):
            stopped |= {stage.step for stage in generation if stopped & set(stage.after)}
            steps = [stage.step for stage in generation if stage.step not in stopped]
            self._do(read, ticket, steps, opened)
            stopped |= self._failed(read, ticket, steps)

    def _do(self, read: Reading, ticket: Ticket, steps: Sequence[str], opened: int) -> None:
        runs = []
        for number in range(min(self.chunks, len(steps))):
            chunk = list(steps[number :: self.chunks])
            asked = {"ticket": ticket.to_json(), "steps": chunk, "warehouse": read.warehouse, "sources": read.sources}
            # What was done before a run was opened again may have to be done again.
            key = f"{flow_run.id}/{ticket.run}/{opened}/{','.join(chunk)}"
            runs.append(trigger_subflow(self.deployment, asked, key=key))
        try:
            wait_for_flow_runs(runs)
        except SubflowError as error:
            # Which of its steps failed stands in the warehouse.
            get_run_logger().error(str(error))

    def _failed(self, read: Reading, ticket: Ticket, steps: Sequence[str]) -> set[str]:
        with parts(assembly.current_settings(), read.warehouse, attended=True) as apart:
            done = apart.done(ticket)
        # A view may be left to the first table that needs it.
        return set(steps) - done - set(read.found().views)


def _opened(read: Reading, ticket: Ticket) -> int:
    """Return a number that is another each time a run is opened again; 0 for one that has ended."""
    with parts(assembly.current_settings(), read.warehouse, attended=True) as apart:
        if ticket.run is None or apart.warehouse.outcome(ticket.run) != "staged":
            return 0
        return apart.warehouse.held(ticket.pipeline, ticket.run).token


def to_chunk_flow(unit: Pipeline | Part, name: str, trying: Trying, task_runner: Any) -> Any:
    """Return the flow that does some steps of a run which another flow run has begun, and will end."""
    declared = pipeline_of(unit)

    def carry_out(
        ticket: dict[str, Any],
        steps: list[str],
        warehouse: str | None = None,
        sources: dict[str, str] | None = None,
    ) -> None:
        read = Reading(reference_to(declared) or declared, warehouse, sources)
        stages = tuple(stage for stage in outline(declared) if stage.step in steps)
        with parts(assembly.current_settings(), warehouse, attended=True):
            futures = start(read, Ticket.from_json(ticket), stages, trying)
            wait(list(futures.values()))
        if failed := [name for name, future in futures.items() if not future.state.is_completed()]:
            raise RunError(f"{', '.join(failed)} failed.")

    return Flow(carry_out, name=name, task_runner=task_runner, persist_result=False)


def _generations(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Return the stages in groups, each of those that need none but earlier ones."""
    level: dict[str, int] = {}
    for stage in stages:
        level[stage.step] = 1 + max((level[name] for name in stage.after if name in level), default=-1)
    return [[stage for stage in stages if level[stage.step] == number] for number in sorted(set(level.values()))]
