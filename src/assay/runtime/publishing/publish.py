"""Publishing: everything a run staged, checked against the world it was planned in, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from assay.model.data import TEMPORARY, Manifest
from assay.model.ports import Publication
from assay.model.run import RunResult
from assay.runtime.work import Work


def publish(work: Work, result: RunResult) -> RunResult:
    """Publish a run, and return its result with the state that it then is in.

    Raises ConflictError where a dataset it read or wrote has moved, LeaseError where it is fenced.
    """
    staged = work.warehouse.manifests(work.handle.id)
    lasting = {name: manifest for name, manifest in staged.items() if not name.startswith(TEMPORARY)}
    publication = Publication(
        pipeline=work.pipeline.name,
        manifests=lasting,
        reads=_reads(work, staged.values()),
        result=result,
    )
    prepared = work.warehouse.prepare(work.handle.id, lasting, work.plan.state)
    # Tables may stand as they are and more or fewer rows be rejected: readers see that too, and an undo takes it back.
    done = replace(result, state="published" if publication.changes else "unchanged")
    work.warehouse.publish(work.handle, replace(publication, result=done), prepared, work.plan.state)
    return done


def _reads(work: Work, manifests: Iterable[Manifest]) -> dict[str, int | None]:
    """Return the plan-time version of all that was read or written, and of both sides of every check judged."""
    names: set[str] = set()
    for manifest in manifests:
        names |= {manifest.dataset, *manifest.inputs}
    for table in work.pipeline.tables.values():
        for check in table.checks:
            other = getattr(check, "other", None)
            if other is not None:
                names |= {work.dataset(table.name), work.dataset(other)}
    versions = work.plan.state.versions
    return {
        name: versions[name].id if name in versions else None
        for name in sorted(names)
        if not name.startswith(TEMPORARY)
    }
