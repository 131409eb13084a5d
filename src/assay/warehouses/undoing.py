"""Undoing runs: a new run that brings back what stood before them, in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from assay.model.data import KEYS, is_table, name_of_table
from assay.model.errors import UsageError
from assay.model.run import RunHandle
from assay.warehouses import lease, vacuuming
from assay.warehouses.control import DATASETS, FILES, RUNS, SLICES, UNDONE, VERSIONS
from assay.warehouses.publishing import TRIED


@dataclass(frozen=True, slots=True)
class Change:
    """What undoing does to one dataset."""

    dataset: str
    now: Mapping[str, Any]
    """The newest version; without columns where the dataset is not there."""
    then: Mapping[str, Any] | None
    """The version that comes back; None where there was none, so that the dataset goes."""

    def as_made(self, way: Mapping[str, Any] | None) -> Change:
        """Return it with what comes back made in a way, where it is that version that was made so."""
        if way is None or self.then is None or way["run"] != self.then["run"]:
            return self
        return replace(self, then={**self.then, **way})


@dataclass(frozen=True, slots=True)
class UndoneRuns:
    """What an undo takes back: a run and the later ones of its pipeline."""

    pipeline: str
    runs: tuple[int, ...]
    seq: int
    """The number of the first one's publish."""

    def plan(self) -> dict[str, Any]:
        """Return what is recorded as the plan of the undo."""
        return {"as_of": dt.datetime.now(dt.UTC).date().isoformat(), "undo": list(self.runs)}


def undone_runs(connection: Connection, run: int | None) -> UndoneRuns:
    """Return what undoing a run takes back; without a number, of the newest published one.

    Raises UsageError for a run that has published nothing that stands.
    """
    published = select(RUNS).where(RUNS.c.state == "published", RUNS.c.seq.is_not(None))
    query = published.order_by(RUNS.c.seq.desc()).limit(1) if run is None else published.where(RUNS.c.id == run)
    row = connection.execute(query).one_or_none()
    if row is None:
        what = "There is no published run" if run is None else f"Run {run} has published nothing that stands"
        raise UsageError(f"{what}; nothing to undo. `assay history` lists the runs.")
    vacuuming.refuse_forgotten(connection, row.seq - 1, f"What stood before run {row.id}")
    later = published.where(RUNS.c.pipeline == row.pipeline, RUNS.c.seq >= row.seq).order_by(RUNS.c.seq)
    return UndoneRuns(row.pipeline, tuple(int(found.id) for found in connection.execute(later)), int(row.seq))


def changes(connection: Connection, undone: UndoneRuns) -> list[Change]:
    """Return what brings a pipeline's datasets back to what they were before the runs.

    Key maps stay as they are: a natural key keeps its number for ever.
    """
    touched = select(VERSIONS.c.dataset).join(RUNS, RUNS.c.id == VERSIONS.c.run)
    touched = touched.where(RUNS.c.pipeline == undone.pipeline, VERSIONS.c.seq >= undone.seq).distinct()
    found = []
    for dataset in sorted(connection.execute(touched).scalars()):
        if dataset.startswith(KEYS):
            continue
        newest = select(VERSIONS).where(VERSIONS.c.dataset == dataset).order_by(VERSIONS.c.seq.desc()).limit(1)
        now = dict(connection.execute(newest).mappings().one())
        before = connection.execute(newest.where(VERSIONS.c.seq < undone.seq)).mappings().one_or_none()
        then = None if before is None or is_gone(dict(before)) else dict(before)
        if then is not None or not is_gone(now):
            found.append(Change(dataset, now, then))
    return found


def is_gone(version: Mapping[str, Any]) -> bool:
    """Return whether a version says that its dataset is not there: a table has columns."""
    return not version["columns"]


def restored(found: list[Change]) -> dict[str, int | None]:
    """Return the rows of each table that comes back, by name; None for one that goes."""
    return {name_of_table(c.dataset): c.then["row_count"] if c.then else None for c in found if is_table(c.dataset)}


