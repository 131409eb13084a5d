"""What every SQL warehouse records of its runs: leases, plans, manifests, nodes and the history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from assay.model.data import Manifest
from assay.model.errors import describe
from assay.model.outcome import UnitRun
from assay.model.past import PastRun, RecordedRun, Undone
from assay.model.published import Life, Rows, State
from assay.model.run import NodeRun, RunHandle, RunResult, RunState
from assay.warehouses import lease, publishing, reading, undoing
from assay.warehouses.control import MANIFESTS, NODES, RUNS
from assay.warehouses.leased import LeasedRuns
from assay.warehouses.serial import manifest_to_json
from assay.warehouses.written import WrittenFiles


class RunRecords(WrittenFiles, LeasedRuns):
    """The part of a warehouse that lives in its control tables; a warehouse says how they are reached."""

    def __init__(self, root: Path, lease_seconds: float) -> None:
        super().__init__(root)
        self._lease_seconds = lease_seconds
        self._staged: dict[tuple[int, str], Manifest] = {}
        """Manifests that were recorded here, or read: once recorded they stand, until their run is opened again."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Open a consistent read."""

    @abstractmethod
    def _is_made(self) -> bool:
        """Return whether the control tables are there."""

    @abstractmethod
    def _write_undo(
        self, connection: Connection, handle: RunHandle, undone: undoing.UndoneRuns
    ) -> dict[str, int | None]:
        """Bring back what stood before some runs; return the rows of each table. WarehouseError where any is gone."""

    def newest(self, pipeline: str) -> RecordedRun | None:
        """Return the newest run of a pipeline."""
        if not self._is_made():
            return None
        with self._reading() as connection:
            return reading.read_newest(connection, pipeline)

    def held(self, pipeline: str, run: int) -> RunHandle:
        """Return the handle by which a run holds its pipeline's lease."""
        with self._reading() as connection:
            return lease.held(connection, pipeline, run)

    def reopen(
        self, pipeline: str, run: int, keep: Collection[str], *, forget: Collection[str] = (), patience: float
    ) -> RunHandle:
        """Take the lease for a run that failed, with what it staged for datasets to keep, without steps to forget."""

        def take(connection: Connection) -> RunHandle | None:
            handle = lease.retake(connection, pipeline, run, self._lease_seconds)
            if handle is not None:
                _forget(connection, run, keep, forget)
            return handle

        handle = self._leased(pipeline, take, patience)
        self._staged.clear()
        return handle

    def record_plan(self, handle: RunHandle, plan: Mapping[str, Any]) -> None:
        """Record the plan that a run carries out, in the place of an earlier one."""
        with self._writing() as connection:
            lease.check(connection, handle)
            connection.execute(RUNS.update().where(RUNS.c.id == handle.id).values(plan=plan))

    def record(self, handle: RunHandle, *manifests: Manifest) -> None:
        """Record in one insert what one attempt staged; what an earlier attempt recorded stands, and this is left."""
        with self._writing() as connection:
            lease.check(connection, handle)
            if reading.read_manifests(connection, handle.id, [manifests[0].dataset]):
                return
            rows = [
                {"run": handle.id, "dataset": manifest.dataset, "body": manifest_to_json(manifest)}
                for manifest in manifests
            ]
            connection.execute(MANIFESTS.insert(), rows)
        self._staged |= {(handle.id, manifest.dataset): manifest for manifest in manifests}

    def record_node(self, handle: RunHandle, node: NodeRun) -> None:
        """Record what a node did, also when it failed."""
        with self._writing() as connection:
            lease.check(connection, handle)
            publishing.write_node(connection, handle, node)

    def record_unit(self, handle: RunHandle, unit: UnitRun) -> None:
        """Record what a step of a workflow did, also when it failed."""
        with self._writing() as connection:
            lease.check(connection, handle)
            publishing.write_step(connection, handle, unit)

    def manifests(self, run: int, datasets: Collection[str] | None = None) -> dict[str, Manifest]:
        """Return what a run has staged, by dataset; only of the datasets named, where some are."""
        if not self._is_made():
            return {}
        wanted = None if datasets is None else {(run, dataset) for dataset in datasets}
        if wanted is not None and wanted <= self._staged.keys():
            return {dataset: self._staged[run, dataset] for dataset in datasets or ()}
        with self._reading() as connection:
            found = reading.read_manifests(connection, run, datasets)
        self._staged |= {(run, dataset): manifest for dataset, manifest in found.items()}
        return found

    def prepare_ahead(self, run: int, datasets: Collection[str], state: State) -> None:
        """Do nothing, unless a warehouse has something to prepare."""

    def undo(self, run: int | None, *, patience: float) -> Undone:
        """Bring back what stood before a run and all later ones of its pipeline: of the newest, without a number."""
        with self._reading() as connection:
            undone = undoing.undone_runs(connection, run)
        handle = self._leased(undone.pipeline, self._taker(undone.pipeline, undone.plan()), patience)
        try:
            with self._writing() as connection:
                undone = undoing.undone_runs(connection, run)
                tables = self._write_undo(connection, handle, undone)
        except BaseException as error:
            self.close_run(handle, RunResult.failed(handle.id, undone.pipeline, describe(error)))
            raise
        return Undone(handle.id, undone.runs, tables)

    def close_run(self, handle: RunHandle, result: RunResult) -> None:
        """Record the end of a run that published nothing, and give the lease back."""
        with self._writing() as connection:
            publishing.write_end(connection, handle, result)

    def outcome(self, run: int) -> RunState:
        """Return the state that a run is in by its record."""
        with self._reading() as connection:
            return reading.read_outcome(connection, run)

    def history(self, limit: int) -> list[PastRun]:
        """Return the newest runs first."""
        if not self._is_made():
            return []
        with self._reading() as connection:
            return reading.read_history(connection, limit)

    def look_up(self, run: int) -> tuple[PastRun, RecordedRun] | None:
        """Return a run as the history lists it, and with what its record says of each node."""
        if not self._is_made():
            return None
        with self._reading() as connection:
            return reading.read_run(connection, run)

    def lives(self, dataset: str) -> list[Life]:
        """Return every file that a dataset has and had, and that is still there."""
        with self._reading() as connection:
            found = reading.read_lives(connection, dataset)
        return [life for life in found if (self._root / life.file.path).is_file()]

    def control_rows(self) -> Mapping[str, Rows]:
        """Return the control state that readers see as schema `meta`, by table."""
        with self._reading() as connection:
            return reading.read_control(connection)


def _forget(connection: Connection, run: int, keep: Collection[str], steps: Collection[str]) -> None:
    """Forget what a run staged but for what is to be kept, and what steps say that they did."""
    connection.execute(MANIFESTS.delete().where((MANIFESTS.c.run == run) & MANIFESTS.c.dataset.not_in(keep)))
    connection.execute(NODES.delete().where((NODES.c.run == run) & NODES.c.node.in_(steps)))
