"""Reading delivered Parquet files: small ones many at a time, each into files of its own."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from assay.model.data import DataFile
from assay.model.files import Columnar
from assay.model.ports import Session
from assay.model.quarantine import QUARANTINE
from assay.model.source import Slice
from assay.runtime.extracting.reading import Read, destination
from assay.runtime.work import Work
from assay.sources import looks

_TOGETHER_BYTES = 1 << 24
"""Files up to this size together are read by one statement: of a file a day, most of the time goes to statements."""
_TOGETHER_FILES = 500
"""So many at most: the engine keeps room for every column of each of them, however few rows it has."""


def read_parquet(work: Work, name: str, parts: Sequence[Slice], session: Session, attempt: int) -> dict[str, Read]:
    """Read deliveries of a source; those that are damaged go to the quarantine as a whole."""
    source = work.pipeline.sources[name]
    assert isinstance(source, Columnar), "other files are read one by one"
    damaged = work.plan.sources[name].damaged
    found: dict[str, Read] = {}
    alike: dict[tuple[tuple[str, str], ...], list[Slice]] = defaultdict(list)
    for part in parts:
        if part.name in damaged:
            found[part.name] = _quarantined(work, name, part, damaged[part.name], session, attempt)
        else:
            # Of files that are read together, each has the columns of the first, in its order.
            alike[looks.columns(part.identity.path)].append(part)
    for columns, group in alike.items():
        others = tuple(column for column, _ in columns if column not in source.columns)
        for batch in batches(group):
            rows = _rows(work, name, source, batch, session, attempt)
            found |= {part.name: Read(rows.get(part.name, ()), (), others) for part in batch}
    return {part.name: found[part.name] for part in parts}


def _rows(
    work: Work, name: str, source: Columnar, parts: Sequence[Slice], session: Session, attempt: int
) -> dict[str | None, tuple[DataFile, ...]]:
    """Return the staged files of each slice."""
    to = replace(destination(work, name, attempt), slices={part.number: part.name for part in parts})
    written: dict[str | None, tuple[DataFile, ...]] = defaultdict(tuple)
    for file in session.write(session.open_parquet(source, parts), to):
        written[file.slice] += (file,)
    return written


def batches(
    parts: Sequence[Slice], together: int = _TOGETHER_BYTES, most: int = _TOGETHER_FILES
) -> Iterator[list[Slice]]:
    """Yield files that are read by one statement; a larger one is read alone."""
    batch: list[Slice] = []
    size = 0
    for part in parts:
        if batch and (size + part.identity.size > together or len(batch) == most):
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.identity.size
    if batch:
        yield batch


def _quarantined(work: Work, name: str, part: Slice, damage: str, session: Session, attempt: int) -> Read:
    known = {"path": part.identity.path, "bytes": part.identity.size, "sha256": part.identity.sha256}
    entry = {"run": work.handle.id, "node": name, "source_file": part.name}
    entry |= {"row": json.dumps(known), "reasons": json.dumps([damage])}
    to = replace(destination(work, name, attempt), folder=work.warehouse.quarantine_folder(), schema=QUARANTINE)
    with tempfile.TemporaryDirectory(prefix="assay-damaged-") as folder:
        kept = Path(folder, "file.jsonl")
        kept.write_text(json.dumps(entry), encoding="utf-8")
        return Read((), session.write(session.open_json_lines(str(kept), QUARANTINE), to), damage=damage)
