"""What a proof reads: a copy of a source's files, and one of what may have been delivered before."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, assert_never, cast

from assay.model.files import Csv, DataFrame, FileSource, Frozen, Parquet
from assay.sources import looks, parquet


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Where the copies are, by name of the source: paths that a run can be given."""

    before: Mapping[str, str]
    """All files but the last; of a source with one file, its first half under the same name."""
    now: Mapping[str, str]
    """All files."""


def copied(sources: Mapping[str, FileSource], base: Path, to: Path) -> Deliveries:
    """Copy the files of all sources once, so that every run of a proof reads the same.

    Raises SourceError for a source without files.
    """
    before, now = {}, {}
    for name, source in sources.items():
        found = looks.deliveries(name, source, base)
        for each in found:
            _copy(Path(each.identity.path), to / "now" / name / each.name)
        kept = found[:-1]
        for each in kept:
            _copy(Path(each.identity.path), to / "before" / name / each.name)
        if not kept:
            _first_half(source, Path(found[0].identity.path), to / "before" / name / found[0].name)
        # One file is named, several are found: as with the paths that people give.
        now[name] = str(to / "now" / name / (found[0].name if len(found) == 1 else "**/*"))
        before[name] = str(to / "before" / name / (found[0].name if len(kept) < 2 else "**/*"))
    return Deliveries(before, now)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, to)


def _first_half(source: FileSource, path: Path, to: Path) -> None:
    """Write the first half of a file: what one that is still growing may hold."""
    to.parent.mkdir(parents=True, exist_ok=True)
    match source:
        case Csv(encoding=encoding):
            _first_half_of_lines(path, to, encoding)
        case Parquet() | DataFrame() | Frozen():
            parquet.write_first_half(path, to)
        case _:
            assert_never(source)


def _first_half_of_lines(path: Path, to: Path, encoding: str) -> None:
    with _text(path, "rb", encoding) as file:
        count = sum(1 for _ in file)
    with _text(path, "rb", encoding) as file, _text(to, "wb", encoding) as half:
        half.writelines(islice(file, count // 2 + 1))


def _text(path: Path, mode: Literal["rb", "wb"], encoding: str) -> TextIOWrapper:
    """Open a file as text, packed or not, with its line ends as they are."""
    opened = gzip.open if path.suffix == ".gz" else open
    return TextIOWrapper(cast(BinaryIO, opened(path, mode)), encoding=encoding, errors="replace", newline="")