def write(connection: Connection, handle: RunHandle, undone: UndoneRuns, found: list[Change]) -> None:
    """Write the run that undoes others: versions, pointers, files, slices, and what is not to be loaded again."""
    new = int(connection.execute(select(func.max(RUNS.c.seq))).scalar_one()) + 1
    back = {change.dataset: change.then["run"] for change in found if change.then is not None}
    tried = _tried(connection, undone.runs)
    for change in found:
        made = change.as_made(tried.get(change.dataset))
        _write_version(connection, handle.id, new, undone.pipeline, made, back)
        for table in (FILES, SLICES):
            _bring_back(connection, table, change.dataset, undone.seq, new, handle.id)
    for dataset in tried.keys() - {change.dataset for change in found}:
        _write_way(connection, handle.id, dataset, tried[dataset], back)
    connection.execute(update(RUNS).where(RUNS.c.id.in_(undone.runs)).values(state="undone"))
    tables = {name: {"status": "written", "rows": rows} for name, rows in restored(found).items()}
    lease.release(connection, handle)
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == handle.id)
        .values(
            state="published",
            seq=new,
            ended_at=dt.datetime.now(dt.UTC).isoformat(),
            result={
                "run": handle.id,
                "state": "published",
                "undone": list(undone.runs),
                "problems": [],
                "tables": tables,
            },
        )
    )


def _write_version(
    connection: Connection, run: int, seq: int, pipeline: str, change: Change, back: Mapping[str, int]
) -> None:
    """Write the version that comes back, and the pointer to it, under the number of the run that undoes."""
    then = change.then
    if then is None:
        gone = {"columns": [], "row_count": 0, "inputs": {}, "metadata_location": None, "metadata_files": []}
        connection.execute(insert(VERSIONS).values(**{**change.now, **gone, "run": run, "seq": seq}))
        connection.execute(delete(DATASETS).where(DATASETS.c.name == change.dataset))
        return
    inputs = _now(then["inputs"], run, back)
    connection.execute(insert(VERSIONS).values(**{**then, "run": run, "seq": seq, "inputs": inputs}))
    mine = DATASETS.c.name == change.dataset
    if connection.execute(update(DATASETS).where(mine).values(version=run)).rowcount == 0:
        connection.execute(insert(DATASETS).values(name=change.dataset, pipeline=pipeline, version=run))


def _bring_back(connection: Connection, table: Table, dataset: str, seq: int, new: int, run: int) -> None:
    """Let rows of a dataset stand as they did before publish `seq`: rows that came since go, those that went return."""
    mine, lives = table.c.dataset == dataset, table.c.removed_seq.is_(None)
    came = connection.execute(select(table).where(mine, lives, table.c.added_seq >= seq)).mappings().all()
    stood = (table.c.added_seq < seq) & (table.c.removed_seq >= seq)
    went = connection.execute(select(table).where(mine, stood).order_by(table.c.id)).mappings().all()
    if table is SLICES:
        refused = [{"dataset": dataset, "name": row["name"], "sha256": row["sha256"], "run": run} for row in came]
        for name, content in [(row["name"], row["sha256"]) for row in (*came, *went)]:
            same = (UNDONE.c.dataset == dataset) & (UNDONE.c.name == name) & (UNDONE.c.sha256 == content)
            connection.execute(delete(UNDONE).where(same))
        for row in refused:
            connection.execute(insert(UNDONE).values(**row))
    connection.execute(update(table).where(mine, lives, table.c.added_seq >= seq).values(removed_seq=new))
    for back in went:
        again = {name: value for name, value in back.items() if name not in ("id", "removed_seq")}
        connection.execute(insert(table).values(**{**again, "added_seq": new}))


def _tried(connection: Connection, runs: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return how datasets that runs found unchanged had been made before the first of these, with their versions."""
    query = select(RUNS.c.plan).where(RUNS.c.id.in_(runs)).order_by(RUNS.c.seq.desc())
    found: dict[str, dict[str, Any]] = {}
    for plan in connection.execute(query).scalars():
        found |= plan.get(TRIED, {})
    return found


def _now(inputs: Mapping[str, int], run: int, back: Mapping[str, int]) -> dict[str, int]:
    """Return versions that something was made from, under the number of this run where they come back with it."""
    return {name: run if back.get(name) == version else version for name, version in inputs.items()}


def _write_way(connection: Connection, run: int, dataset: str, way: Mapping[str, Any], back: Mapping[str, int]) -> None:
    """Let a dataset that stays have been made as it was before the undone runs: they may have tried it otherwise."""
    same = (VERSIONS.c.dataset == dataset) & (VERSIONS.c.run == way["run"])
    connection.execute(update(VERSIONS).where(same).values({**way, "inputs": _now(way["inputs"], run, back)}))
