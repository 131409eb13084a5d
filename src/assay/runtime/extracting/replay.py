"""Replaying: which lines of a mended file are to be loaded, and the files, one a delivery, that a run loads."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.model.errors import UsageError
from assay.model.files import Csv
from assay.model.pipeline import Pipeline
from assay.model.ports import Session, Warehouse
from assay.model.published import State
from assay.model.source import FileIdentity, Mended, Slice
from assay.runtime.extracting.reading import judged
from assay.sources import lines
from assay.sources.mendable import MendedLine, StandingLine, content_of, read_mended


@dataclass(frozen=True, slots=True)
class SortedLines:
    """The lines of a mended file, by what is to be done with them."""

    to_load: tuple[Mended, ...]
    """A file for each delivery of which lines are mended."""
    again: tuple[str, ...]
    """Marks of lines that were replayed before: they are not loaded again."""
    bad: Mapping[str, tuple[str, ...]]
    """By its mark, why a line is no row yet; it stays in the quarantine."""


def sort_mended(
    pipeline: Pipeline,
    name: str,
    path: Path,
    standing: Sequence[StandingLine],
    state: State,
    session: Session,
    warehouse: Warehouse,
) -> SortedLines:
    """Read a mended file, and keep those of its lines that fit in the warehouse, ready to be loaded.

    Raises UsageError for a line that neither stands in the quarantine nor was replayed, or is there twice.
    """
    source = pipeline.sources[name]
    assert isinstance(source, Csv), "only lines of text are in the quarantine as lines"
    header, found = read_mended(source, path)
    lines.header_of(source, str(path))
    known = {line.mark: line for line in standing}
    dataset = pipeline.dataset_of(name)
    slices = {part.name: part for part in state.slices.get(dataset, ())}
    done = {(part.mends, line) for part in slices.values() for line in part.mended_lines}
    again = tuple(each.mark for each in found if each.mark not in known and _place(each.mark) in done)
    _check_known(path, [each for each in found if each.mark not in again], known)
    new = [each for each in found if each.mark in known]
    bad = {each.mark: each.reasons for each in new if each.reasons}
    bad |= _unfit(source, header, [each for each in new if not each.reasons], session)
    by_file: dict[str, list[MendedLine]] = {}
    for each in new:
        if each.mark not in bad:
            by_file.setdefault(known[each.mark].file, []).append(each)
    to_load = []
    for file, lines_of_file in by_file.items():
        # Row by row they stand as the lines do that they mend, so that each can be told from its row.
        mended = sorted(lines_of_file, key=lambda each: known[each.mark].line)
        content = content_of(source, header, [each.text for each in mended])
        # Named by its content: called again, also after a crash, it is the same delivery.
        slice_name = f"{file}.mended-{hashlib.sha256(content).hexdigest()[:8]}"
        kept = warehouse.keep_delivery(dataset, slice_name, content)
        mended_lines = tuple(known[each.mark].line for each in mended)
        to_load.append(Mended(name, slice_name, kept, file, slices[file].identity.sha256, mended_lines))
    return SortedLines(tuple(to_load), again, bad)


def _check_known(path: Path, found: Sequence[MendedLine], known: Mapping[str, StandingLine]) -> None:
    seen: set[str] = set()
    for each in found:
        if each.mark not in known:
            raise UsageError(f"{path}: {each.mark!r} stands for no line in the quarantine; export the lines again.")
        if each.mark in seen:
            raise UsageError(f"{path}: {each.mark!r} is there twice; a line is mended by one row.")
        seen.add(each.mark)


def _place(mark: str) -> tuple[str, int]:
    file, _, rest = mark.rpartition(":")[0].rpartition(":")
    return file, int(rest) if rest.isdigit() else 0


def _unfit(
    source: Csv, header: Sequence[str], found: Sequence[MendedLine], session: Session
) -> dict[str, tuple[str, ...]]:
    """Return, by mark, why records do not fit the types that the source declares."""
    if not found:
        return {}
    with tempfile.TemporaryDirectory(prefix="assay-mended-") as folder:
        raw, clean = Path(folder, "mended.csv"), Path(folder, "clean.csv")
        raw.write_bytes(content_of(source, header, [each.text for each in found]))
        with clean.open("wb") as records:
            long = {line.line: line.reasons for line in lines.mend(source, str(raw), len(header), records)}
        part = Slice("mended", 0, FileIdentity(str(raw), 0, 0, 0, 0, ""), "2000-01-01", 0)
        reasons = {**judged(session, source, header, part, clean)[1], **long} if clean.stat().st_size else long
    starts = [2]
    for each in found:
        starts.append(starts[-1] + each.text.count("\n") + 1)
    by_line = dict(zip(starts, found, strict=False))
    return {by_line[line].mark: texts for line, texts in reasons.items()}
