"""Parquet files before they are read: whether they can be, and whether their columns are those declared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay.model.errors import SourceError
from assay.model.files import Parquet
from assay.sources import arrow

_BATCH_ROWS = 1 << 16


class DamagedFileError(SourceError):
    """A file that is no Parquet, or that cannot be read to its end."""


def damage_of(source: Parquet, path: str) -> str | None:
    """Return why a file cannot be read, where the source lets such files go to the quarantine; None for a good one.

    All of it is read, with the sums of its pages where it has them: found later, damage would cost a run, and engines
    read past those sums. Raises SourceError for a file that is damaged, or whose columns are not those declared.
    """
    try:
        _read_through(source, path)
    except DamagedFileError as error:
        if source.damaged == "refuse":
            raise
        return str(error).removeprefix(f"{path}: ")
    return None


def has_rows(path: str) -> bool:
    """Return whether a file has any rows that can be read."""
    try:
        with _file(path) as file:
            return bool(file.metadata.num_rows)
    except DamagedFileError:
        return False


def columns(path: str) -> tuple[tuple[str, str], ...]:
    """Return names and types of all columns of a file, in its order, as its format has them."""
    with _file(path) as file:
        return tuple((field.name, str(field.type)) for field in file.schema.to_arrow_schema())


def write_first_half(path: Path, to: Path) -> None:
    """Write the first half of a file's rows: what a file may hold that was delivered too early."""
    rows = pq.read_table(path)
    pq.write_table(rows.slice(0, rows.num_rows // 2 + 1), to)


def _read_through(source: Parquet, path: str) -> None:
    with _file(path) as file:
        kinds = _checked_kinds(source, path, file)
        dated = {name: kind for name, kind in kinds.items() if pa.types.is_temporal(kind)}
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(source.columns), use_threads=False):
            # A text that is no UTF-8 is damage, too.
            batch.validate(full=True)
            for name, kind in dated.items():
                arrow.check_values(path, name, batch.column(name), kind)


@contextmanager
def _file(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except pa.ArrowNotImplementedError as error:
        raise SourceError(f"{path}: cannot be read: {_first_line(error)}") from None
    except (pa.ArrowException, OSError, EOFError) as error:
        # By its number an error of the system is told from one of the format, which has none.
        if isinstance(error, OSError) and error.errno:
            raise SourceError(f"{path}: {error.strerror or error}.") from None
        raise DamagedFileError(f"{path}: is damaged, or no Parquet file: {_first_line(error)}") from None


def _checked_kinds(source: Parquet, path: str, file: pq.ParquetFile) -> dict[str, pa.DataType]:
    """Return the types of the declared columns as they are in the file, once they are found to fit."""
    # Without what Arrow's writers note beside the format's own types: other readers do not look at that.
    schema = file.schema.to_arrow_schema().remove_metadata()
    kinds = {}
    for name, declared in source.columns.items():
        arrow.check_there(path, name, schema.names)
        kinds[name] = schema.field(name).type
        if not arrow.fits(found := arrow.sql_type(kinds[name]), declared):
            raise arrow.misfit(path, name, found, declared)
    return kinds


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{text.splitlines()[0].rstrip('.') if text else type(error).__name__}."
